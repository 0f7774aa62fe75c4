//! Thresholds of a calibrated score; mask, table of findings and alarm of a scan.
//!
//! [`Thresholds::fit`] finds them on healthy scans of which none is behind the healthy maps or trained the network, `split`
//! chooses these, `injected` makes copies with anomalies, and `marked` applies a threshold to a map.

mod fit;
mod injected;
mod marked;
mod split;

use disyre_dag::Family;
use disyre_score::conformal::p_value;
use serde::{Deserialize, Serialize};

pub use fit::{ThresholdConfig, ThresholdRequest};
pub(crate) use marked::ScoreMaps;
pub use marked::{Finding, Marked, Polarity, ScanAlarm, Side};
pub use split::{CalibrationScans, split_scans};

use crate::Error;
use crate::calibration::HealthyScan;

/// Thresholds of a calibrated score, and the alarm scores of healthy scans.
///
/// The healthy threshold keeps the rates of false voxels and false findings on new healthy scans, in expectation, if they are
/// exchangeable with [`scans`](Self::scans): `docs/CALIBRATION.md`. The lesion threshold promises nothing; it is the one with
/// the best mean Dice on copies of the same scans with synthetic anomalies.
///
/// # Source
/// Ours, on the conformal risk control of [`disyre_score::conformal`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Findings below this volume are left out, in mm³.
    pub least_volume_mm3: f64,
    /// Of a finding, only the voxels that score at least this share of its greatest score are kept, in `[0, 1]`; 0, as in earlier
    /// versions: all from the threshold on.
    #[serde(default)]
    pub peak_share: f64,
    /// By healthy scans alone.
    pub healthy: HealthyThreshold,
    /// By synthetic anomalies.
    pub lesions: LesionThreshold,
    /// The healthy scans.
    pub scans: Vec<HealthyScan>,
    /// Scans that were given but do not count, as their registration is doubtful.
    pub left_out: Vec<HealthyScan>,
    /// Alarm score of each of [`scans`](Self::scans).
    pub alarm_scores: Vec<f32>,
}

/// A threshold that keeps two rates on new healthy scans.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthyThreshold {
    /// The greater of the two.
    pub threshold: f32,
    /// By the share of the brain's voxels that are marked.
    pub false_voxels: RateThreshold,
    /// By the number of findings.
    pub false_findings: RateThreshold,
}

/// The least threshold that keeps one rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateThreshold {
    /// The threshold.
    pub threshold: f32,
    /// Greatest expected loss of a new healthy scan.
    pub rate: f64,
    /// A loss above this counts as this.
    pub bound: f64,
}

/// The threshold with the best mean Dice on copies of healthy scans with a synthetic anomaly each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LesionThreshold {
    /// The threshold.
    pub threshold: f32,
    /// Mean Dice of all voxels from the threshold on, on the copies, which chose it.
    pub mean_dice: f64,
    /// Kind of the anomalies.
    pub family: Family,
    /// Number of copies.
    pub copies: usize,
}

/// The threshold that marks voxels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskThreshold {
    /// That of healthy scans: few false findings, and perhaps no true ones.
    #[default]
    Healthy,
    /// That of synthetic anomalies: without a promise for healthy scans.
    Lesions,
}

impl Thresholds {
    /// Checks the settings of findings.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the field and what it may hold.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self { least_volume_mm3, peak_share, .. } = *self;
        ThresholdConfig { least_volume_mm3, peak_share, ..ThresholdConfig::default() }.check()
    }

    /// One of its thresholds.
    pub fn threshold(&self, which: MaskThreshold) -> f32 {
        match which {
            MaskThreshold::Healthy => self.healthy.threshold,
            MaskThreshold::Lesions => self.lesions.threshold,
        }
    }

    /// Alarm of a scan with this alarm score.
    pub(crate) fn alarm(&self, score: f32) -> ScanAlarm {
        let healthy_scans = self.alarm_scores.len();
        ScanAlarm { score, p_value: p_value(&self.alarm_scores, score), healthy_scans }
    }
}
