//! The protocol of "MedIAnomaly".

use serde::{Deserialize, Serialize};

use super::slices::{SliceScores, reduce_whole};
use super::{CaseView, NamedValue, best_dice_above};
use crate::{RankedScores, Reduction, ScoreError};

/// As Cai et al. count in "MedIAnomaly: A comparative study of anomaly detection in medical images" (2024).
///
/// - **Voxels**: all pixels of all slices together, background included; no brain mask is used.
/// - **Thresholds**: every `n / 200`-th of the n scores in order, from the least up; `score > threshold` is predicted.
/// - **Dice**: of all pixels together, at the best of these thresholds. No post-processing.
/// - **Slices**: the score is the mean over all pixels, background included.
///
/// Values: `slice_auroc`, `slice_ap`, `pooled_auroc`, `pooled_ap`, `pooled_best_dice`.
///
/// # What differs here
/// The paper takes single FLAIR slices of BraTS 2021, healthy and with tumour, scaled to `[−1, 1]` and 64², labels by
/// nearest neighbour. A map is measured on the grid that it has, over its slices with brain (all, without a mask). Maps
/// here are 0 outside the brain; those of the paper hold whatever the network left there.
///
/// Holds about 13 bytes for each pixel of all cases.
///
/// # Source
/// `caiyu6666/MedIAnomaly`: `reconstruction/utils/ae_worker.py` (`AEWorker.evaluate`), `reconstruction/utils/util.py`
/// (`compute_best_dice`, `compute_dice`), `reconstruction/dataloaders/dataload.py` (`BraTSAD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MedIAnomaly {
    /// Thresholds tried for the best Dice, 1 to 100 000; all scores where there are fewer.
    pub thresholds: usize,
}

/// 200 thresholds.
impl Default for MedIAnomaly {
    fn default() -> Self {
        Self { thresholds: 200 }
    }
}

impl MedIAnomaly {
    /// Measures cases.
    ///
    /// # Errors
    /// [`ScoreError::Setting`] if the number of thresholds is out of range; [`ScoreError::NoPositives`] or [`ScoreError::NoNegatives`] if all voxels of slices with brain have one label.
    pub fn measure(self, cases: &[CaseView<'_>]) -> Result<Vec<NamedValue>, ScoreError> {
        let in_range = (1..=100_000).contains(&self.thresholds);
        ScoreError::check(in_range, "thresholds", "1 to 100 000")?;
        let slices =
            SliceScores::new("slice", cases, |slice| reduce_whole(slice, Reduction::Mean))?;
        let (mut scores, mut labels) = (Vec::new(), Vec::new());
        for slice in cases.iter().flat_map(CaseView::slices) {
            scores.extend(slice.masked_scores());
            labels.extend(slice.all_labels());
        }
        let ranked = RankedScores::new(&scores, &labels)?.into_sorted();
        Ok(vec![
            slices.auroc(),
            slices.average_precision(),
            NamedValue::new("pooled_auroc", ranked.auroc()?),
            NamedValue::new("pooled_ap", ranked.average_precision()?),
            NamedValue::new("pooled_best_dice", self.best_dice(&ranked, scores)?),
        ])
    }

    fn best_dice(self, ranked: &RankedScores, mut scores: Vec<f32>) -> Result<f64, ScoreError> {
        scores.sort_unstable_by(f32::total_cmp);
        let step = (scores.len() / self.thresholds).max(1);
        Ok(best_dice_above(ranked, scores.into_iter().step_by(step))?.dice)
    }
}
