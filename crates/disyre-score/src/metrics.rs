//! Exact metrics of scores beside labels, over one case or many; `disyre evaluate` calls them.

use disyre_core::ndarray::ArrayView1;
use disyre_core::{ShapeError, ensure_finite, ensure_same_shape};
use rayon::slice::ParallelSliceMut;
use serde::{Deserialize, Serialize};

use crate::thresholds::Thresholds;
use crate::{Confusion, ScoreError, float_order};

/// The voxels of one or many cases, collected for metrics over all of them.
///
/// Takes 4 bytes per voxel; the order of cases and voxels has no effect.
///
/// ```
/// use disyre_score::ScorePool;
/// let mut pool = ScorePool::default();
/// pool.add(&[0.1, 0.8], &[0, 1])?; // one case
/// pool.add(&[0.9, 0.4], &[0, 0])?; // another, without a lesion
/// let ranked = pool.rank();
/// assert_eq!((ranked.positives(), ranked.negatives()), (1, 3));
/// assert_eq!(ranked.average_precision()?, 0.5);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ScorePool {
    positives: Vec<u32>,
    negatives: Vec<u32>,
}

impl ScorePool {
    /// Adds the voxels of a case.
    ///
    /// # Shapes and units
    /// One label for each score; non-zero = lesion. Any finite score, greater = more abnormal.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the lengths differ or a score is not finite; the pool is then unchanged.
    pub fn add(&mut self, scores: &[f32], labels: &[u8]) -> Result<(), ScoreError> {
        ensure_same_shape("labels", &[scores.len()], &[labels.len()])?;
        ensure_finite("scores", &ArrayView1::from(scores))?;
        let positives = labels.iter().filter(|&&label| label != 0).count();
        self.positives.reserve(positives);
        self.negatives.reserve(labels.len() - positives);
        for (&score, &label) in scores.iter().zip(labels) {
            let side = if label != 0 { &mut self.positives } else { &mut self.negatives };
            side.push(float_order::encode(score));
        }
        Ok(())
    }

    /// Sorts all voxels.
    pub fn rank(mut self) -> RankedScores {
        self.positives.par_sort_unstable();
        self.negatives.par_sort_unstable();
        RankedScores { positives: self.positives, negatives: self.negatives }
    }
}

/// Sorted scores, from which every metric is computed.
///
/// Every distinct score is a threshold. The metrics therefore depend on the order of the scores alone, not on their
/// scale, and not on the order of the voxels.
///
/// ```
/// use disyre_score::RankedScores;
/// let ranked = RankedScores::new(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])?;
/// assert!((ranked.average_precision()? - 5.0 / 6.0).abs() < 1e-12);
/// assert_eq!(ranked.auroc()?, 0.75);
/// assert_eq!(ranked.best_dice()?.threshold, 0.35);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RankedScores {
    // Ascending, encoded by `float_order`: two vectors of 4 bytes a voxel instead of one of (score, label) pairs.
    positives: Vec<u32>,
    negatives: Vec<u32>,
}

/// ⌈Dice⌉, the greatest Dice over all thresholds, and its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestDice {
    /// `2 TP / (predicted + lesion)`, in `(0, 1]`.
    pub dice: f64,
    /// Voxels with a score of at least this are predicted; the greatest of several thresholds with the same Dice.
    pub threshold: f32,
}

/// The three metrics of the paper.
///
/// ```
/// let found = disyre_score::metrics(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])?;
/// assert!((found.average_precision - 5.0 / 6.0).abs() < 1e-12);
/// assert_eq!((found.best_dice.dice, found.best_dice.threshold), (0.8, 0.35));
/// assert_eq!(found.auroc, 0.75);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// AP, in `(0, 1]`; see [`RankedScores::average_precision`].
    pub average_precision: f64,
    /// ⌈Dice⌉ and its threshold; see [`RankedScores::best_dice`].
    pub best_dice: BestDice,
    /// Area under the ROC curve, in `[0, 1]`; see [`RankedScores::auroc`].
    pub auroc: f64,
}

impl RankedScores {
    /// Sorts the voxels of one case. For several cases see [`ScorePool`].
    ///
    /// # Shapes and units
    /// One label for each score; non-zero = lesion. Any finite score, greater = more abnormal.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the lengths differ or a score is not finite.
    pub fn new(scores: &[f32], labels: &[u8]) -> Result<Self, ScoreError> {
        let mut pool = ScorePool::default();
        pool.add(scores, labels)?;
        Ok(pool.rank())
    }

    /// Number of lesion voxels.
    pub fn positives(&self) -> u64 {
        self.positives.len() as u64
    }

    /// Number of healthy voxels.
    pub fn negatives(&self) -> u64 {
        self.negatives.len() as u64
    }

    /// All three metrics.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] or [`ScoreError::NoNegatives`] if all labels are the same.
    pub fn metrics(&self) -> Result<Metrics, ScoreError> {
        Ok(Metrics {
            average_precision: self.average_precision()?,
            best_dice: self.best_dice()?,
            auroc: self.auroc()?,
        })
    }

    /// Average precision: `Σ (R_n − R_{n−1}) P_n` over all distinct thresholds from the greatest down.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] if no label is positive.
    ///
    /// # Source
    /// scikit-learn's `average_precision_score` (no interpolation).
    pub fn average_precision(&self) -> Result<f64, ScoreError> {
        self.ensure_positives("average precision")?;
        let weighted: f64 = self
            .thresholds()
            .map(|at| at.new_positives as f64 * at.positives as f64 / at.predicted() as f64)
            .sum();
        Ok(weighted / self.positives.len() as f64)
    }

    /// ⌈Dice⌉: the best Dice over all distinct thresholds, pooled over all voxels.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] if no label is positive.
    ///
    /// # Source
    /// DISYRE (arXiv 2311.15453), evaluation; exact, where the published code tries 200 thresholds
    /// (see [`crate::protocols::reference`]).
    pub fn best_dice(&self) -> Result<BestDice, ScoreError> {
        self.ensure_positives("best Dice")?;
        let mut best = BestDice { dice: 0.0, threshold: f32::INFINITY };
        for at in self.thresholds() {
            let dice = self.dice(at.positives, at.predicted());
            if dice > best.dice {
                best = BestDice { dice, threshold: float_order::decode(at.key) };
            }
        }
        Ok(best)
    }

    /// Voxels by label and prediction at a threshold: predicted where `score ≥ threshold`.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the threshold is not a number. It may be infinite.
    pub fn at(&self, threshold: f32) -> Result<Confusion, ScoreError> {
        if threshold.is_nan() {
            return Err(ShapeError::NotFinite { array: "threshold", index: Vec::new() }.into());
        }
        let key = float_order::encode(threshold);
        let above = |keys: &[u32]| (keys.len() - keys.partition_point(|&k| k < key)) as u64;
        let (true_positives, false_positives) = (above(&self.positives), above(&self.negatives));
        Ok(Confusion {
            true_positives,
            false_positives,
            false_negatives: self.positives() - true_positives,
            true_negatives: self.negatives() - false_positives,
        })
    }

    /// Area under the ROC curve: the probability that a lesion voxel scores above a healthy one, ties counting half.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] or [`ScoreError::NoNegatives`] if all labels are the same.
    pub fn auroc(&self) -> Result<f64, ScoreError> {
        self.ensure_positives("AUROC")?;
        if self.negatives.is_empty() {
            return Err(ScoreError::NoNegatives { metric: "AUROC", voxels: self.positives() });
        }
        // Twice the number of ordered pairs, exactly: new positives beat all negatives further down.
        let twice: u128 = self
            .thresholds()
            .map(|at| {
                let below = self.negatives() - at.negatives;
                u128::from(at.new_positives) * u128::from(2 * below + at.new_negatives)
            })
            .sum();
        Ok(twice as f64 / 2.0 / (self.positives() as f64 * self.negatives() as f64))
    }

    fn dice(&self, hits: u64, predicted: u64) -> f64 {
        2.0 * hits as f64 / (predicted + self.positives()) as f64
    }

    pub(crate) fn ensure_positives(&self, metric: &'static str) -> Result<(), ScoreError> {
        match self.positives.is_empty() {
            true => Err(ScoreError::NoPositives { metric, voxels: self.negatives() }),
            false => Ok(()),
        }
    }

    /// The distinct scores from the greatest down.
    fn thresholds(&self) -> Thresholds<'_> {
        Thresholds::new(&self.positives, &self.negatives)
    }
}

/// AP, ⌈Dice⌉ and AUROC of one case, from one sort; for several cases see [`ScorePool`].
///
/// # Shapes and units
/// One label for each score; non-zero = lesion. Any finite score, greater = more abnormal.
///
/// # Errors
/// Those of [`RankedScores::new`] and [`RankedScores::metrics`].
pub fn metrics(scores: &[f32], labels: &[u8]) -> Result<Metrics, ScoreError> {
    RankedScores::new(scores, labels)?.metrics()
}

/// Average precision of one case; see [`RankedScores::average_precision`].
///
/// # Errors
/// Those of [`RankedScores::new`] and [`RankedScores::average_precision`].
pub fn average_precision(scores: &[f32], labels: &[u8]) -> Result<f64, ScoreError> {
    RankedScores::new(scores, labels)?.average_precision()
}

/// Best Dice of one case and its threshold; see [`RankedScores::best_dice`].
///
/// # Errors
/// Those of [`RankedScores::new`] and [`RankedScores::best_dice`].
pub fn best_dice(scores: &[f32], labels: &[u8]) -> Result<BestDice, ScoreError> {
    RankedScores::new(scores, labels)?.best_dice()
}

/// Area under the ROC curve of one case; see [`RankedScores::auroc`].
///
/// # Errors
/// Those of [`RankedScores::new`] and [`RankedScores::auroc`].
pub fn auroc(scores: &[f32], labels: &[u8]) -> Result<f64, ScoreError> {
    RankedScores::new(scores, labels)?.auroc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_five_voxels_by_hand() {
        // From the top: 0.9 lesion, 0.5 lesion and healthy together, 0.2 healthy, 0.1 lesion.
        let ranked = RankedScores::new(&[0.5, 0.1, 0.9, 0.2, 0.5], &[1, 1, 1, 0, 0]).unwrap();
        let ap = ranked.average_precision().unwrap();
        assert!((ap - (1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0).abs() < 1e-15);
        // Of six pairs: 0.9 wins two, 0.5 wins one and ties one, 0.1 loses two.
        assert_eq!(ranked.auroc().unwrap(), 3.5 / 6.0);
        // Dice from the top: 2/4, 4/6, 4/7, 6/8.
        assert_eq!(ranked.best_dice().unwrap(), BestDice { dice: 0.75, threshold: 0.1 });
        assert_eq!(ranked.at(0.5).unwrap().dice(), Some(4.0 / 6.0));
        assert_eq!(ranked.at(0.51).unwrap().dice(), Some(0.5));
        assert_eq!((ranked.positives(), ranked.negatives()), (3, 2));
    }

    #[test]
    fn of_equal_dice_the_greatest_threshold_is_reported() {
        // 2/3 at 0.9 and 4/6 at 0.1.
        let best = best_dice(&[0.9, 0.6, 0.5, 0.1], &[1, 0, 0, 1]).unwrap();
        assert_eq!(best, BestDice { dice: 2.0 / 3.0, threshold: 0.9 });
    }

    #[test]
    fn a_constant_score_finds_nothing() {
        let ranked = RankedScores::new(&[0.3; 8], &[1, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        assert_eq!(ranked.average_precision().unwrap(), 0.25);
        assert_eq!(ranked.auroc().unwrap(), 0.5);
        assert_eq!(ranked.best_dice().unwrap(), BestDice { dice: 0.4, threshold: 0.3 });
    }

    #[test]
    fn undefined_metrics_are_named() {
        let healthy = RankedScores::new(&[0.1, 0.2], &[0, 0]).unwrap();
        assert_eq!(
            healthy.average_precision().unwrap_err().to_string(),
            "average precision is undefined: none of the 2 labels is positive; leave this case out"
        );
        assert!(healthy.best_dice().is_err());
        let lesion = RankedScores::new(&[0.1, 0.2], &[1, 1]).unwrap();
        assert_eq!(lesion.average_precision().unwrap(), 1.0);
        assert_eq!(
            lesion.auroc().unwrap_err().to_string(),
            "AUROC is undefined: all of the 2 labels are positive; leave this case out"
        );
    }

    #[test]
    fn a_bad_case_is_refused_and_leaves_the_pool_as_it_was() {
        let mut pool = ScorePool::default();
        pool.add(&[0.1, 0.2], &[0, 1]).unwrap();
        let error = pool.add(&[0.1, f32::NAN], &[0, 0]).unwrap_err();
        assert!(error.to_string().starts_with("scores holds a value that is not finite"));
        let error = pool.add(&[0.1], &[0, 0]).unwrap_err();
        assert_eq!(error.to_string(), "labels has shape [2], expected [1]");
        let ranked = pool.rank();
        assert_eq!((ranked.positives(), ranked.negatives()), (1, 1));
        assert!(ranked.at(f32::NAN).is_err());
    }
}
