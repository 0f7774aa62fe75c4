//! Voxels as keys, divided by their labels.

use std::mem::take;

use rayon::prelude::*;

use super::keys::Keys;
use super::levels::Run;
use crate::float_order;

/// Voxels that are encoded as one piece: fixed, so that the keys lie in the same order for any number of threads.
const PIECE: usize = 1 << 16;

/// Keys of lesion and healthy voxels, in no order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Split {
    pub(crate) positives: Vec<u32>,
    pub(crate) negatives: Vec<u32>,
}

impl Split {
    /// Number of voxels.
    pub(super) fn voxels(&self) -> usize {
        self.positives.len() + self.negatives.len()
    }

    /// Appends finite scores with their labels, as many of them.
    pub(crate) fn append(&mut self, scores: &[f32], labels: &[u8]) {
        let count = |labels: &[u8]| labels.iter().filter(|&&label| label != 0).count();
        let positives: Vec<usize> = labels.par_chunks(PIECE).map(count).collect();
        let total: usize = positives.iter().sum();
        let mut positive_keys = extend(&mut self.positives, total);
        let mut negative_keys = extend(&mut self.negatives, labels.len() - total);
        let pieces = scores.chunks(PIECE).zip(labels.chunks(PIECE)).zip(positives);
        let pieces: Vec<_> = pieces
            .map(|((scores, labels), positives)| {
                let lesion = cut(&mut positive_keys, positives);
                let healthy = cut(&mut negative_keys, labels.len() - positives);
                (scores, labels, lesion, healthy)
            })
            .collect();
        pieces.into_par_iter().for_each(|(scores, labels, lesion, healthy)| {
            encode(scores, labels, lesion, healthy);
        });
    }

    /// Sorts the lesion voxels.
    pub(super) fn sort_positives(&mut self) {
        self.positives.par_sort_unstable();
    }

    /// Sorts both lists in place.
    pub(crate) fn sort(&mut self) {
        self.sort_positives();
        self.negatives.par_sort_unstable();
    }

    /// Both lists sorted, in memory.
    pub(super) fn into_run(mut self) -> Run {
        self.sort();
        Run { positives: Keys::Memory(self.positives), negatives: Keys::Memory(self.negatives) }
    }

    /// Lesion and healthy voxels whose key is at least `key`; the lesion voxels are sorted.
    pub(super) fn at_least(&self, key: u32) -> (u64, u64) {
        let lesion = self.positives.len() - self.positives.partition_point(|&k| k < key);
        let count = |piece: &[u32]| piece.iter().map(|&k| u64::from(k >= key)).sum::<u64>();
        (lesion as u64, self.negatives.par_chunks(PIECE).map(count).sum())
    }
}

/// Lengthens a list and returns the new part.
fn extend(keys: &mut Vec<u32>, count: usize) -> &mut [u32] {
    let old = keys.len();
    keys.resize(old + count, 0);
    &mut keys[old..]
}

/// Cuts off the first `count` keys.
fn cut<'a>(keys: &mut &'a mut [u32], count: usize) -> &'a mut [u32] {
    let (first, rest) = take(keys).split_at_mut(count);
    *keys = rest;
    first
}

/// Writes the keys of a piece to the lists of their labels, which have room for just as many.
fn encode(scores: &[f32], labels: &[u8], lesion: &mut [u32], healthy: &mut [u32]) {
    let (mut lesion, mut healthy) = (lesion.iter_mut(), healthy.iter_mut());
    for (&score, &label) in scores.iter().zip(labels) {
        let next = if label != 0 { lesion.next() } else { healthy.next() };
        *next.expect("the labels were counted") = float_order::encode(score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voxels_keep_their_labels_over_several_pieces() {
        let count = 2 * PIECE + 17;
        let scores: Vec<f32> = (0..count).map(|index| (index % 1000) as f32 - 500.0).collect();
        let labels: Vec<u8> = (0..count).map(|index| u8::from(index % 7 == 0)).collect();
        let mut split = Split::default();
        split.append(&scores[..5], &labels[..5]);
        split.append(&scores[5..], &labels[5..]);
        let of_label = |lesion: bool| {
            let voxels = scores.iter().zip(&labels).filter(|(_, label)| (**label != 0) == lesion);
            let mut keys: Vec<u32> = voxels.map(|(&score, _)| float_order::encode(score)).collect();
            keys.sort_unstable();
            keys
        };
        split.sort();
        assert_eq!(split.voxels(), count);
        assert_eq!((split.positives, split.negatives), (of_label(true), of_label(false)));
    }
}
