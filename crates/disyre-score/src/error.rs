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
    /// Settings of a bootstrap that give no interval.
    #[error(
        "a bootstrap of {replicates} replicates at level {level} gives no interval; use at least 100, and a level between 0 and 1"
    )]
    Bootstrap {
        /// Number of replicates.
        replicates: usize,
        /// Level of the interval.
        level: f64,
    },
    /// A statistic without a value, over all subjects or in too large a share of the resampled sets of subjects.
    #[error(
        "the statistic is undefined in {undefined} of {of} sets of subjects; add subjects of the kind that it needs"
    )]
    UndefinedStatistic {
        /// Number of sets without a value.
        undefined: usize,
        /// Number of sets.
        of: usize,
    },
}
