//! Kinds of files that lie beside scans, and the endings of their names.
use std::fmt;

use super::belonging::Belonging;
use super::scan_name::{ScanName, entity, is_entity};

/// Endings by which a brain mask is known; nothing: the scan's own name in another folder.
const BRAIN_MASK: [&str; 7] =
    ["", "mask", "brain", "brainmask", "brain_mask", "desc-brain_mask", "label-brain_mask"];

/// Words that a lesion mask adds to the name of its scan, in lower case.
const LESION: [&str; 30] = [
    "lesion",
    "lesions",
    "lesionmask",
    "lesionmap",
    "lesionseg",
    "mask",
    "masks",
    "msk",
    "label",
    "labels",
    "roi",
    "rois",
    "seg",
    "segmentation",
    "dseg",
    "tumor",
    "tumour",
    "wmh",
    "stroke",
    "infarct",
    "haemorrhage",
    "hemorrhage",
    "edema",
    "oedema",
    "consensus",
    "manual",
    "gt",
    "groundtruth",
    "truth",
    "anomaly",
];

/// Words that a segmentation of the brain adds.
const SEGMENTATION: [&str; 19] = [
    "seg",
    "segmentation",
    "dseg",
    "aseg",
    "aparc",
    "aparc+aseg",
    "aparcaseg",
    "wmparc",
    "dlmuse",
    "muse",
    "synthseg",
    "fastseg",
    "pveseg",
    "tissue",
    "tissues",
    "label",
    "labels",
    "parc",
    "parcellation",
];

/// Words that a location map adds.
const LOCATION: [&str; 16] = [
    "location",
    "locations",
    "place",
    "places",
    "map",
    "prior",
    "prob",
    "probability",
    "probseg",
    "heatmap",
    "density",
    "frequency",
    "weight",
    "weights",
    "roi",
    "mask",
];

/// Contents of a folder of [`SidecarFiles`](crate::SidecarFiles).
///
/// A file of any kind may have the scan's own name, if it lies in another folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SidecarKind {
    /// Masks of the brain: `_mask`, `_brain`, `_brainmask`, `_brain_mask`, `_desc-brain_mask`, `_label-brain_mask`.
    BrainMask,
    /// Masks of lesions: `_lesion`, `_label-lesion_mask`, `_mask`, `_seg`, `_roi`, `_tumor`, `_wmh` and the like.
    LesionMask,
    /// Segmentations of the brain: `_seg`, `_dseg`, `_aseg`, `_aparc`, `_DLMUSE`, `_labels` and the like.
    Segmentation,
    /// Maps of where anomalies may lie: `_location`, `_places`, `_prior`, `_probseg`, `_mask` and the like.
    LocationMap,
}

impl SidecarKind {
    /// All kinds.
    pub const ALL: [Self; 4] =
        [Self::BrainMask, Self::LesionMask, Self::Segmentation, Self::LocationMap];

    /// Whether a file that belongs to a scan is of this kind.
    pub(super) fn accepts(self, belonging: &Belonging<'_>) -> bool {
        let added = &belonging.added;
        match self {
            // Without the scan's contrast, `_mask` may be the mask of anything: the brain must be named.
            Self::BrainMask => {
                let added = added.join("_");
                let named = belonging.keeps_words || added.contains("brain");
                named && BRAIN_MASK.contains(&added.as_str())
            }
            // A mask of the brain is no mask of a lesion.
            Self::LesionMask => !added.iter().any(|part| is_brain(part)) && says(added, &LESION),
            Self::Segmentation => says(added, &SEGMENTATION),
            Self::LocationMap => says(added, &LOCATION),
        }
    }

    /// Names that the file of a scan may have, for messages.
    pub(super) fn examples(self, scan: &ScanName) -> String {
        let name = scan.as_str();
        // In BIDS the file's own `desc` and suffix take the place of the scan's.
        let bids = scan.without_desc_and_suffix();
        let examples = match self {
            Self::BrainMask => vec![
                name.to_owned(),
                format!("{name}_mask"),
                format!("{name}_brain"),
                format!("{bids}_desc-brain_mask"),
            ],
            Self::LesionMask => vec![name.to_owned(), format!("{bids}_lesion")],
            Self::Segmentation => vec![name.to_owned(), format!("{bids}_dseg")],
            Self::LocationMap => vec![name.to_owned(), format!("{bids}_location")],
        };
        let examples = examples.iter().map(|example| format!("{example}.nii[.gz]"));
        examples.collect::<Vec<_>>().join(", ")
    }
}

/// Whether what a file adds to the name of its scan is nothing, or says by these words what it holds.
///
/// Every word has to be one of them, the last perhaps with a number: any other names another scan, as `P1_post_lesion`
/// does. Entities may have any value; without words, one of them has to contain one.
fn says(added: &[&str], known: &[&str]) -> bool {
    let (entities, words): (Vec<&str>, Vec<&str>) = added.iter().partition(|part| is_entity(part));
    let Some((last, first)) = words.split_last() else {
        let named = |part: &&str| known.iter().any(|word| part.to_ascii_lowercase().contains(word));
        return entities.is_empty() || entities.iter().any(named);
    };
    let is_known = |word: &str| known.contains(&word.to_ascii_lowercase().as_str());
    is_known(last.trim_end_matches(|c: char| c.is_ascii_digit()))
        && first.iter().all(|word| is_known(word))
}

fn is_brain(part: &str) -> bool {
    entity(part).is_some_and(|(_, value)| value.eq_ignore_ascii_case("brain"))
}

impl fmt::Display for SidecarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrainMask => "brain mask",
            Self::LesionMask => "lesion mask",
            Self::Segmentation => "segmentation",
            Self::LocationMap => "location map",
        })
    }
}
