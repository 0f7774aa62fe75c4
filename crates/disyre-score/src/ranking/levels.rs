//! Distinct lesion scores as thresholds, from the greatest down, with the voxels predicted at each: every metric of
//! [`RankedScores`](crate::RankedScores) is one walk over them.
//!
//! Healthy scores need no level of their own. Between two lesion scores recall stays and precision only falls, so AP has
//! no summand there and Dice no maximum.

use std::io;

use super::keys::{Descent, Keys, block_of};
use super::summary::Summary;

/// Lesion and healthy voxels of one or several cases, sorted.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) positives: Keys,
    pub(super) negatives: Keys,
}

/// Voxels with a score of at least a lesion score, by their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// The lesion score, as [`float_order`](crate::float_order) encodes it.
    pub(crate) key: u32,
    /// Lesion voxels predicted.
    pub(crate) positives: u64,
    /// Healthy voxels predicted.
    pub(crate) negatives: u64,
    /// Lesion voxels with exactly this score.
    pub(crate) new_positives: u64,
    /// Healthy voxels with exactly this score.
    pub(crate) new_negatives: u64,
}

impl Level {
    /// All voxels predicted.
    pub(super) fn predicted(&self) -> u64 {
        self.positives + self.negatives
    }
}

/// Metrics of several runs together.
pub(super) fn summarise(runs: &[Run]) -> io::Result<Summary> {
    let positives = runs.iter().map(|run| run.positives.count()).sum();
    let negatives = runs.iter().map(|run| run.negatives.count()).sum();
    let mut summary = Summary::new(positives, negatives);
    for_each(runs, |level| summary.add(level))?;
    Ok(summary)
}

/// Calls `each` with the levels of several runs together, from the greatest down.
pub(super) fn for_each(runs: &[Run], mut each: impl FnMut(&Level)) -> io::Result<()> {
    let mut levels = Levels::new(runs);
    while let Some(level) = levels.next()? {
        each(&level);
    }
    Ok(())
}

/// Walk over the levels of several runs together, from the greatest down.
struct Levels<'a> {
    positives: Vec<Descent<'a>>,
    negatives: Vec<Descent<'a>>,
    predicted: (u64, u64),
}

impl<'a> Levels<'a> {
    fn new(runs: &'a [Run]) -> Self {
        let at_once = block_of(2 * runs.len());
        Self {
            positives: runs.iter().map(|run| run.positives.descend(at_once)).collect(),
            negatives: runs.iter().map(|run| run.negatives.descend(at_once)).collect(),
            predicted: (0, 0),
        }
    }

    /// The next level; none after the least.
    fn next(&mut self) -> io::Result<Option<Level>> {
        let mut greatest = None;
        for run in &mut self.positives {
            greatest = greatest.max(run.peek()?);
        }
        let Some(key) = greatest else { return Ok(None) };
        let new_positives = take(&mut self.positives, key)?;
        // A key is that of a finite number, so there is a next one.
        let between = take(&mut self.negatives, key + 1)?;
        let new_negatives = take(&mut self.negatives, key)?;
        self.predicted.0 += new_positives;
        self.predicted.1 += between + new_negatives;
        let (positives, negatives) = self.predicted;
        Ok(Some(Level { key, positives, negatives, new_positives, new_negatives }))
    }
}

/// Takes the keys of all runs that are at least `key` and counts them.
fn take(runs: &mut [Descent<'_>], key: u32) -> io::Result<u64> {
    let mut count = 0;
    for run in runs {
        count += run.take_at_least(key)?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_join_the_equal_scores_of_all_runs() {
        let run = |positives: &[u32], negatives: &[u32]| Run {
            positives: Keys::Memory(positives.to_vec()),
            negatives: Keys::Memory(negatives.to_vec()),
        };
        let runs = [run(&[1, 3], &[0, 3, 8]), run(&[3], &[2])];
        let mut levels = Levels::new(&runs);
        let mut found = Vec::new();
        while let Some(at) = levels.next().unwrap() {
            found.push((at.key, at.positives, at.negatives, at.new_positives, at.new_negatives));
        }
        assert_eq!(found, [(3, 2, 2, 2, 1), (1, 3, 3, 1, 0)]);
    }
}
