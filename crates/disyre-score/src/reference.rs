//! The published evaluation protocol, for comparison with published figures. The exact metrics of
//! [`RankedScores`] need neither sampling nor a grid of thresholds.

use disyre_core::Key;
use disyre_core::ndarray::{ArrayView2, ArrayView3, Axis};
use disyre_core::rand::RngExt;
use disyre_core::{ShapeError, ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::{RankedScores, ScoreError};

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

/// The best Dice over [`THRESHOLDS`] equally spaced thresholds, from the least score to the greatest label (1);
/// predicted are scores strictly above the threshold.
///
/// At most the exact [`RankedScores::best_dice`]: scores rarely fill `[0, 1]`, so few of the thresholds lie among them.
///
/// # Shapes and units
/// One label for each score; non-zero = lesion.
///
/// # Errors
/// Those of [`RankedScores::new`]; [`ScoreError::NoPositives`] if no label is positive.
///
/// # Source
/// The published code's best Dice, without its memory of voxels × thresholds.
pub fn best_dice(scores: &[f32], labels: &[u8]) -> Result<f64, ScoreError> {
    let ranked = RankedScores::new(scores, labels)?;
    let least = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let mut best: f64 = 0.0;
    for threshold in linspace(least, 1.0, THRESHOLDS) {
        best = best.max(ranked.dice_at(threshold.next_up())?);
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

/// How the scores of a slice become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SliceScore {
    /// The mean over all voxels.
    Mean,
    /// The greatest.
    Max,
    /// The mean of the greatest so many (published: 100), or of all voxels where a slice has fewer.
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
    how: SliceScore,
) -> Result<(Vec<f32>, Vec<u8>), ScoreError> {
    ensure_same_shape("labels", scores.shape(), labels.shape())?;
    ensure_finite("scores", &scores)?;
    if scores.is_empty() {
        return Err(ShapeError::Empty { array: "scores" }.into());
    }
    let reduce = |slice: ArrayView2<'_, f32>| reduce(slice.iter().copied().collect(), how);
    let slice_scores = scores.axis_iter(Axis(0)).map(reduce).collect();
    let any = |slice: ArrayView2<'_, u8>| u8::from(slice.iter().any(|&label| label != 0));
    Ok((slice_scores, labels.axis_iter(Axis(0)).map(any).collect()))
}

fn reduce(mut voxels: Vec<f32>, how: SliceScore) -> f32 {
    let count = match how {
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
