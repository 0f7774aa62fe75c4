use disyre_core::{RestoreError, ShapeError};

/// Why a score or a metric could not be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// Arrays that do not fit each other, are empty, or hold a value that is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The restorer failed.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// An ensemble over nothing.
    #[error("the ensemble has no severity to restore at; give at least one")]
    NoSeverities,
    /// A metric that needs lesion voxels, without any.
    #[error("{metric} is undefined: none of the {voxels} labels is positive; leave this case out")]
    NoPositives {
        /// Which metric.
        metric: &'static str,
        /// How many labels there were.
        voxels: u64,
    },
    /// A metric that needs healthy voxels, without any.
    #[error("{metric} is undefined: all of the {voxels} labels are positive; leave this case out")]
    NoNegatives {
        /// Which metric.
        metric: &'static str,
        /// How many labels there were.
        voxels: u64,
    },
}
