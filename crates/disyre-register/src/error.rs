//! Errors of registrations.

use disyre_core::{Affine, ShapeError};
use disyre_volume::VolumeError;

/// Errors of settings and inputs of a registration.
///
/// A scan that was registered badly is no error: see [`Verdict`](crate::Verdict).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A setting is out of its range.
    #[error("{setting} is {got}, expected {expected}")]
    Setting {
        /// Name of the field.
        setting: &'static str,
        /// Its value.
        got: String,
        /// The range.
        expected: &'static str,
    },
    /// An array has another shape than the volume it belongs to, or holds a value that is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A volume could not be read or resampled.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The scan is a single slice, or nearly one.
    #[error(
        "the scan is {extent_mm:.0} mm thick along one axis, expected at least {least_mm:.0} mm; a registration \
         needs a volume"
    )]
    Thin {
        /// Extent along the shortest axis, in millimetres.
        extent_mm: f64,
        /// Least extent.
        least_mm: f64,
    },
    /// The scan or the template shows nothing.
    #[error("the {which} has no foreground: all of its voxels are 0, masked out or equal")]
    NoForeground {
        /// Scan or template.
        which: &'static str,
    },
    /// An affine has no inverse.
    #[error("the affine has no inverse: {affine:?}; correct the header")]
    Singular {
        /// The affine.
        affine: Box<Affine>,
    },
}
