//! [`BrainError`], the error of this crate.

use std::path::PathBuf;

use disyre_augment::AugmentError;
use disyre_core::{RestoreError, ShapeError};
use disyre_diffusion::DiffusionError;
use disyre_volume::VolumeError;

/// Failure to extract a brain or to make training pairs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrainError {
    /// Two arrays do not fit each other, or a value is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A volume cannot be read or resampled.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The network cannot be made or run.
    #[error(transparent)]
    Network(#[from] DiffusionError),
    /// The network failed on a batch.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A synthetic head cannot be made.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// A folder of label maps holds none.
    #[error("{} holds no label maps; give a folder of .nii.gz files with brain labels", folder.display())]
    NoMaps {
        /// The folder.
        folder: PathBuf,
    },
}
