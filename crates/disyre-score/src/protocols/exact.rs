//! The exact protocol: ours.

use super::{CaseView, NamedValue};
use crate::{RankedScores, ScoreError, ScorePool};

/// Every voxel of the brain (of the map, without a mask), every distinct score as a threshold.
///
/// Values: `pooled_ap`, `pooled_best_dice` and `pooled_auroc` over the voxels of all cases together, and
/// `per_volume_ap`, `per_volume_best_dice` and `per_volume_auroc`, the means of the cases that have a lesion, each with
/// its own best threshold.
///
/// # Source
/// Ours: nothing is sampled, resized or filtered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exact;

impl Exact {
    /// Measures cases.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] or [`ScoreError::NoNegatives`] if all voxels of the brains have one label.
    pub fn measure(self, cases: &[CaseView<'_>]) -> Result<Vec<NamedValue>, ScoreError> {
        let mut pool = ScorePool::default();
        let mut of_cases = Vec::new();
        for case in cases {
            let (scores, labels) = case.brain_voxels();
            pool.add(&scores, &labels)?;
            of_cases.extend(RankedScores::new(&scores, &labels)?.metrics().ok());
        }
        let pooled = pool.rank()?.metrics()?;
        let mean = |value: fn(&crate::Metrics) -> f64| {
            let sum: f64 = of_cases.iter().map(value).sum();
            (!of_cases.is_empty()).then(|| sum / of_cases.len() as f64)
        };
        Ok(vec![
            NamedValue::new("pooled_ap", pooled.average_precision),
            NamedValue::new("pooled_best_dice", pooled.best_dice.dice),
            NamedValue::new("pooled_auroc", pooled.auroc),
            NamedValue::new("per_volume_ap", mean(|m| m.average_precision)),
            NamedValue::new("per_volume_best_dice", mean(|m| m.best_dice.dice)),
            NamedValue::new("per_volume_auroc", mean(|m| m.auroc)),
        ])
    }
}
