//! Tissue classes of a whole head: what a label map's codes stand for, and how bright they usually are.

/// Number of classes; class 0 is air and background.
pub(crate) const CLASSES: usize = 27;
/// Air and background.
pub(crate) const AIR: u8 = 0;
/// CSF in sulci and cisterns, within the brain mask.
pub(crate) const INNER_CSF: u8 = 11;
/// CSF between the brain mask and the skull.
pub(crate) const OUTER_CSF: u8 = 12;
/// The outermost layer of that CSF: dura and bridging veins.
pub(crate) const DURA: u8 = 13;
/// Classes from here on lie outside the brain and its CSF.
pub(crate) const FIRST_EXTRACEREBRAL: u8 = 13;
/// Arteries and veins: the brain mask may close over them.
pub(crate) const ARTERY: u8 = 14;
pub(crate) const VEIN: u8 = 21;
pub(crate) const BONE: u8 = 22;
/// A code that is not known.
pub(crate) const OTHER_BRAIN: u8 = 26;

/// Usual brightness of each class in T1, T2 and FLAIR images, 1 = brightest. Rough, by eye: they are scattered widely.
pub(crate) const BRIGHTNESS: [[f64; 3]; CLASSES] = [
    [0.00, 0.00, 0.00], // air
    [0.85, 0.35, 0.50], // cerebral white matter
    [0.60, 0.50, 0.62], // cortex
    [0.80, 0.38, 0.50], // cerebellar white matter
    [0.60, 0.50, 0.60], // cerebellar cortex
    [0.70, 0.42, 0.55], // thalamus
    [0.65, 0.45, 0.60], // striatum
    [0.75, 0.30, 0.45], // pallidum
    [0.75, 0.40, 0.50], // brainstem
    [0.60, 0.52, 0.68], // hippocampus and amygdala
    [0.18, 1.00, 0.15], // ventricles
    [0.25, 0.90, 0.20], // CSF within the brain mask
    [0.20, 0.95, 0.20], // CSF outside
    [0.40, 0.35, 0.35], // dura
    [0.60, 0.15, 0.20], // arteries
    [0.20, 0.95, 0.30], // eyes
    [0.55, 0.35, 0.45], // muscle, fat
    [0.40, 0.40, 0.40], // other soft tissue
    [0.50, 0.70, 0.60], // mucosa
    [0.80, 0.60, 0.60], // skin and the fat below
    [0.70, 0.40, 0.50], // spinal cord
    [0.40, 0.25, 0.30], // veins and sinuses
    [0.12, 0.10, 0.12], // cortical bone
    [0.65, 0.45, 0.40], // marrow
    [0.60, 0.40, 0.50], // optic nerve
    [0.45, 0.45, 0.45], // other extracerebral
    [0.60, 0.50, 0.55], // other brain
];

/// The class of a code: FreeSurfer's for the brain, those of the SynthSeg training maps (502 to 530) around it.
///
/// Left and right are one class. Code 24, CSF around the brain, becomes [`INNER_CSF`] here; where it lies decides later.
pub(crate) fn class_of(code: u16) -> u8 {
    match code {
        0 => AIR,
        2 | 41 => 1,
        3 | 42 => 2,
        7 | 46 => 3,
        8 | 47 => 4,
        10 | 49 => 5,
        11 | 12 | 26 | 50 | 51 | 58 => 6,
        13 | 52 => 7,
        16 | 28 | 60 => 8,
        17 | 18 | 53 | 54 => 9,
        4 | 5 | 14 | 15 | 43 | 44 => 10,
        24 => INNER_CSF,
        1..500 => OTHER_BRAIN,
        502 => ARTERY,
        506 => 15,
        507 => 16,
        508 => 17,
        509 => 18,
        511 => 19,
        512 => 20,
        514 => VEIN,
        515 => BONE,
        516 => 23,
        530 => 24,
        _ => 25,
    }
}

/// Whether a class is tissue of the brain or one of its ventricles.
pub(crate) fn is_brain(class: u8) -> bool {
    (1..INNER_CSF).contains(&class) || class == OTHER_BRAIN
}

/// Whether a class lies outside the brain and its CSF.
pub(crate) fn is_extracerebral(class: u8) -> bool {
    (FIRST_EXTRACEREBRAL..OTHER_BRAIN).contains(&class)
}
