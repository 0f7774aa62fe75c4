//! Lesion-wise counts and what follows from them.

use serde::{Deserialize, Serialize};

use crate::ScoreError;
use crate::arithmetic::share;

/// Lesions of a bin of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeBinCount {
    /// Least volume, in mm³.
    pub from_mm3: f64,
    /// Least volume of the next bin, in mm³; none for the last.
    pub to_mm3: Option<f64>,
    /// Number of lesions.
    pub lesions: u64,
    /// Number of lesions detected.
    pub detected: u64,
}

impl SizeBinCount {
    /// Lesion-wise recall of the bin, in `[0, 1]`; none without a lesion.
    pub fn recall(&self) -> Option<f64> {
        share(self.detected, self.lesions)
    }
}

/// Lesions and findings counted at one threshold, over one scan or several: the counts add up.
///
/// ```
/// use disyre_score::{ndarray::arr3, regions::{LesionConfig, Lesions}};
/// let matcher = LesionConfig::default().build()?;
/// let count = |label: [u8; 5], prediction: [u8; 5]| {
///     let (label, prediction) = (arr3(&[[label]]), arr3(&[[prediction]]));
///     matcher.measures(&Lesions::new(label.view(), None, [1.0; 3])?, prediction.view())
/// };
/// let mut all = count([1, 1, 0, 0, 1], [1, 0, 0, 0, 0])?; // one of two lesions
/// all.merge(&count([0, 0, 0, 0, 0], [0, 1, 1, 0, 0])?)?; // a healthy scan with a false finding
/// assert_eq!((all.recall(), all.precision()), (Some(0.5), Some(0.5)));
/// assert_eq!((all.f1(), all.false_positives_per_scan()), (Some(0.5), Some(0.5)));
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LesionMeasures {
    /// Number of scans.
    pub scans: u64,
    /// Lesions of at least the smallest size.
    pub lesions: u64,
    /// Lesions detected.
    pub detected: u64,
    /// Findings on lesions.
    pub true_findings: u64,
    /// Findings that are on no lesion.
    pub false_findings: u64,
    /// Lesions by volume.
    pub by_size: Vec<SizeBinCount>,
}

impl LesionMeasures {
    /// Lesion-wise recall: detected lesions of all, in `[0, 1]`; none without a lesion.
    pub fn recall(&self) -> Option<f64> {
        share(self.detected, self.lesions)
    }

    /// Precision over findings: true ones of all, in `[0, 1]`; none without a finding.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_findings, self.true_findings + self.false_findings)
    }

    /// Lesion-wise F1: `2 TP / (2 TP + FP + FN)` of detected lesions, false findings and missed lesions, in `[0, 1]`;
    /// none without a lesion and a finding.
    ///
    /// # Source
    /// ISLES 2022 (Hernandez Petzsche et al. 2022), evaluation code; there it is 1 where this is none.
    pub fn f1(&self) -> Option<f64> {
        share(2 * self.detected, self.detected + self.lesions + self.false_findings)
    }

    /// Mean number of false findings of a scan; none without a scan.
    pub fn false_positives_per_scan(&self) -> Option<f64> {
        share(self.false_findings, self.scans)
    }

    /// Adds the counts of other scans.
    ///
    /// # Errors
    /// [`ScoreError::OtherSizeBins`] if they were counted in other bins; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), ScoreError> {
        let limits = |counts: &Self| -> Vec<_> {
            counts.by_size.iter().map(|bin| (bin.from_mm3, bin.to_mm3)).collect()
        };
        if limits(self) != limits(other) {
            return Err(ScoreError::OtherSizeBins);
        }
        self.scans += other.scans;
        self.lesions += other.lesions;
        self.detected += other.detected;
        self.true_findings += other.true_findings;
        self.false_findings += other.false_findings;
        for (own, other) in self.by_size.iter_mut().zip(&other.by_size) {
            own.lesions += other.lesions;
            own.detected += other.detected;
        }
        Ok(())
    }
}
