//! Errors of scores and metrics.

use disyre_core::{RestoreError, ShapeError};

/// Failure to compute a score or a metric.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// Arrays that do not fit each other, are empty, or hold a value that is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The restorer failed.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// An ensemble without a severity.
    #[error("the ensemble has no severity to restore at; give at least one")]
    NoSeverities,
    /// A metric that needs lesion voxels, without any.
    #[error("{metric} is undefined: none of the {voxels} labels is positive; leave this case out")]
    NoPositives {
        /// Name of the metric.
        metric: &'static str,
        /// Number of labels.
        voxels: u64,
    },
    /// A metric that needs healthy voxels, without any.
    #[error("{metric} is undefined: all of the {voxels} labels are positive; leave this case out")]
    NoNegatives {
        /// Name of the metric.
        metric: &'static str,
        /// Number of labels.
        voxels: u64,
    },
}
