//! The exact protocol: ours.

use super::{CaseView, NamedValue};
use crate::{RankedScores, ScoreError, ScorePool};

/// Every voxel of the brain (of the map, without a mask), every distinct score as a threshold.
///
/// Values: `pooled_ap`, `pooled_best_dice` and `pooled_auroc` over the voxels of all cases together, and
/// `per_volume_ap`, `per_volume_best_dice` and `per_volume_auroc`, the means of the cases that have a lesion, each with
/// its own best threshold; `per_slice_ap` and `per_slice_best_dice`, the means of the axial slices that have a lesion, each
/// with its own best threshold: greater the thicker the slices, so not for comparing grids. A case without a healthy voxel has no AUROC and is left out of its mean alone.
///
/// Holds one case, and as much of the others as the budget of a [`ScorePool`] says; the rest is in temporary files.
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
        let (mut aps, mut dices, mut aurocs) = (vec![], vec![], vec![]);
        let (mut slice_aps, mut slice_dices) = (vec![], vec![]);
        for case in cases {
            let (scores, labels) = case.brain_voxels();
            pool.add(&scores, &labels)?;
            let ranked = RankedScores::new(&scores, &labels)?;
            if ranked.positives() > 0 {
                aps.push(ranked.average_precision()?);
                dices.push(ranked.best_dice()?.dice);
            }
            if ranked.positives() > 0 && ranked.negatives() > 0 {
                aurocs.push(ranked.auroc()?);
            }
            for slice in case.slices() {
                let (scores, labels) = slice.brain_voxels();
                let ranked = RankedScores::new(&scores, &labels)?;
                if ranked.positives() > 0 {
                    slice_aps.push(ranked.average_precision()?);
                    slice_dices.push(ranked.best_dice()?.dice);
                }
            }
        }
        let pooled = pool.rank()?.metrics()?;
        Ok(vec![
            NamedValue::new("pooled_ap", pooled.average_precision),
            NamedValue::new("pooled_best_dice", pooled.best_dice.dice),
            NamedValue::new("pooled_auroc", pooled.auroc),
            NamedValue::new("per_volume_ap", mean(&aps)),
            NamedValue::new("per_volume_best_dice", mean(&dices)),
            NamedValue::new("per_volume_auroc", mean(&aurocs)),
            NamedValue::new("per_slice_ap", mean(&slice_aps)),
            NamedValue::new("per_slice_best_dice", mean(&slice_dices)),
        ])
    }
}

/// The mean; none of nothing.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
