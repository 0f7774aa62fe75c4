//! [`LossCurve`]: the loss of one healthy scan at every threshold.

use disyre_core::ndarray::{Array3, ArrayView1, ArrayView3};
use disyre_core::{ShapeError, ensure_finite};

use crate::regions::{LesionConfig, Lesions};
use crate::{ScoreError, float_order};

/// Loss of one healthy scan as a function of the threshold: a step function that never falls as the threshold does.
///
/// Voxels with a score of at least the threshold are marked.
///
/// ```
/// use disyre_score::conformal::LossCurve;
/// let share = LossCurve::share_of_voxels(&[0.0, 0.25, 0.25, 0.5])?;
/// assert_eq!([0.6, 0.5, 0.3, 0.25, 0.0].map(|t| share.at(t)), [0.0, 0.25, 0.25, 0.75, 1.0]);
/// assert_eq!(share.exceeds(0.5).at(0.25), 1.0);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LossCurve {
    /// Thresholds, descending, each with the loss from there down to the next, ascending.
    steps: Vec<(f32, f64)>,
}

/// Bits of a score that are rounded up: steps are then a two-thousandth of the score apart, so that a scan of any size has
/// few of them.
const ROUNDED_BITS: u32 = 12;

impl LossCurve {
    /// Share of the voxels that are marked, in `[0, 1]`.
    ///
    /// Scores are rounded up by at most 2⁻¹¹ of their size, so that the share is that of the scores or slightly more.
    ///
    /// # Shapes and units
    /// Scores of all voxels of the brain, in any order; any finite number.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] for a score that is not finite, and without a score.
    pub fn share_of_voxels(scores: &[f32]) -> Result<Self, ScoreError> {
        if scores.is_empty() {
            return Err(ShapeError::Empty { array: "scores" }.into());
        }
        ensure_finite("scores", &ArrayView1::from(scores))?;
        let rest = (1u32 << ROUNDED_BITS) - 1;
        let up = |&score: &f32| (float_order::encode(score) + rest) & !rest;
        let mut keys: Vec<u32> = scores.iter().map(up).collect();
        keys.sort_unstable_by(|a, b| b.cmp(a));
        let mut marked = 0;
        let steps = keys.chunk_by(|a, b| a == b).map(|equal| {
            marked += equal.len();
            (float_order::decode(equal[0]), marked as f64 / scores.len() as f64)
        });
        Ok(Self { steps: steps.collect() })
    }

    /// Greatest number of findings at a threshold and above: 26-connected components of the marked voxels of the brain,
    /// from a least volume on.
    ///
    /// Findings merge as the threshold falls, so that their number itself falls at times; the greatest number so far never
    /// does, and bounds it.
    ///
    /// # Shapes and units
    /// `score` and `brain` are `(z, y, x)`, the brain non-zero inside; `spacing_mm` is along `(z, y, x)`.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the shapes differ or a score is not finite, [`ScoreError::Spacing`],
    /// [`ScoreError::SmallestVolume`], and [`ScoreError::TooManyVoxels`] beyond 2³¹ voxels.
    pub fn findings(
        score: ArrayView3<'_, f32>,
        brain: ArrayView3<'_, u8>,
        spacing_mm: [f64; 3],
        least_volume_mm3: f64,
    ) -> Result<Self, ScoreError> {
        let healthy = Array3::zeros(score.dim());
        let lesions = Lesions::new(healthy.view(), Some(brain), spacing_mm)?;
        let rules = LesionConfig { smallest_finding_mm3: least_volume_mm3, ..Default::default() };
        let counts = rules.build()?.froc_case(&lesions, score)?;
        let mut steps: Vec<(f32, f64)> = Vec::new();
        for (threshold, findings) in counts.false_findings() {
            if f64::from(findings) > steps.last().map_or(0.0, |step| step.1) {
                steps.push((threshold, f64::from(findings)));
            }
        }
        Ok(Self { steps })
    }

    /// 1 where this loss is above a limit, 0 elsewhere.
    pub fn exceeds(&self, limit: f64) -> Self {
        let first = self.steps.iter().find(|(_, loss)| *loss > limit);
        Self { steps: first.map(|&(threshold, _)| (threshold, 1.0)).into_iter().collect() }
    }

    /// The loss at a threshold; 0 above the greatest score.
    pub fn at(&self, threshold: f32) -> f64 {
        let reached = self.steps.partition_point(|&(step, _)| step >= threshold);
        reached.checked_sub(1).map_or(0.0, |last| self.steps[last].1)
    }

    /// Thresholds at which the loss grows, from the greatest down.
    pub fn thresholds(&self) -> impl Iterator<Item = f32> + '_ {
        self.steps.iter().map(|&(threshold, _)| threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    #[test]
    fn shares_are_those_of_the_scores_or_slightly_more() {
        let scores: Vec<f32> = (0..999).map(|i| ((i * 7919) % 1000) as f32 * 0.013_7).collect();
        let curve = LossCurve::share_of_voxels(&scores).unwrap();
        for threshold in [0.001, 0.5, 3.3, 7.77, 13.0, 14.0] {
            let share = |t: f32| scores.iter().filter(|&&s| s >= t).count() as f64 / 999.0;
            let lower = threshold * (1.0 - 2.0f32.powi(-11));
            let got = curve.at(threshold);
            assert!(share(threshold) <= got && got <= share(lower), "{got} at {threshold}");
        }
        assert!(LossCurve::share_of_voxels(&[]).is_err());
        assert!(LossCurve::share_of_voxels(&[f32::NAN]).is_err());
    }

    #[test]
    fn findings_that_merge_keep_their_greatest_number_and_small_ones_do_not_count() {
        // Two peaks of two voxels each, which merge at 1; a lone voxel; and one outside the brain.
        let score = array![[[5.0, 4.0, 1.0, 3.0, 3.0, 0.0, 2.0, 0.0, 9.0]]];
        let brain = array![[[1, 1, 1, 1, 1, 1, 1, 1, 0]]];
        let of = |least| {
            let curve = LossCurve::findings(score.view(), brain.view(), [2.0, 1.0, 1.0], least);
            [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
                .map(|threshold| curve.as_ref().unwrap().at(threshold))
        };
        assert_eq!(of(0.0), [0.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0]);
        assert_eq!(of(4.0), [0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        let smallest = LossCurve::findings(score.view(), brain.view(), [1.0; 3], -1.0);
        assert!(matches!(smallest, Err(ScoreError::SmallestVolume { .. })));
    }

    #[test]
    fn a_loss_exceeds_a_limit_from_one_threshold_down() {
        let curve = LossCurve { steps: vec![(3.0, 1.0), (2.0, 2.0), (1.0, 5.0)] };
        let over = curve.exceeds(1.0);
        assert_eq!([2.5, 2.0, 0.5].map(|threshold| over.at(threshold)), [0.0, 1.0, 1.0]);
        assert_eq!(curve.exceeds(5.0).thresholds().count(), 0);
    }
}
