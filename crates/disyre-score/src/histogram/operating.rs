//! Thresholds chosen on some cases for others: what a method reaches without having seen the labels of a case.

use serde::{Deserialize, Serialize};

use super::{Count, ScoreHistogram};
use crate::{Averaging, Confusion};

/// The threshold with the best averaged Dice on some cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenThreshold {
    /// Voxels with a score of at least this are predicted: the lower end of a bin, the greatest of several with the same
    /// Dice.
    pub threshold: f32,
    /// How the Dice is averaged.
    pub averaging: Averaging,
    /// The averaged Dice at the threshold on the cases that it was chosen on, in `(0, 1]`.
    pub averaged_dice: f64,
}

/// A case at the threshold of the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// The threshold, chosen on all other cases.
    pub of_others: ChosenThreshold,
    /// Voxels of this case at that threshold: its Dice, precision and recall.
    pub counts: Confusion,
}

impl ScoreHistogram {
    /// The threshold with the best averaged Dice on all cases: the optimal operating point, which knows the labels that
    /// it is measured on. None if no case has a lesion voxel.
    ///
    /// ```
    /// use disyre_score::{Averaging, ScoreHistogram};
    /// let mut cases = ScoreHistogram::default();
    /// cases.add(&[0.25, 0.5, 0.75], &[0, 1, 1])?;
    /// cases.add(&[0.25, 0.5, 0.75], &[0, 0, 1])?;
    /// let optimal = cases.best_threshold(Averaging::PerVolume).ok_or("no lesion")?;
    /// assert_eq!((optimal.threshold, optimal.averaged_dice), (0.75, (2.0 / 3.0 + 1.0) / 2.0));
    /// let left_out = cases.thresholds_of_others(Averaging::PerVolume)[0].ok_or("no lesion")?;
    /// assert_eq!((left_out.of_others.threshold, left_out.counts.recall()), (0.75, Some(0.5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn best_threshold(&self, averaging: Averaging) -> Option<ChosenThreshold> {
        let mut best = None;
        self.walk(averaging, |threshold, dice, _| {
            // The last set leaves out no case.
            improve(&mut best, dice[self.cases()], threshold, averaging);
        });
        best
    }

    /// Each case at the threshold with the best averaged Dice on all other cases; none where no other case has a lesion
    /// voxel.
    ///
    /// The Dice per volume is the mean over the other cases that have a lesion; the pooled one counts all other cases.
    /// Thresholds are the lower ends of bins, so the choice depends on the other cases alone; the counts there are
    /// exact. Takes time in proportion to cases × bins.
    ///
    /// # Source
    /// The benchmark of Frotscher et al., "Deep Unsupervised Anomaly Detection in Brain Imaging" (arXiv 2512.01534),
    /// reports Dice at the best threshold and at one estimated on other scans, the one whose mean Dice per volume is
    /// best: [`Averaging::PerVolume`] (`utils/helpers.py`, `calc_dice_scores` and `calc_indiv_dice`). It estimates on a
    /// set of validation scans and on a grid; leaving one case out and taking each bin for a threshold are ours.
    pub fn thresholds_of_others(&self, averaging: Averaging) -> Vec<Option<LeftOut>> {
        let mut best = vec![None; self.cases()];
        let mut counts = vec![Confusion::default(); self.cases()];
        self.walk(averaging, |threshold, dice, states| {
            for (case, best) in best.iter_mut().enumerate() {
                if improve(best, dice[case], threshold, averaging) {
                    counts[case] = states[case].confusion();
                }
            }
        });
        let left_out =
            |(of_others, counts): (Option<_>, _)| Some(LeftOut { of_others: of_others?, counts });
        best.into_iter().zip(counts).map(left_out).collect()
    }

    /// Visits the lower ends of all bins from the greatest down, with the averaged Dice of the cases without each one and
    /// of all cases, and with the counts of each case.
    fn walk(&self, averaging: Averaging, mut visit: impl FnMut(f32, &[f64], &[CaseState<'_>])) {
        let mut states: Vec<_> = self.cases.iter().map(|counts| CaseState::new(counts)).collect();
        let mut dice = vec![0.0; self.cases() + 1];
        for (index, bin) in self.bins.iter().enumerate().rev() {
            for state in &mut states {
                state.lower(index);
            }
            match averaging {
                Averaging::Pooled => pooled_without_each(&states, &mut dice),
                Averaging::PerVolume => mean_without_each(&states, &mut dice),
            }
            visit(bin.threshold(self.shift), &dice, &states);
        }
    }
}

/// Replaces the best threshold by a better one; true if it did.
fn improve(
    best: &mut Option<ChosenThreshold>,
    averaged_dice: f64,
    threshold: f32,
    averaging: Averaging,
) -> bool {
    let better = averaged_dice > best.map_or(0.0, |best| best.averaged_dice);
    if better {
        *best = Some(ChosenThreshold { threshold, averaging, averaged_dice });
    }
    better
}

/// A case while the threshold sinks.
struct CaseState<'a> {
    /// Bins below the threshold.
    below: &'a [Count],
    positives: u64,
    negatives: u64,
    hits: u64,
    false_alarms: u64,
}

impl<'a> CaseState<'a> {
    fn new(counts: &'a [Count]) -> Self {
        Self {
            below: counts,
            positives: counts.iter().map(|count| u64::from(count.positives)).sum(),
            negatives: counts.iter().map(|count| u64::from(count.negatives)).sum(),
            hits: 0,
            false_alarms: 0,
        }
    }

    /// Lowers the threshold to the lower end of a bin, the next of all cases.
    fn lower(&mut self, bin: usize) {
        if let Some((count, below)) = self.below.split_last()
            && count.bin as usize == bin
        {
            self.hits += u64::from(count.positives);
            self.false_alarms += u64::from(count.negatives);
            self.below = below;
        }
    }

    fn confusion(&self) -> Confusion {
        Confusion {
            true_positives: self.hits,
            false_positives: self.false_alarms,
            false_negatives: self.positives - self.hits,
            true_negatives: self.negatives - self.false_alarms,
        }
    }
}

/// Dice of the voxels of all cases without each one, and then of all.
fn pooled_without_each(states: &[CaseState<'_>], dice: &mut [f64]) {
    let all: Confusion = states.iter().map(CaseState::confusion).sum();
    let without = |hits: u64, false_alarms: u64, positives: u64| {
        let hits = all.true_positives - hits;
        let predicted = hits + all.false_positives - false_alarms;
        let lesion = all.true_positives + all.false_negatives - positives;
        // No lesion, nothing predicted: no threshold is better than another.
        if lesion == 0 { 0.0 } else { 2.0 * hits as f64 / (predicted + lesion) as f64 }
    };
    for (dice, state) in dice.iter_mut().zip(states) {
        *dice = without(state.hits, state.false_alarms, state.positives);
    }
    dice[states.len()] = without(0, 0, 0);
}

/// Mean Dice of the cases with a lesion without each case, and then of all.
///
/// Each sum runs over the same cases in the same order at every threshold, so that a threshold that changes nothing but
/// the case left out has the same mean to the bit, and is not chosen.
fn mean_without_each(states: &[CaseState<'_>], dice: &mut [f64]) {
    let of_case = |state: &CaseState<'_>| match state.positives {
        0 => 0.0,
        _ => state.confusion().dice().unwrap_or(0.0),
    };
    let (mut before, mut after) = (0.0, 0.0);
    for (dice, state) in dice.iter_mut().zip(states).rev() {
        *dice = after;
        after += of_case(state);
    }
    for (dice, state) in dice.iter_mut().zip(states) {
        *dice += before;
        before += of_case(state);
    }
    dice[states.len()] = before;
    let with_lesion = states.iter().filter(|state| state.positives > 0).count();
    let counted = states.iter().map(|state| with_lesion - usize::from(state.positives > 0));
    for (dice, counted) in dice.iter_mut().zip(counted.chain([with_lesion])) {
        *dice = if counted > 0 { *dice / counted as f64 } else { 0.0 };
    }
}
