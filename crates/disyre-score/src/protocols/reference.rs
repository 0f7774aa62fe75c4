//! The protocol of the published code of DISYRE, for comparison with published figures.
//!
//! The exact metrics of [`RankedScores`] need neither sampling nor a grid of thresholds.
//!
//! ```
//! use disyre_score::{Key, protocols::reference};
//! let (scores, labels) = ([0.0, 0.1, 0.2, 0.9], [0, 0, 1, 1]);
//! let (drawn, truth) = reference::sample_voxels(Key::new(0), &scores, &labels, 1000)?;
//! assert_eq!(reference::best_dice(&drawn, &truth)?.dice, 1.0);
//! # Ok::<(), disyre_score::ScoreError>(())
//! ```

use disyre_core::rand::RngExt;
use disyre_core::{Key, ShapeError, ensure_same_shape};
use serde::{Deserialize, Serialize};

use super::slices::{SliceScores, reduce_whole};
use super::{CaseView, NamedValue, best_dice_above};
use crate::{BestDice, RankedScores, Reduction, ScoreError};

/// Voxels drawn from each volume.
///
/// # Source
/// The published code's pixel-wise evaluation.
pub const VOXELS_PER_VOLUME: usize = 10_000;

/// Thresholds tried for the best Dice.
///
/// # Source
/// The published code's pixel-wise evaluation.
pub const THRESHOLDS: usize = 200;

/// As the published code of DISYRE counts.
///
/// - **Voxels**: 10 000 of each volume, drawn with replacement, of all volumes together: [`sample_voxels`]. With a brain
///   mask they are drawn inside it; the published code draws from the volume cropped to its foreground.
/// - **Thresholds**: 200, equally spaced from the least score drawn to 1: [`best_dice`].
/// - **Dice**: of all voxels drawn together. No post-processing.
/// - **Slices**: scored by the mean, the greatest score and the mean of the 100 greatest; a slice is abnormal if any of
///   its voxels is.
///
/// Values: `pooled_ap`, `pooled_best_dice`, `pooled_auroc`; `slice_mean_ap`, `slice_mean_best_dice`, `slice_mean_auroc`,
/// and the same with `slice_max_` and `slice_top_`.
///
/// Holds the drawn voxels of all cases, 5 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reference {
    /// Voxels drawn from each volume, 1 to 100 million.
    pub voxels: usize,
}

/// 10 000 voxels a volume.
impl Default for Reference {
    fn default() -> Self {
        Self { voxels: VOXELS_PER_VOLUME }
    }
}

impl Reference {
    /// Measures cases. Case i draws from the i-th child of the key.
    ///
    /// # Errors
    /// [`ScoreError::Setting`] if the number of voxels is out of range, [`ScoreError::EmptyBrain`] that names a case
    /// whose mask has no voxel, [`ScoreError::NoPositives`] or [`ScoreError::NoNegatives`] if all voxels drawn have one
    /// label.
    pub fn measure(self, key: Key, cases: &[CaseView<'_>]) -> Result<Vec<NamedValue>, ScoreError> {
        let in_range = (1..=100_000_000).contains(&self.voxels);
        ScoreError::check(in_range, "voxels", "1 to 100 million")?;
        let (mut scores, mut labels) = (Vec::new(), Vec::new());
        for (index, case) in cases.iter().enumerate() {
            let (of_case, truth) = case.brain_voxels();
            if of_case.is_empty() {
                return Err(ScoreError::EmptyBrain { case: index });
            }
            let drawn = sample_voxels(key.child(index), &of_case, &truth, self.voxels)?;
            scores.extend(drawn.0);
            labels.extend(drawn.1);
        }
        let ranked = RankedScores::new(&scores, &labels)?;
        let mut values = vec![
            NamedValue::new("pooled_ap", ranked.average_precision()?),
            NamedValue::new("pooled_best_dice", best_dice(&scores, &labels)?.dice),
            NamedValue::new("pooled_auroc", ranked.auroc()?),
        ];
        let reductions = [
            ("slice_mean", Reduction::Mean),
            ("slice_max", Reduction::Max),
            ("slice_top", Reduction::Top(100)),
        ];
        for (name, reduction) in reductions {
            let slices = SliceScores::new(name, cases, |slice| reduce_whole(slice, reduction))?;
            values.extend([slices.average_precision(), slices.best_dice(), slices.auroc()]);
        }
        Ok(values)
    }
}

/// Draws voxels of a volume uniformly, with replacement; the draws of all volumes are then pooled.
///
/// # Shapes and units
/// One label for each score. Returns `count` scores and their labels.
///
/// # Errors
/// [`ScoreError::Shape`] if the lengths differ or there is no voxel.
///
/// # Source
/// The published code draws [`VOXELS_PER_VOLUME`] voxels of the cropped volume, background included, without a seed;
/// here `key` fixes the draw.
pub fn sample_voxels(
    key: Key,
    scores: &[f32],
    labels: &[u8],
    count: usize,
) -> Result<(Vec<f32>, Vec<u8>), ScoreError> {
    ensure_same_shape("labels", &[scores.len()], &[labels.len()])?;
    if scores.is_empty() {
        return Err(ShapeError::Empty { array: "scores" }.into());
    }
    let mut rng = key.rng();
    let draw = |_| {
        let index = rng.random_range(0..scores.len());
        (scores[index], labels[index])
    };
    Ok((0..count).map(draw).unzip())
}

/// The best Dice over [`THRESHOLDS`] equally spaced thresholds, from the least score to the greatest label (1).
///
/// The published code predicts scores strictly above its threshold; the threshold returned is the next number up, so
/// that `score ≥ threshold` predicts the same voxels. The result is at most the exact [`RankedScores::best_dice`]:
/// scores rarely fill `[0, 1]`, so few of the thresholds lie among them.
///
/// # Shapes and units
/// One label for each score; non-zero = lesion.
///
/// # Errors
/// Those of [`RankedScores::new`]; [`ScoreError::NoPositives`] if no label is positive.
///
/// # Source
/// The published code's best Dice, without its memory of voxels × thresholds.
pub fn best_dice(scores: &[f32], labels: &[u8]) -> Result<BestDice, ScoreError> {
    let ranked = RankedScores::new(scores, labels)?;
    ranked.ensure_positives("best Dice")?;
    let least = scores.iter().copied().fold(f32::INFINITY, f32::min);
    best_dice_above(&ranked, linspace(least, 1.0, THRESHOLDS))
}

/// Equally spaced numbers as PyTorch computes them: from both ends towards the middle, in `f32`.
fn linspace(start: f32, end: f32, count: usize) -> impl Iterator<Item = f32> {
    let step = (end - start) / (count - 1) as f32;
    (0..count).map(move |index| {
        if index < count / 2 {
            start + step * index as f32
        } else {
            end - step * (count - 1 - index) as f32
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_lie_one_two_hundredth_apart_and_end_at_one() {
        let thresholds: Vec<f32> = linspace(0.0, 1.0, THRESHOLDS).collect();
        assert_eq!(thresholds.len(), 200);
        assert_eq!((thresholds[0], thresholds[199]), (0.0, 1.0));
        assert!((thresholds[1] - 1.0 / 199.0).abs() < 1e-9);
        assert!(thresholds.is_sorted());
    }

    #[test]
    fn scores_closer_than_the_grid_are_not_distinguished() {
        // Thresholds are 0, 0.005, ...: 0.001 and 0.002 are both above the first and below the second.
        let best = best_dice(&[0.0, 0.001, 0.002], &[0, 0, 1]).unwrap();
        assert_eq!(best.dice, 2.0 / 3.0);
        assert_eq!(best.threshold, 0.0_f32.next_up());
        assert_eq!(crate::best_dice(&[0.0, 0.001, 0.002], &[0, 0, 1]).unwrap().dice, 1.0);
    }

    #[test]
    fn a_draw_keeps_scores_and_labels_together_and_is_fixed_by_its_key() {
        let scores: Vec<f32> = (0..50).map(|i| i as f32).collect();
        let labels: Vec<u8> = (0..50).map(|i| i % 2).collect();
        let key = Key::new(3).child("evaluate");
        let draw = sample_voxels(key, &scores, &labels, 10_000).unwrap();
        assert!(draw.0.iter().zip(&draw.1).all(|(s, l)| *s as u8 % 2 == *l));
        assert_eq!(draw, sample_voxels(key, &scores, &labels, 10_000).unwrap());
        // Each voxel is drawn 200 times on average, with a standard deviation of 14.
        let counts = (0..50).map(|i| draw.0.iter().filter(|&&s| s == i as f32).count());
        assert!(counts.into_iter().all(|count| (130..270).contains(&count)));
    }

    #[test]
    fn nothing_can_be_drawn_from_nothing() {
        let error = sample_voxels(Key::new(0), &[], &[], 10).unwrap_err();
        assert_eq!(error.to_string(), "scores is empty");
        assert!(sample_voxels(Key::new(0), &[1.0], &[], 10).is_err());
    }
}
