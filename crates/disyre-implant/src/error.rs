//! Errors of statistics, shapes and implants.

use std::io;
use std::path::PathBuf;

use disyre_core::ShapeError;
use disyre_n4::N4Error;
use disyre_register::RegisterError;
use disyre_tissue::TissueError;
use disyre_volume::VolumeError;

/// Errors of statistics, shapes and implants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImplantError {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The operation that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A JSON file does not hold what it should.
    #[error("{} is not {expected}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The values that it may hold.
        expected: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// A list of cases could not be read.
    #[error("{} is not a list of cases; expected the columns case and pathology", path.display())]
    CaseList {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: csv::Error,
    },
    /// A folder of lesion cases holds none.
    #[error(
        "{} holds no lesion case; expected folders CASE with CASE_t1, CASE_mask and CASE_brain (.nii or .nii.gz)",
        folder.display()
    )]
    NoCases {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder of shapes holds no lesion mask that can be used.
    #[error(
        "{} holds no lesion of at least {least_ml} ml; give a folder of binary lesion masks in MNI space",
        folder.display()
    )]
    NoShapes {
        /// The folder.
        folder: PathBuf,
        /// Least volume.
        least_ml: f64,
    },
    /// A table holds no lesion from which the intensities of a kind can be drawn.
    #[error(
        "the table has no lesion whose intensities suit {kind}; measure one that has, or give that kind the weight 0"
    )]
    NoStatistics {
        /// The kind.
        kind: &'static str,
    },
    /// The host is a whole head.
    #[error("{} holds more than a brain; strip it, as `disyre brain` does", path.display())]
    NotStripped {
        /// The scan.
        path: PathBuf,
    },
    /// A brain has too few voxels of some tissue to know its levels.
    #[error("the brain of {name} has no three tissues; give a T1-weighted scan of a whole brain")]
    NoTissue {
        /// The scan.
        name: String,
    },
    /// Fluid or noise of a scan is 0, so that nothing has a finite ratio to it.
    #[error(
        "the fluid or the noise of {name} is 0, so lesions have no ratio to it; give a scan that was neither clipped nor denoised"
    )]
    NoRatios {
        /// The scan.
        name: String,
    },
    /// No place was found for a lesion.
    #[error(
        "no place was found for {kind} in {name} in {attempts} attempts; lower least_parenchyma, or widen size_ml"
    )]
    NoPlace {
        /// The kind.
        kind: &'static str,
        /// The scan.
        name: String,
        /// Number of attempts.
        attempts: usize,
    },
    /// A setting is out of its range.
    #[error("{field} must be {expected}")]
    Setting {
        /// The field of [`ImplantConfig`](crate::ImplantConfig).
        field: &'static str,
        /// Its range.
        expected: &'static str,
    },
    /// A replay gave other voxels.
    #[error("{name} comes out otherwise than version {version} made it; use that version")]
    NotReplayed {
        /// The case.
        name: String,
        /// Version in the recipe.
        version: String,
    },
    /// A scan or mask could not be used.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Bias field correction failed.
    #[error(transparent)]
    N4(#[from] N4Error),
    /// Registration failed.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// Tissues could not be fitted.
    #[error(transparent)]
    Tissue(#[from] TissueError),
    /// Arrays do not fit each other.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl ImplantError {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
