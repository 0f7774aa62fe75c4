//! Radix sort of keys on all cores, without a dependency.

use std::mem::{swap, take};

use rayon::prelude::*;

/// Keys counted and moved as one piece: fixed, so that the pieces are the same for any number of threads.
const PIECE: usize = 1 << 18;

/// Most bits of a digit: more values would not have their lines in the cache of a core.
const DIGIT_BITS: u32 = 10;

/// Keys that are moved at once: a line of the cache.
const LINE: usize = 16;

/// Fewer keys are sorted by comparison: the tables of a pass would cost more than they save.
const FEW: usize = 1 << 15;

/// The keys in ascending order.
///
/// Sorts from the least significant digit to the greatest, with as few digits as the range of the keys asks for. Holds
/// the keys twice.
pub(super) fn sort(mut keys: Vec<u32>) -> Vec<u32> {
    if keys.len() < FEW {
        keys.sort_unstable();
        return keys;
    }
    let mut other = vec![0; keys.len()];
    for digit in Digit::of_range(range(&keys)) {
        digit.distribute(&keys, &mut other);
        swap(&mut keys, &mut other);
    }
    keys
}

/// Least and greatest key.
fn range(keys: &[u32]) -> (u32, u32) {
    let join = |a: (u32, u32), b: (u32, u32)| (a.0.min(b.0), a.1.max(b.1));
    let none = (u32::MAX, 0);
    let of_piece = |piece: &[u32]| piece.iter().fold(none, |range, &key| join(range, (key, key)));
    keys.par_chunks(PIECE).map(of_piece).reduce(|| none, join)
}

/// Some neighbouring bits of `key − least`.
struct Digit {
    least: u32,
    shift: u32,
    bits: u32,
}

impl Digit {
    /// Digits of equal width, from the least significant up; none if all keys are equal.
    fn of_range((least, greatest): (u32, u32)) -> Vec<Self> {
        let bits = u32::BITS - (greatest - least).leading_zeros();
        let count = bits.div_ceil(DIGIT_BITS);
        let width = bits.div_ceil(count.max(1));
        (0..count).map(|index| Self { least, shift: index * width, bits: width }).collect()
    }

    fn of(&self, key: u32) -> usize {
        (((key - self.least) >> self.shift) & ((1 << self.bits) - 1)) as usize
    }

    /// Moves all keys into `out`, ordered by this digit; those with the same digit keep their order.
    fn distribute(&self, keys: &[u32], out: &mut [u32]) {
        let counts: Vec<_> = keys.par_chunks(PIECE).map(|piece| self.count(piece)).collect();
        let targets = targets(&counts, out);
        let pieces = keys.par_chunks(PIECE).zip(targets);
        pieces.for_each(|(piece, targets)| self.scatter(piece, targets));
    }

    /// Number of keys with each value of this digit.
    fn count(&self, piece: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; 1 << self.bits];
        for &key in piece {
            counts[self.of(key)] += 1;
        }
        counts
    }

    /// Moves each key to the target of its digit, by way of a line that is written when it is full.
    fn scatter(&self, piece: &[u32], mut targets: Vec<&mut [u32]>) {
        let mut lines = vec![[0; LINE]; targets.len()];
        let mut filled = vec![0; targets.len()];
        for &key in piece {
            let digit = self.of(key);
            lines[digit][filled[digit] % LINE] = key;
            filled[digit] = (filled[digit] + 1) % LINE;
            if filled[digit] == 0 {
                let (next, rest) = take(&mut targets[digit]).split_at_mut(LINE);
                next.copy_from_slice(&lines[digit]);
                targets[digit] = rest;
            }
        }
        for (target, line) in targets.into_iter().zip(lines) {
            target.copy_from_slice(&line[..target.len()]);
        }
    }
}

/// For each piece and digit, the part of `out` that its keys fill: in order of the digits, then of the pieces.
fn targets<'a>(counts: &[Vec<usize>], mut out: &'a mut [u32]) -> Vec<Vec<&'a mut [u32]>> {
    let digits = counts.first().map_or(0, Vec::len);
    let mut targets: Vec<_> = counts.iter().map(|_| Vec::with_capacity(digits)).collect();
    for digit in 0..digits {
        for (counts, targets) in counts.iter().zip(&mut targets) {
            let (target, rest) = out.split_at_mut(counts[digit]);
            targets.push(target);
            out = rest;
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Key;
    use disyre_core::rand::RngExt;

    #[test]
    fn keys_of_any_range_are_sorted_as_by_comparison() {
        let mut rng = Key::new(0).rng();
        for mask in [0, 1, 0xff, 0x3ff, 0x7ff, 0xff_ff00, u32::MAX] {
            for length in [0, 1, FEW, 2 * PIECE + 3] {
                let keys: Vec<u32> =
                    (0..length).map(|_| 7 + (rng.random::<u32>() & mask) / 2).collect();
                let mut expected = keys.clone();
                expected.sort_unstable();
                assert!(sort(keys) == expected, "{mask:#x}, {length} keys");
            }
        }
    }

    #[test]
    fn the_greatest_range_needs_four_digits() {
        let digits = Digit::of_range((0, u32::MAX));
        assert_eq!(digits.iter().map(|digit| digit.shift).collect::<Vec<_>>(), [0, 8, 16, 24]);
        assert!(Digit::of_range((5, 5)).is_empty());
    }
}
