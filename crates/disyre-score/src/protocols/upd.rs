//! The protocol of "Unsupervised Pathology Detection".

use serde::{Deserialize, Serialize};

use super::slices::SliceScores;
use super::{CaseView, NamedValue, best_dice_above};
use crate::{RankedScores, Reduction, ScoreError, ScorePool};

/// As Lagogiannis et al. count in "Unsupervised Pathology Detection: A Deep Dive Into the State of the Art" (2023).
///
/// - **Voxels**: all pixels of all axial slices that hold brain, of all volumes together. The map is 0 outside the
///   brain, and these pixels count.
/// - **Thresholds**: 100, equally spaced from the greatest score of all to the least; `score > threshold` is predicted.
/// - **Dice**: of all pixels together, at the best of these thresholds. No post-processing.
/// - **Slices**: the score is the greatest one within the brain; a slice is abnormal if any of its pixels is.
///
/// Values: `slice_ap`, `slice_auroc`, `pooled_ap`, `pooled_best_dice`.
///
/// # What differs here
/// The paper registers volumes, keeps slices 15 to 134, crops them to squares and resizes images and labels (at .4) to
/// 128²; these are choices of the image before its map exists, so a map is measured on the grid that it has, over all
/// of its slices with brain. Without a brain mask, all pixels count as brain.
///
/// Holds 4 bytes for each pixel of all cases, in temporary files beyond the budget of a [`ScorePool`].
///
/// # Source
/// `iolag/UPD_study`: `UPD_study/utilities/evaluate.py` (`evaluate`), `UPD_study/utilities/utils.py` (`metrics`),
/// `Utilities/metrics.py` (`compute_best_dice`, 100 thresholds), `UPD_study/data/dataloaders/MRI.py`
/// (`get_dataloaders`: slices with brain) and `mri_preprocessing.py` (`load_nii_nn`, `load_segmentation`), the trainers'
/// `val_step` (mask and greatest score).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upd {
    /// Thresholds tried for the best Dice, 2 to 100 000.
    pub thresholds: usize,
}

/// 100 thresholds.
impl Default for Upd {
    fn default() -> Self {
        Self { thresholds: 100 }
    }
}

impl Upd {
    /// Measures cases.
    ///
    /// # Errors
    /// [`ScoreError::Setting`] if the number of thresholds is out of range, [`ScoreError::NoPositives`] if no voxel of a slice with brain is lesion.
    pub fn measure(self, cases: &[CaseView<'_>]) -> Result<Vec<NamedValue>, ScoreError> {
        let in_range = (2..=100_000).contains(&self.thresholds);
        ScoreError::check(in_range, "thresholds", "2 to 100 000")?;
        let slices = SliceScores::new("slice", cases, |slice| slice.reduce_brain(Reduction::Max))?;
        let mut pool = ScorePool::default();
        let mut ends = (f32::INFINITY, f32::NEG_INFINITY);
        for slice in cases.iter().flat_map(CaseView::slices) {
            let scores: Vec<f32> = slice.masked_scores().into_iter().collect();
            let labels: Vec<u8> = slice.all_labels().collect();
            ends = scores.iter().fold(ends, |(low, high), &s| (low.min(s), high.max(s)));
            pool.add(&scores, &labels)?;
        }
        let ranked = pool.rank()?.into_sorted();
        Ok(vec![
            slices.average_precision(),
            slices.auroc(),
            NamedValue::new("pooled_ap", ranked.average_precision()?),
            NamedValue::new("pooled_best_dice", self.best_dice(&ranked, ends)?),
        ])
    }

    fn best_dice(self, ranked: &RankedScores, ends: (f32, f32)) -> Result<f64, ScoreError> {
        let (least, greatest) = (f64::from(ends.0), f64::from(ends.1));
        let last = self.thresholds - 1;
        let step = (least - greatest) / last as f64;
        // The last is the least score itself, whatever the rounding.
        let inner = (0..last).map(|index| (greatest + step * index as f64) as f32);
        Ok(best_dice_above(ranked, inner.chain([ends.0]))?.dice)
    }
}
