//! Exact metrics of scores beside labels, over one case or many; `disyre evaluate` calls them.

mod count;
mod keys;
mod levels;
mod metrics;
mod pool;
mod split;
mod summary;

use std::io;

use serde::{Deserialize, Serialize};

use crate::confusion::ensure_threshold;
use crate::{Confusion, ScoreError, float_order};
pub(crate) use levels::Level;
use levels::Run;
pub use metrics::{Metrics, auroc, average_precision, best_dice, metrics};
pub use pool::{ScorePool, ScorePoolConfig};
pub(crate) use split::Split;
use summary::Summary;

/// Most lesion voxels between which healthy ones are counted and not sorted: the counts of more leave the cache.
const MOST_COUNTED: usize = 1 << 19;

/// Least number of healthy voxels for each lesion voxel that are counted: the counts then stay small beside the voxels.
const LEAST_HEALTHY: usize = 8;

/// Sorted scores, from which every metric is computed.
///
/// Every distinct score is a threshold. The metrics therefore depend on the order of the scores alone, not on their
/// scale, and not on the order of the voxels. Of several cases ([`ScorePool`]) they are the pooled ones.
///
/// ```
/// use disyre_score::RankedScores;
/// let ranked = RankedScores::new(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])?;
/// assert!((ranked.average_precision()? - 5.0 / 6.0).abs() < 1e-12);
/// assert_eq!(ranked.auroc()?, 0.75);
/// assert_eq!(ranked.best_dice()?.threshold, 0.35);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug)]
pub struct RankedScores {
    voxels: Voxels,
    summary: Summary,
}

/// Voxels that can be counted at any threshold.
#[derive(Debug)]
enum Voxels {
    /// All in memory: lesion voxels in ascending order, healthy ones in none.
    Counted(Split),
    /// All sorted, some of the runs in files.
    Sorted(Vec<Run>),
}

impl Voxels {
    /// Lesion and healthy voxels whose key is at least `key`.
    fn at_least(&self, key: u32) -> io::Result<(u64, u64)> {
        match self {
            Self::Counted(split) => Ok(split.at_least(key)),
            Self::Sorted(runs) => {
                let count =
                    |run: &Run| Ok((run.positives.at_least(key)?, run.negatives.at_least(key)?));
                let counts: Vec<(u64, u64)> = runs.iter().map(count).collect::<io::Result<_>>()?;
                Ok(counts.into_iter().fold((0, 0), |sum, run| (sum.0 + run.0, sum.1 + run.1)))
            }
        }
    }
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
        pool.rank()
    }

    /// Ranks voxels in memory.
    fn of_split(mut split: Split) -> Result<Self, ScoreError> {
        let (lesion, healthy) = (split.positives.len(), split.negatives.len());
        let counted = lesion <= MOST_COUNTED.min(healthy / LEAST_HEALTHY);
        if !counted || u32::try_from(healthy).is_err() {
            return Self::of_runs(vec![split.into_run()]);
        }
        split.sort_positives();
        let mut summary = Summary::new(lesion as u64, healthy as u64);
        for level in count::levels(&split.positives, &split.negatives) {
            summary.add(&level);
        }
        Ok(Self { voxels: Voxels::Counted(split), summary })
    }

    /// Ranks sorted runs by one walk over all of them.
    fn of_runs(runs: Vec<Run>) -> Result<Self, ScoreError> {
        let summary = levels::summarise(&runs).map_err(ScoreError::spill)?;
        Ok(Self { voxels: Voxels::Sorted(runs), summary })
    }

    /// The same ranking with all voxels sorted, so that [`at`](Self::at) is a binary search: for many thresholds.
    pub(crate) fn into_sorted(self) -> Self {
        let Voxels::Counted(split) = self.voxels else { return self };
        Self { voxels: Voxels::Sorted(vec![split.into_run()]), ..self }
    }

    /// Calls `each` with the distinct lesion scores, from the greatest down.
    pub(crate) fn for_each_level(&self, each: impl FnMut(&Level)) -> Result<(), ScoreError> {
        match &self.voxels {
            Voxels::Counted(split) => {
                count::levels(&split.positives, &split.negatives).iter().for_each(each);
                Ok(())
            }
            Voxels::Sorted(runs) => levels::for_each(runs, each).map_err(ScoreError::spill),
        }
    }

    /// Number of lesion voxels.
    pub fn positives(&self) -> u64 {
        self.summary.positives
    }

    /// Number of healthy voxels.
    pub fn negatives(&self) -> u64 {
        self.summary.negatives
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
        Ok(self.summary.precisions / self.positives() as f64)
    }

    /// ⌈Dice⌉: the best Dice over all distinct thresholds, over all voxels together.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] if no label is positive.
    ///
    /// # Source
    /// DISYRE (arXiv 2311.15453), evaluation; exact, where the published code tries 200 thresholds
    /// (see [`crate::protocols::reference`]).
    pub fn best_dice(&self) -> Result<BestDice, ScoreError> {
        self.ensure_positives("best Dice")?;
        Ok(self.summary.best)
    }

    /// Voxels by label and prediction at a threshold: predicted where `score ≥ threshold`.
    ///
    /// # Errors
    /// [`ScoreError::Threshold`] if the threshold is not a number (it may be infinite); [`ScoreError::Spill`] if a temporary
    /// file cannot be read.
    pub fn at(&self, threshold: f32) -> Result<Confusion, ScoreError> {
        ensure_threshold(threshold)?;
        let key = float_order::encode(threshold);
        let at_least = self.voxels.at_least(key).map_err(ScoreError::spill)?;
        let (true_positives, false_positives) = at_least;
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
        if self.negatives() == 0 {
            return Err(ScoreError::NoNegatives { metric: "AUROC", voxels: self.positives() });
        }
        let pairs = self.positives() as f64 * self.negatives() as f64;
        Ok(self.summary.twice_won as f64 / 2.0 / pairs)
    }

    pub(crate) fn ensure_positives(&self, metric: &'static str) -> Result<(), ScoreError> {
        match self.positives() {
            0 => Err(ScoreError::NoPositives { metric, voxels: self.negatives() }),
            _ => Ok(()),
        }
    }
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
            "average precision is undefined: none of the 2 labels is positive; it needs a lesion"
        );
        assert!(healthy.best_dice().is_err());
        let lesion = RankedScores::new(&[0.1, 0.2], &[1, 1]).unwrap();
        assert_eq!(lesion.average_precision().unwrap(), 1.0);
        assert_eq!(
            lesion.auroc().unwrap_err().to_string(),
            "AUROC is undefined: all of the 2 labels are positive; it needs healthy ones"
        );
    }
}
