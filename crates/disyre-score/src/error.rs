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
    /// A metric that needs lesion voxels (or scans with a lesion), without any.
    #[error("{metric} is undefined: none of the {voxels} labels is positive; it needs a lesion")]
    NoPositives {
        /// Name of the metric.
        metric: &'static str,
        /// Number of labels.
        voxels: u64,
    },
    /// A metric that needs healthy voxels (or scans), without any.
    #[error(
        "{metric} is undefined: all of the {voxels} labels are positive; it needs healthy ones"
    )]
    NoNegatives {
        /// Name of the metric.
        metric: &'static str,
        /// Number of labels.
        voxels: u64,
    },
    /// A temporary file of sorted scores that cannot be written or read.
    #[error(
        "cannot keep scores in a temporary file ({source}); free space in its folder, choose another, or raise the budget of memory"
    )]
    Spill {
        /// Reason that the system reports.
        source: std::io::Error,
    },
    /// A threshold that is not a number.
    #[error("the threshold is not a number; use a score, or an infinite one")]
    Threshold,
    /// A setting out of its range.
    #[error("`{field}` is out of range; use {expected}")]
    Setting {
        /// Name of the field.
        field: &'static str,
        /// Its range.
        expected: &'static str,
    },
    /// A brain mask without a voxel, where voxels are drawn from each brain.
    #[error(
        "the brain mask of case {case} (the first is 0) has no voxel; mend it, or leave this case out"
    )]
    EmptyBrain {
        /// Index of the case.
        case: usize,
    },
    /// Bins that a score of 32 bits does not have.
    #[error("a histogram by {bits} leading bits has bins of infinite width, or none; use 9 to 32")]
    HistogramBits {
        /// Leading bits of a score that name its bin.
        bits: u32,
    },
    /// Histograms that cannot be joined.
    #[error(
        "the histogram is damaged or has other bits than the one that it is added to; count both with the same bits"
    )]
    Histograms,
    /// The index of a case that was not added.
    #[error("there is no case {case} among {cases}; indices begin at 0")]
    NoSuchCase {
        /// The index.
        case: usize,
        /// Number of cases.
        cases: usize,
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
    /// Too few healthy scans to promise a rate on new ones.
    #[error(
        "{scans} healthy scans cannot promise a rate of {rate}: at least {needed} are needed; add scans, or allow a higher rate"
    )]
    TooFewHealthy {
        /// Number of healthy scans.
        scans: usize,
        /// Least number for the rate.
        needed: usize,
        /// The rate.
        rate: f64,
    },
    /// A spacing that is not above 0 and finite.
    #[error(
        "spacing {spacing_mm:?} mm is not above 0 and finite; read it from the header of the scan"
    )]
    Spacing {
        /// The spacing, along `(z, y, x)`.
        spacing_mm: [f64; 3],
    },
    /// A share of an overlap rule outside `(0, 1]`.
    #[error("an overlap of {least} is not above 0 and at most 1; use 0.1, for instance")]
    OverlapShare {
        /// The least share.
        least: f64,
    },
    /// A smallest volume below 0 or not finite.
    #[error(
        "a smallest volume of {volume_mm3} mm³ is not at least 0 and finite; use 0 to count all"
    )]
    SmallestVolume {
        /// The volume.
        volume_mm3: f64,
    },
    /// Limits of bins that do not ascend from above 0.
    #[error("limits {limits_mm3:?} of size bins do not ascend from above 0; sort them")]
    SizeBins {
        /// The limits, in mm³.
        limits_mm3: Vec<f64>,
    },
    /// Lesion counts in different bins.
    #[error("lesions were counted in other size bins; count all scans with the same bins")]
    OtherSizeBins,
    /// A rate of false positives, up to which to integrate, outside `(0, 1]`.
    #[error("a limit of {limit} is not above 0 and at most 1; PRO is usually integrated up to 0.3")]
    Limit {
        /// The limit.
        limit: f64,
    },
    /// Cases whose lesion voxels are not those that were ranked.
    #[error(
        "{ranked} lesion voxels were ranked, the cases have {cases}; rank the voxels of the same brains"
    )]
    OtherVoxels {
        /// Lesion voxels ranked.
        ranked: u64,
        /// Lesion voxels of the cases.
        cases: u64,
    },
    /// A volume with more voxels than a measure can index.
    #[error(
        "the volume has {voxels} voxels with its border, at most {limit} can be swept; crop it to the brain"
    )]
    TooManyVoxels {
        /// Number of voxels with a border of one.
        voxels: usize,
        /// The greatest number.
        limit: usize,
    },
}

impl ScoreError {
    /// Refuses a setting unless it is in its range.
    pub(crate) fn check(
        in_range: bool,
        field: &'static str,
        expected: &'static str,
    ) -> Result<(), Self> {
        if in_range { Ok(()) } else { Err(Self::Setting { field, expected }) }
    }

    pub(crate) fn spill(source: std::io::Error) -> Self {
        Self::Spill { source }
    }
}
