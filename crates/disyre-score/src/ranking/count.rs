//! Levels without sorting the healthy voxels: each is counted between two of the sorted lesion scores. The bench
//! `score/rank` has maps of both kinds: 2 % lesion is counted, 15 % is sorted.

use rayon::prelude::*;

use super::levels::Level;

/// Healthy voxels that are counted as one piece.
const PIECE: usize = 1 << 20;

/// Keys of which those below all levels are dropped first, without a branch for each.
const BATCH: usize = 1 << 10;

/// Most slots of a [`LevelTable`], as a power of two: 1 MiB.
const MOST_SLOT_BITS: u32 = 18;

/// Levels of one set of voxels, from the greatest down.
///
/// # Shapes and units
/// `positives` ascending; `negatives` in any order, fewer than 2³².
pub(super) fn levels(positives: &[u32], negatives: &[u32]) -> Vec<Level> {
    let (Some(&least), Some(&greatest)) = (positives.first(), positives.last()) else {
        return Vec::new();
    };
    let table = LevelTable::new(positives, (least, greatest));
    let counts = table.count(negatives);
    let mut predicted = (0, 0);
    let level = |(lesion, healthy): (&[u32], Healthy)| {
        let (new_positives, new_negatives) = (lesion.len() as u64, u64::from(healthy.equal));
        predicted.0 += new_positives;
        predicted.1 += u64::from(healthy.above) + new_negatives;
        let (positives, negatives) = predicted;
        Level { key: lesion[0], positives, negatives, new_positives, new_negatives }
    };
    positives.chunk_by(|a, b| a == b).rev().zip(counts.into_iter().rev()).map(level).collect()
}

/// Healthy voxels at one level.
#[derive(Debug, Clone, Copy, Default)]
struct Healthy {
    /// Those with exactly its score.
    equal: u32,
    /// Those between it and the next greater level.
    above: u32,
}

/// Distinct lesion scores, and where to look for a key among them.
struct LevelTable {
    /// Ascending.
    keys: Vec<u32>,
    least: u32,
    shift: u32,
    /// For each slot of `1 << shift` keys, the number of levels before it; ends with the number of all.
    before: Vec<u32>,
}

impl LevelTable {
    fn new(positives: &[u32], (least, greatest): (u32, u32)) -> Self {
        let mut keys = positives.to_vec();
        keys.dedup();
        // About four slots for each level.
        let slot_bits = (keys.len().ilog2() + 2).min(MOST_SLOT_BITS);
        let range_bits = u32::BITS - (greatest - least).leading_zeros();
        let shift = range_bits.saturating_sub(slot_bits);
        let slots = ((greatest - least) >> shift) as usize + 1;
        let mut before = vec![0; slots + 1];
        for &key in &keys {
            before[((key - least) >> shift) as usize + 1] += 1;
        }
        for slot in 0..slots {
            before[slot + 1] += before[slot];
        }
        Self { keys, least, shift, before }
    }

    /// The greatest level that is at most `key`, which is not below all.
    fn at_most(&self, key: u32) -> usize {
        let offset = key - self.least;
        let slot = ((offset >> self.shift) as usize).min(self.before.len() - 2);
        let (first, end) = (self.before[slot] as usize, self.before[slot + 1] as usize);
        let in_slot = self.keys[first..end].partition_point(|&level| level <= key);
        // The first slot begins with the least level, so one is found.
        first + in_slot - 1
    }

    /// Healthy voxels at each level. Sums of integers: any division into pieces gives the same.
    fn count(&self, negatives: &[u32]) -> Vec<Healthy> {
        let none = || vec![Healthy::default(); self.keys.len()];
        let count = |mut counts: Vec<Healthy>, piece: &[u32]| {
            piece.chunks(BATCH).for_each(|keys| self.add(keys, &mut counts));
            counts
        };
        negatives.par_chunks(PIECE).fold(none, count).reduce(none, sum)
    }

    /// Counts a batch of keys at their levels.
    fn add(&self, batch: &[u32], counts: &mut [Healthy]) {
        let mut kept = [0; BATCH];
        let mut count = 0;
        for &key in batch {
            kept[count] = key;
            count += usize::from(key >= self.least);
        }
        for &key in &kept[..count] {
            let level = self.at_most(key);
            let equal = self.keys[level] == key;
            counts[level].equal += u32::from(equal);
            counts[level].above += u32::from(!equal);
        }
    }
}

fn sum(mut counts: Vec<Healthy>, others: Vec<Healthy>) -> Vec<Healthy> {
    for (count, other) in counts.iter_mut().zip(others) {
        count.equal += other.equal;
        count.above += other.above;
    }
    counts
}
