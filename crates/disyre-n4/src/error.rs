//! Errors of bias field correction.
use disyre_core::ShapeError;

/// Errors of bias field correction.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum N4Error {
    /// A whole number of the settings is out of its range.
    #[error("{setting} is {got}; choose {least} to {most}")]
    Setting {
        /// The field of [`N4Config`](crate::N4Config).
        setting: &'static str,
        /// The value given.
        got: usize,
        /// Least allowed value.
        least: usize,
        /// Greatest allowed value.
        most: usize,
    },
    /// A real number of the settings is not a finite number above 0.
    #[error("{setting} is {got}; it must be a finite number above 0")]
    NotPositive {
        /// The field of [`N4Config`](crate::N4Config).
        setting: &'static str,
        /// The value given.
        got: f64,
    },
    /// The last fitting level would have too large a lattice.
    #[error(
        "{levels} fitting levels from {control_points:?} control points end with {last} along an axis, more than {most}; remove entries of iterations"
    )]
    Lattice {
        /// Number of fitting levels.
        levels: usize,
        /// Control points of the first level, `(z, y, x)`.
        control_points: [usize; 3],
        /// Most control points along an axis at the last level.
        last: usize,
        /// Greatest allowed number.
        most: usize,
    },
    /// No sampled voxel can be used.
    #[error(
        "only {got} of the sampled voxels are in the mask and above 0, and 2 are needed; check the mask, or use a smaller shrink than {shrink}"
    )]
    NoVoxels {
        /// Number of usable voxels.
        got: usize,
        /// The shrink factor.
        shrink: usize,
    },
    /// A weight is negative.
    #[error("weights hold {weight} at voxel {voxel:?} (z, y, x); they must be 0 or more")]
    NegativeWeight {
        /// The weight.
        weight: f32,
        /// The first such voxel.
        voxel: [usize; 3],
    },
    /// Arrays do not fit each other, or a value is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}
