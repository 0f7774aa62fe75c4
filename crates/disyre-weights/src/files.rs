//! The files of the model, as `cargo xtask ship-model` lists them.

/// Files of the model: path below its folder, and contents; sorted by path.
pub const FILES: &[(&str, &[u8])] = &[
    ("calibration/calibration.json", include_bytes!("../model/calibration/calibration.json")),
    (
        "calibration/contrast_deviation.nii.gz",
        include_bytes!("../model/calibration/contrast_deviation.nii.gz"),
    ),
    (
        "calibration/contrast_mean.nii.gz",
        include_bytes!("../model/calibration/contrast_mean.nii.gz"),
    ),
    (
        "calibration/corruption_deviation.nii.gz",
        include_bytes!("../model/calibration/corruption_deviation.nii.gz"),
    ),
    (
        "calibration/corruption_mean.nii.gz",
        include_bytes!("../model/calibration/corruption_mean.nii.gz"),
    ),
    ("calibration/count.nii.gz", include_bytes!("../model/calibration/count.nii.gz")),
    (
        "calibration/fine-contrast_deviation.nii.gz",
        include_bytes!("../model/calibration/fine-contrast_deviation.nii.gz"),
    ),
    (
        "calibration/fine-contrast_mean.nii.gz",
        include_bytes!("../model/calibration/fine-contrast_mean.nii.gz"),
    ),
    (
        "calibration/fine-intensity_deviation.nii.gz",
        include_bytes!("../model/calibration/fine-intensity_deviation.nii.gz"),
    ),
    (
        "calibration/fine-intensity_mean.nii.gz",
        include_bytes!("../model/calibration/fine-intensity_mean.nii.gz"),
    ),
    (
        "calibration/fine-residual_deviation.nii.gz",
        include_bytes!("../model/calibration/fine-residual_deviation.nii.gz"),
    ),
    (
        "calibration/fine-residual_mean.nii.gz",
        include_bytes!("../model/calibration/fine-residual_mean.nii.gz"),
    ),
    (
        "calibration/fine-restored-structure_deviation.nii.gz",
        include_bytes!("../model/calibration/fine-restored-structure_deviation.nii.gz"),
    ),
    (
        "calibration/fine-restored-structure_mean.nii.gz",
        include_bytes!("../model/calibration/fine-restored-structure_mean.nii.gz"),
    ),
    (
        "calibration/fine-structure_deviation.nii.gz",
        include_bytes!("../model/calibration/fine-structure_deviation.nii.gz"),
    ),
    (
        "calibration/fine-structure_mean.nii.gz",
        include_bytes!("../model/calibration/fine-structure_mean.nii.gz"),
    ),
    (
        "calibration/intensity_deviation.nii.gz",
        include_bytes!("../model/calibration/intensity_deviation.nii.gz"),
    ),
    (
        "calibration/intensity_mean.nii.gz",
        include_bytes!("../model/calibration/intensity_mean.nii.gz"),
    ),
    ("calibration/mean.nii.gz", include_bytes!("../model/calibration/mean.nii.gz")),
    (
        "calibration/residual_deviation.nii.gz",
        include_bytes!("../model/calibration/residual_deviation.nii.gz"),
    ),
    (
        "calibration/residual_mean.nii.gz",
        include_bytes!("../model/calibration/residual_mean.nii.gz"),
    ),
    (
        "calibration/restored-structure_deviation.nii.gz",
        include_bytes!("../model/calibration/restored-structure_deviation.nii.gz"),
    ),
    (
        "calibration/restored-structure_mean.nii.gz",
        include_bytes!("../model/calibration/restored-structure_mean.nii.gz"),
    ),
    (
        "calibration/structure_deviation.nii.gz",
        include_bytes!("../model/calibration/structure_deviation.nii.gz"),
    ),
    (
        "calibration/structure_mean.nii.gz",
        include_bytes!("../model/calibration/structure_mean.nii.gz"),
    ),
    ("config.json", include_bytes!("../model/config.json")),
    ("ema.safetensors", include_bytes!("../model/ema.safetensors")),
    ("preparation.json", include_bytes!("../model/preparation.json")),
    ("run.json", include_bytes!("../model/run.json")),
    ("run.toml", include_bytes!("../model/run.toml")),
    ("tissue.json", include_bytes!("../model/tissue.json")),
];
