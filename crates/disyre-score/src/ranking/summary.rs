//! AP, ⌈Dice⌉ and AUROC from one walk over the levels.

use super::levels::Level;
use crate::{BestDice, float_order};

/// Sums and counts of a ranking from which the metrics follow; the sums run from the greatest score down, whatever the runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    pub(super) positives: u64,
    pub(super) negatives: u64,
    /// Sum of the precision over the lesion voxels, each at the threshold of its own score.
    pub(super) precisions: f64,
    /// Undefined without a lesion voxel.
    pub(super) best: BestDice,
    /// Twice the number of pairs in which a lesion voxel beats a healthy one, a tie counting half.
    pub(super) twice_won: u128,
}

impl Summary {
    /// The summary before the first level.
    pub(super) fn new(positives: u64, negatives: u64) -> Self {
        let best = BestDice { dice: 0.0, threshold: f32::INFINITY };
        Self { positives, negatives, precisions: 0.0, best, twice_won: 0 }
    }

    /// Adds the next level, from the greatest down.
    pub(super) fn add(&mut self, at: &Level) {
        self.precisions += at.new_positives as f64 * at.positives as f64 / at.predicted() as f64;
        let dice = 2.0 * at.positives as f64 / (at.predicted() + self.positives) as f64;
        if dice > self.best.dice {
            self.best = BestDice { dice, threshold: float_order::decode(at.key) };
        }
        // New lesion voxels beat all healthy ones further down.
        let below = self.negatives - at.negatives;
        self.twice_won += u128::from(at.new_positives) * u128::from(2 * below + at.new_negatives);
    }
}
