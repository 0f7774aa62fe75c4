//! Measures of pooled counts, with the best and the worst that the order within bins can make of them.

use serde::{Deserialize, Serialize};

use super::bins::Bin;

/// A value known up to the order of voxels within bins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounded {
    /// The estimate.
    pub value: f64,
    /// The exact value is at least this.
    pub least: f64,
    /// The exact value is at most this.
    pub greatest: f64,
}

/// ⌈Dice⌉ of pooled voxels, and the lower end of the bin where it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PooledBestDice {
    /// The Dice at the threshold exactly, which the best of all thresholds exceeds by no more than the bound.
    pub dice: Bounded,
    /// Voxels with a score of at least this are predicted.
    pub threshold: f32,
}

/// Voxels of several cases together, in bins; made by [`ScoreHistogram::pooled`](crate::ScoreHistogram::pooled).
///
/// Within a bin with several scores, `m` lesion and `n` healthy voxels are estimated to be mixed evenly. A bin with one
/// score has no such doubt. Bounds add `1e-12` for the rounding of sums.
///
/// ```
/// use disyre_score::{RankedScores, ScoreHistogramConfig};
/// let (scores, labels) = ([0.5, 0.8, 0.81, 0.9, 0.3], [0, 0, 1, 1, 1]);
/// let mut coarse = ScoreHistogramConfig { bits: 11 }.build()?; // 0.8 and 0.81 share a bin
/// coarse.add(&scores, &labels)?;
/// let ap = coarse.pooled(&[0])?.average_precision().ok_or("no lesion")?;
/// let exact = RankedScores::new(&scores, &labels)?.average_precision()?;
/// assert!(ap.least <= exact && exact <= ap.greatest && ap.greatest - ap.least < 0.3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PooledCounts<'a> {
    bins: &'a [Bin],
    shift: u32,
    /// Lesion and healthy voxels of each bin.
    counts: Vec<(u64, u64)>,
    positives: f64,
    negatives: f64,
}

/// Bin with lesion voxels, and the voxels above it.
struct Place<'a> {
    bin: &'a Bin,
    /// Lesion and healthy voxels in the bins above.
    above: (f64, f64),
    /// Lesion and healthy voxels in the bin.
    inside: (f64, f64),
}

/// Rounding of sums of some 10⁵ terms in `[0, 1]`, with room to spare.
const ROUNDING: f64 = 1e-12;

impl<'a> PooledCounts<'a> {
    pub(super) fn new(bins: &'a [Bin], shift: u32, counts: Vec<(u64, u64)>) -> Self {
        let positives = counts.iter().map(|count| count.0).sum::<u64>() as f64;
        let negatives = counts.iter().map(|count| count.1).sum::<u64>() as f64;
        Self { bins, shift, counts, positives, negatives }
    }

    /// Average precision; none without a lesion voxel.
    ///
    /// # Source
    /// As [`RankedScores::average_precision`](crate::RankedScores::average_precision). Of `m` lesion voxels in a bin, the
    /// j-th from the top has precision `(TP + j) / (TP + j + FP + n)` at least, whatever the order and the ties, and
    /// `(TP + m) / (TP + m + FP)` at most. The sum of the former is at least `m` times the mean of its ends, since it is
    /// concave in j.
    pub fn average_precision(&self) -> Option<Bounded> {
        let precision = |hits: f64, false_alarms: f64| hits / (hits + false_alarms);
        self.mean_over_lesion(|place| {
            let ((hits, false_alarms), (m, n)) = (place.above, place.inside);
            if place.bin.is_single() {
                return [precision(hits + m, false_alarms + n); 3];
            }
            let worst = |j| precision(hits + j, false_alarms + n);
            [
                precision(hits + 0.5 * (m + 1.0), false_alarms + 0.5 * n),
                0.5 * (worst(1.0) + worst(m)),
                precision(hits + m, false_alarms),
            ]
        })
    }

    /// Area under the ROC curve; none without both a lesion and a healthy voxel.
    ///
    /// # Source
    /// As [`RankedScores::auroc`](crate::RankedScores::auroc); the pairs within a bin are half won, all lost or all won.
    pub fn auroc(&self) -> Option<Bounded> {
        if self.negatives == 0.0 {
            return None;
        }
        self.mean_over_lesion(|place| {
            let (above, n) = (place.above.1, place.inside.1);
            let won = |ties: f64| (self.negatives - above - n + ties * n) / self.negatives;
            if place.bin.is_single() { [won(0.5); 3] } else { [won(0.5), won(0.0), won(1.0)] }
        })
    }

    /// ⌈Dice⌉ over the lower ends of all bins; none without a lesion voxel.
    ///
    /// # Source
    /// As [`RankedScores::best_dice`](crate::RankedScores::best_dice); at best, all lesion voxels of a bin are above all
    /// of its healthy ones.
    pub fn best_dice(&self) -> Option<PooledBestDice> {
        let mut best = (0.0, f32::INFINITY);
        let mut greatest = 0.0_f64;
        self.walk(|place| {
            let ((hits, false_alarms), (m, n)) = (place.above, place.inside);
            let dice = |predicted: f64| 2.0 * (hits + m) / (predicted + self.positives);
            let at_end = dice(hits + m + false_alarms + n);
            if at_end > best.0 {
                best = (at_end, place.bin.threshold(self.shift));
            }
            let within = if place.bin.is_single() { at_end } else { dice(hits + m + false_alarms) };
            greatest = greatest.max(within);
        });
        let dice = Bounded { value: best.0, least: best.0, greatest };
        (self.positives > 0.0).then_some(PooledBestDice { dice, threshold: best.1 })
    }

    /// Mean over all lesion voxels of something that those of a bin share: the estimate, the least and the greatest.
    fn mean_over_lesion(&self, of_bin: impl Fn(&Place<'_>) -> [f64; 3]) -> Option<Bounded> {
        let mut sums = [0.0; 3];
        self.walk(|place| {
            for (sum, value) in sums.iter_mut().zip(of_bin(place)) {
                *sum += place.inside.0 * value;
            }
        });
        let [value, least, greatest] = sums.map(|sum| sum / self.positives);
        let bounded = Bounded { value, least: least - ROUNDING, greatest: greatest + ROUNDING };
        (self.positives > 0.0).then_some(bounded)
    }

    /// Visits the bins with lesion voxels from the greatest down.
    fn walk(&self, mut visit: impl FnMut(&Place<'_>)) {
        let mut above = (0.0, 0.0);
        for (bin, &(positives, negatives)) in self.bins.iter().zip(&self.counts).rev() {
            let inside = (positives as f64, negatives as f64);
            if positives > 0 {
                visit(&Place { bin, above, inside });
            }
            above = (above.0 + inside.0, above.1 + inside.1);
        }
    }
}
