use disyre_core::ndarray::ArrayView1;
use disyre_core::{ensure_finite, ensure_same_shape};
use rayon::slice::ParallelSliceMut;
use serde::{Deserialize, Serialize};

use crate::ScoreError;

/// Collects the voxels of one or many cases for metrics over all of them.
///
/// Takes 4 bytes a voxel and nothing else; the order in which cases and voxels come has no effect.
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
            side.push(ordered_bits(score));
        }
        Ok(())
    }

    /// Sorts what was added.
    pub fn rank(mut self) -> RankedScores {
        self.positives.par_sort_unstable();
        self.negatives.par_sort_unstable();
        RankedScores { positives: self.positives, negatives: self.negatives }
    }
}

/// Scores in order: every metric below comes from this one sort.
///
/// All distinct scores serve as thresholds; voxels with equal scores change sides together. So the metrics depend
/// only on the order of the scores, not on their scale, and not on the order of the voxels.
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
    // Ascending keys of `ordered_bits`: two vectors of 4 bytes a voxel instead of one of (key, label) pairs.
    positives: Vec<u32>,
    negatives: Vec<u32>,
}

/// The greatest Dice overlap over all thresholds, and where it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestDice {
    /// `2 TP / (predicted + lesion)`, in `(0, 1]`.
    pub dice: f64,
    /// A voxel is predicted if its score ≥ this; the greatest such threshold if several reach the same Dice.
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
            .cuts()
            .map(|cut| cut.new_positives as f64 * cut.positives as f64 / cut.predicted() as f64)
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
    /// (see [`crate::reference`]).
    pub fn best_dice(&self) -> Result<BestDice, ScoreError> {
        self.ensure_positives("best Dice")?;
        let mut best = BestDice { dice: 0.0, threshold: f32::INFINITY };
        for cut in self.cuts() {
            let dice = self.dice(cut.positives, cut.predicted());
            if dice > best.dice {
                best = BestDice { dice, threshold: from_ordered_bits(cut.key) };
            }
        }
        Ok(best)
    }

    /// Dice of the prediction `score ≥ threshold`.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] if no label is positive; [`ScoreError::Shape`] if the threshold is not a number.
    pub fn dice_at(&self, threshold: f32) -> Result<f64, ScoreError> {
        self.ensure_positives("Dice")?;
        let key = ordered_bits(threshold);
        let above = |keys: &[u32]| (keys.len() - keys.partition_point(|&k| k < key)) as u64;
        let (hits, false_alarms) = (above(&self.positives), above(&self.negatives));
        Ok(self.dice(hits, hits + false_alarms))
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
            .cuts()
            .map(|cut| {
                let below = self.negatives() - cut.negatives;
                u128::from(cut.new_positives) * u128::from(2 * below + cut.new_negatives)
            })
            .sum();
        Ok(twice as f64 / 2.0 / (self.positives() as f64 * self.negatives() as f64))
    }

    fn dice(&self, hits: u64, predicted: u64) -> f64 {
        2.0 * hits as f64 / (predicted + self.positives()) as f64
    }

    fn ensure_positives(&self, metric: &'static str) -> Result<(), ScoreError> {
        match self.positives.is_empty() {
            true => Err(ScoreError::NoPositives { metric, voxels: self.negatives() }),
            false => Ok(()),
        }
    }

    /// The distinct scores from the greatest down.
    fn cuts(&self) -> Cuts<'_> {
        Cuts { positives: &self.positives, negatives: &self.negatives, seen: (0, 0) }
    }
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

/// What is predicted when the threshold is lowered to the next distinct score.
struct Cut {
    key: u32,
    positives: u64,
    negatives: u64,
    new_positives: u64,
    new_negatives: u64,
}

impl Cut {
    fn predicted(&self) -> u64 {
        self.positives + self.negatives
    }
}

/// Walks down both sorted sides at once.
struct Cuts<'a> {
    positives: &'a [u32],
    negatives: &'a [u32],
    seen: (u64, u64),
}

impl Iterator for Cuts<'_> {
    type Item = Cut;

    fn next(&mut self) -> Option<Cut> {
        let key = self.positives.last().max(self.negatives.last()).copied()?;
        let new_positives = take_equal(&mut self.positives, key);
        let new_negatives = take_equal(&mut self.negatives, key);
        self.seen = (self.seen.0 + new_positives, self.seen.1 + new_negatives);
        let (positives, negatives) = self.seen;
        Some(Cut { key, positives, negatives, new_positives, new_negatives })
    }
}

/// Removes the entries equal to `key` from the end and counts them.
fn take_equal(keys: &mut &[u32], key: u32) -> u64 {
    let mut count = 0;
    while let Some((&last, rest)) = keys.split_last()
        && last == key
    {
        *keys = rest;
        count += 1;
    }
    count
}

/// Bits whose unsigned order is the order of the numbers; −0 and 0 are one.
fn ordered_bits(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn from_ordered_bits(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key ^ 1 << 31 } else { !key })
}
