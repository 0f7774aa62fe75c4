//! Voxels by label and prediction at one threshold: the counts behind Dice, precision and recall.

use disyre_core::ndarray::ArrayView1;
use disyre_core::{ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::ScoreError;
use crate::arithmetic::share;

/// Counts of voxels at a threshold: predicted where `score ≥ threshold`, lesion where the label is non-zero.
///
/// Counts of several cases add up with `+`: their Dice is then the pooled one.
///
/// ```
/// use disyre_score::RankedScores;
/// let at = RankedScores::new(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])?.at(0.35)?;
/// assert_eq!((at.true_positives, at.false_positives), (2, 1));
/// assert_eq!((at.false_negatives, at.true_negatives), (0, 1));
/// assert_eq!((at.dice(), at.precision(), at.recall()), (Some(0.8), Some(2.0 / 3.0), Some(1.0)));
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Lesion voxels predicted.
    pub true_positives: u64,
    /// Healthy voxels predicted.
    pub false_positives: u64,
    /// Lesion voxels not predicted.
    pub false_negatives: u64,
    /// Healthy voxels not predicted.
    pub true_negatives: u64,
}

impl Confusion {
    /// Counts voxels at one threshold, without sorting them; for several see
    /// [`RankedScores::at`](crate::RankedScores::at).
    ///
    /// ```
    /// use disyre_score::Confusion;
    /// let at = Confusion::new(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1], 0.35)?;
    /// assert_eq!((at.true_positives, at.false_positives), (2, 1));
    /// # Ok::<(), disyre_score::ScoreError>(())
    /// ```
    ///
    /// # Shapes and units
    /// One label for each score; non-zero = lesion. Any finite score, greater = more abnormal.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the lengths differ or a score is not finite, [`ScoreError::Threshold`] if the threshold
    /// is not a number (it may be infinite).
    pub fn new(scores: &[f32], labels: &[u8], threshold: f32) -> Result<Self, ScoreError> {
        ensure_same_shape("labels", &[scores.len()], &[labels.len()])?;
        ensure_finite("scores", &ArrayView1::from(scores))?;
        ensure_threshold(threshold)?;
        let mut counts = Self::default();
        for (&score, &label) in scores.iter().zip(labels) {
            let count = match (score >= threshold, label != 0) {
                (true, true) => &mut counts.true_positives,
                (true, false) => &mut counts.false_positives,
                (false, true) => &mut counts.false_negatives,
                (false, false) => &mut counts.true_negatives,
            };
            *count += 1;
        }
        Ok(counts)
    }

    /// `2 TP / (2 TP + FP + FN)`, in `[0, 1]`; none if no voxel is lesion or predicted.
    ///
    /// # Source
    /// scikit-learn's `f1_score`.
    pub fn dice(&self) -> Option<f64> {
        let both = 2 * self.true_positives;
        share(both, both + self.false_positives + self.false_negatives)
    }

    /// `TP / (TP + FP)`, the share of the predicted voxels that are lesion; none if no voxel is predicted.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// `TP / (TP + FN)`, the share of the lesion voxels that are predicted; none if no voxel is lesion.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }
}

impl std::ops::Add for Confusion {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            true_positives: self.true_positives + other.true_positives,
            false_positives: self.false_positives + other.false_positives,
            false_negatives: self.false_negatives + other.false_negatives,
            true_negatives: self.true_negatives + other.true_negatives,
        }
    }
}

impl std::iter::Sum for Confusion {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), std::ops::Add::add)
    }
}

/// Refuses a threshold that is not a number; infinite ones predict all voxels or none.
pub(crate) fn ensure_threshold(threshold: f32) -> Result<(), ScoreError> {
    if threshold.is_nan() { Err(ScoreError::Threshold) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_is_ranking_at_every_threshold_and_refuses_the_same() {
        let (scores, labels) = ([0.5, -0.0, 0.25, 0.5, -1.0], [1, 0, 1, 0, 0]);
        let ranked = crate::RankedScores::new(&scores, &labels).unwrap();
        for threshold in [f32::NEG_INFINITY, -1.0, 0.0, 0.3, 0.5, 0.6, f32::INFINITY] {
            let counted = Confusion::new(&scores, &labels, threshold).unwrap();
            assert_eq!(counted, ranked.at(threshold).unwrap());
        }
        let message = |threshold| {
            let counted = Confusion::new(&scores, &labels, threshold).unwrap_err().to_string();
            assert_eq!(counted, ranked.at(threshold).unwrap_err().to_string());
            counted
        };
        assert!(message(f32::NAN).starts_with("the threshold is not a number"));
        assert!(Confusion::new(&scores, &labels[1..], 0.5).is_err());
        assert!(Confusion::new(&[f32::NAN], &[0], 0.5).is_err());
    }

    #[test]
    fn shares_of_nothing_are_undefined() {
        let healthy = Confusion { true_negatives: 9, ..Confusion::default() };
        assert_eq!((healthy.dice(), healthy.precision(), healthy.recall()), (None, None, None));
        let false_alarm = Confusion { false_positives: 1, ..healthy };
        assert_eq!(
            (false_alarm.dice(), false_alarm.precision(), false_alarm.recall()),
            (Some(0.0), Some(0.0), None)
        );
    }

    #[test]
    fn counts_of_cases_are_pooled_by_their_sum() {
        let one = Confusion {
            true_positives: 1,
            false_positives: 2,
            false_negatives: 3,
            true_negatives: 4,
        };
        let pooled: Confusion = [one, one].into_iter().sum();
        assert_eq!(
            pooled,
            Confusion {
                true_positives: 2,
                false_positives: 4,
                false_negatives: 6,
                true_negatives: 8
            }
        );
        assert_eq!(pooled.dice(), one.dice());
    }
}
