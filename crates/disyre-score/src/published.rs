//! The published evaluation protocol, for comparison with published figures; `disyre evaluate` calls it.
//!
//! The exact metrics of [`RankedScores`] need neither sampling nor a grid of thresholds.
//!
//! ```
//! use disyre_score::{Key, published};
//! let (scores, labels) = ([0.0, 0.1, 0.2, 0.9], [0, 0, 1, 1]);
//! let (drawn, truth) = published::sample_voxels(Key::new(0), &scores, &labels, 1000)?;
//! assert_eq!(published::best_dice(&drawn, &truth)?.dice, 1.0);
//! # Ok::<(), disyre_score::ScoreError>(())
//! ```

use disyre_core::Key;
use disyre_core::ndarray::{ArrayView2, ArrayView3, Axis};
use disyre_core::rand::RngExt;
use disyre_core::{ShapeError, ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::{BestDice, RankedScores, ScoreError};

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
    let mut best = BestDice { dice: 0.0, threshold: f32::INFINITY };
    for threshold in linspace(least, 1.0, THRESHOLDS) {
        let threshold = threshold.next_up();
        let dice = ranked.at(threshold)?.dice().unwrap_or(0.0);
        if dice > best.dice {
            best = BestDice { dice, threshold };
        }
    }
    Ok(best)
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

/// Reduction of the scores of a slice to one number.
///
/// ```
/// use disyre_score::{ndarray::array, published::{SliceScore, slices}};
/// let (scores, labels) = (array![[[4.0, 0.0], [1.0, 3.0]]], array![[[0, 0], [0, 1]]]);
/// let found = slices(scores.view(), labels.view(), SliceScore::Top(2))?;
/// assert_eq!(found, (vec![3.5], vec![1]));
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SliceScore {
    /// The mean over all voxels.
    Mean,
    /// The greatest score.
    Max,
    /// The mean of this many greatest scores (published: 100), or of all voxels of a smaller slice.
    Top(usize),
}

/// One score and one label for every axial slice: the input of slice-wise AP, best Dice and AUROC.
///
/// # Shapes and units
/// `scores` and `labels` are `(z, y, x)`; returns z scores and z labels, 1 where any voxel's label is non-zero.
///
/// # Errors
/// [`ScoreError::Shape`] if the shapes differ, a slice has no voxel, or a score is not finite.
///
/// # Source
/// The published code's slice-wise evaluation.
pub fn slices(
    scores: ArrayView3<'_, f32>,
    labels: ArrayView3<'_, u8>,
    reduction: SliceScore,
) -> Result<(Vec<f32>, Vec<u8>), ScoreError> {
    ensure_same_shape("labels", scores.shape(), labels.shape())?;
    ensure_finite("scores", &scores)?;
    if scores.is_empty() {
        return Err(ShapeError::Empty { array: "scores" }.into());
    }
    let reduce = |slice: ArrayView2<'_, f32>| reduce(slice.iter().copied().collect(), reduction);
    let slice_scores = scores.axis_iter(Axis(0)).map(reduce).collect();
    let any = |slice: ArrayView2<'_, u8>| u8::from(slice.iter().any(|&label| label != 0));
    Ok((slice_scores, labels.axis_iter(Axis(0)).map(any).collect()))
}

fn reduce(mut voxels: Vec<f32>, reduction: SliceScore) -> f32 {
    let count = match reduction {
        SliceScore::Mean => voxels.len(),
        SliceScore::Max => 1,
        SliceScore::Top(count) => count.clamp(1, voxels.len()),
    };
    if count < voxels.len() {
        voxels.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    }
    let sum: f64 = voxels[..count].iter().copied().map(f64::from).sum();
    (sum / count as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

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

    #[test]
    fn slices_are_reduced_by_mean_max_and_top() {
        let scores = array![[[4.0, 0.0], [1.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]];
        let labels = array![[[0u8, 0], [0, 2]], [[0, 0], [0, 0]]];
        let run = |reduction| slices(scores.view(), labels.view(), reduction).unwrap();
        assert_eq!(run(SliceScore::Mean), (vec![2.0, 0.0], vec![1, 0]));
        assert_eq!(run(SliceScore::Max).0, [4.0, 0.0]);
        assert_eq!(run(SliceScore::Top(2)).0, [3.5, 0.0]);
        assert_eq!(run(SliceScore::Top(100)).0, [2.0, 0.0]);
    }
}
