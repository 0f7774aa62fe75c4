//! The bins of one case, and their union over cases.

use serde::{Deserialize, Serialize};

use super::Count;
use crate::float_order;
use crate::ranking::Split;

/// Scores with the same leading bits. In files: a list of its three numbers, since there are thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 3]", into = "[u32; 3]")]
pub(super) struct Bin {
    /// The leading bits of the encoded scores.
    pub(super) prefix: u32,
    /// Least encoded score of any case.
    pub(super) least: u32,
    /// Greatest encoded score of any case.
    pub(super) greatest: u32,
}

impl From<[u32; 3]> for Bin {
    fn from([prefix, least, greatest]: [u32; 3]) -> Self {
        Self { prefix, least, greatest }
    }
}

impl From<Bin> for [u32; 3] {
    fn from(Bin { prefix, least, greatest }: Bin) -> Self {
        [prefix, least, greatest]
    }
}

impl Bin {
    /// Whether all scores in it are equal: the bin then has the order of a tie, exactly.
    pub(super) fn is_single(&self) -> bool {
        self.least == self.greatest
    }

    /// The lower end of the bin, which is a threshold.
    pub(super) fn threshold(&self, shift: u32) -> f32 {
        float_order::decode(self.prefix << shift)
    }
}

/// A bin of one case with its voxels.
struct Filled {
    bin: Bin,
    positives: u32,
    negatives: u32,
}

/// Bins of one case that hold a voxel, ascending.
pub(super) struct CaseBins(Vec<Filled>);

impl CaseBins {
    /// Counts the voxels of a case, sorted: fewer than 2³².
    pub(super) fn of(voxels: &Split, shift: u32) -> Self {
        let groups = |keys| <[u32]>::chunk_by(keys, move |a, b| a >> shift == b >> shift);
        let mut positives = groups(&voxels.positives).peekable();
        let mut negatives = groups(&voxels.negatives).peekable();
        let mut bins = Vec::new();
        loop {
            let prefix = |group: Option<&&[u32]>| group.map_or(u32::MAX, |keys| keys[0] >> shift);
            let next = prefix(positives.peek()).min(prefix(negatives.peek()));
            let lesion = positives.next_if(|keys| keys[0] >> shift == next).unwrap_or(&[]);
            let healthy = negatives.next_if(|keys| keys[0] >> shift == next).unwrap_or(&[]);
            let keys = lesion.first().into_iter().chain(healthy.first());
            let Some(&least) = keys.min() else { return Self(bins) };
            let greatest = lesion.last().max(healthy.last()).copied().unwrap_or(least);
            let bin = Bin { prefix: next, least, greatest };
            bins.push(Filled {
                bin,
                positives: lesion.len() as u32,
                negatives: healthy.len() as u32,
            });
        }
    }

    /// The bins alone.
    pub(super) fn bins(&self) -> impl Iterator<Item = Bin> {
        self.0.iter().map(|filled| filled.bin)
    }

    /// The voxels, with the indices of their bins in `union`, which holds all of them.
    pub(super) fn counts(&self, union: &[Bin]) -> Vec<Count> {
        let mut index = 0;
        let mut count = |filled: &Filled| {
            while union[index].prefix < filled.bin.prefix {
                index += 1;
            }
            let Filled { positives, negatives, .. } = *filled;
            Count { bin: index as u32, positives, negatives }
        };
        self.0.iter().map(&mut count).collect()
    }
}

/// Adds bins to the union; returns the new index of each of its old bins, unless all stay where they are.
pub(super) fn merge(union: &mut Vec<Bin>, bins: impl Iterator<Item = Bin>) -> Option<Vec<u32>> {
    let mut new = Vec::new();
    let mut index = 0;
    for bin in bins {
        while union.get(index).is_some_and(|old| old.prefix < bin.prefix) {
            index += 1;
        }
        match union.get_mut(index) {
            Some(old) if old.prefix == bin.prefix => {
                old.least = old.least.min(bin.least);
                old.greatest = old.greatest.max(bin.greatest);
            }
            _ => new.push(bin),
        }
    }
    if new.is_empty() {
        return None;
    }
    let moved = union.iter().map(|old| {
        let before = new.partition_point(|bin| bin.prefix < old.prefix);
        before as u32
    });
    let moved = moved.zip(0u32..).map(|(before, index)| before + index).collect();
    union.append(&mut new);
    union.sort_unstable_by_key(|bin| bin.prefix);
    Some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_union_keeps_the_order_and_tells_where_bins_went() {
        let bin = |prefix, least, greatest| Bin { prefix, least, greatest };
        let mut union = Vec::new();
        assert_eq!(merge(&mut union, [bin(3, 30, 31), bin(7, 70, 70)].into_iter()), Some(vec![]));
        assert_eq!(merge(&mut union, [bin(7, 69, 69)].into_iter()), None);
        let moved = merge(&mut union, [bin(1, 10, 10), bin(3, 32, 32), bin(5, 50, 50)].into_iter());
        assert_eq!(moved, Some(vec![1, 3]));
        let expected = [bin(1, 10, 10), bin(3, 30, 32), bin(5, 50, 50), bin(7, 69, 70)];
        assert_eq!(union, expected);
    }
}
