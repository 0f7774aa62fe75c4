//! Voxels of each case counted in bins of their scores: what thousands of resampled sets of cases are measured from.

mod bins;
mod operating;
mod pooled;

use disyre_core::ndarray::ArrayView1;
use disyre_core::{ShapeError, ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::confusion::ensure_threshold;
use crate::ranking::Split;
use crate::{Confusion, ScoreError, float_order};
use bins::{Bin, CaseBins};
pub use operating::{ChosenThreshold, LeftOut};
pub use pooled::{Bounded, PooledBestDice, PooledCounts};

/// Settings of a [`ScoreHistogram`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreHistogramConfig {
    /// Leading bits of a score that name its bin, 9 to 32. A bin is `2^(9 − bits)` of its score wide: at 18 bits, the
    /// default, 2 thousandths.
    pub bits: u32,
}

impl Default for ScoreHistogramConfig {
    fn default() -> Self {
        Self { bits: 18 }
    }
}

impl ScoreHistogramConfig {
    /// An empty histogram.
    ///
    /// # Errors
    /// [`ScoreError::HistogramBits`] for fewer than 9 bits or more than 32.
    pub fn build(self) -> Result<ScoreHistogram, ScoreError> {
        let Self { bits } = self;
        if !(9..=32).contains(&bits) {
            return Err(ScoreError::HistogramBits { bits });
        }
        Ok(ScoreHistogram { shift: u32::BITS - bits, bins: Vec::new(), cases: Vec::new() })
    }
}

/// Lesion and healthy voxels of each case in bins of their scores, for measures over many sets of the cases.
///
/// A bin is named by the leading bits of a score, so it is narrow where scores are small. Pooled measures of any set of
/// cases, repeats included, come with bounds ([`Bounded`]); thresholds are the lower ends of bins, where counts are
/// exact. Takes 12 bytes for each bin of a case that holds a voxel, some 5,000 for a map of millions of voxels.
///
/// ```
/// use disyre_score::{Bootstrap, Key, ScoreHistogram};
/// let mut cases = ScoreHistogram::default();
/// cases.add(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])?;
/// cases.add(&[0.2, 0.3, 0.9, 0.7], &[0, 0, 1, 0])?;
/// cases.add(&[0.2, 0.5, 0.6, 0.1], &[0, 1, 1, 0])?;
/// let pooled = |drawn: &[usize]| Some(cases.pooled(drawn).ok()?.average_precision()?.value);
/// let ap = Bootstrap::default().interval(Key::new(0), cases.cases(), pooled)?;
/// assert!(ap.low < ap.value && ap.value < ap.high);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
///
/// # Source
/// Ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreHistogram {
    shift: u32,
    /// Bins that hold a voxel of any case, ascending.
    bins: Vec<Bin>,
    cases: Vec<Vec<Count>>,
}

/// Voxels of a case in a bin; those of a case are ascending. In files: a list of its three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 3]", into = "[u32; 3]")]
struct Count {
    /// Index of the bin.
    bin: u32,
    positives: u32,
    negatives: u32,
}

impl From<[u32; 3]> for Count {
    fn from([bin, positives, negatives]: [u32; 3]) -> Self {
        Self { bin, positives, negatives }
    }
}

impl From<Count> for [u32; 3] {
    fn from(Count { bin, positives, negatives }: Count) -> Self {
        [bin, positives, negatives]
    }
}

/// 18 bits.
impl Default for ScoreHistogram {
    fn default() -> Self {
        let ScoreHistogramConfig { bits } = ScoreHistogramConfig::default();
        Self { shift: u32::BITS - bits, bins: Vec::new(), cases: Vec::new() }
    }
}

impl ScoreHistogram {
    /// Adds the voxels of a case; its index is the number of cases before it.
    ///
    /// # Shapes and units
    /// One label for each score; non-zero = lesion. Any finite score, greater = more abnormal. Fewer than 2³² voxels.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the lengths differ, a score is not finite or there are too many; the histogram is then
    /// unchanged.
    pub fn add(&mut self, scores: &[f32], labels: &[u8]) -> Result<(), ScoreError> {
        ensure_same_shape("labels", &[scores.len()], &[labels.len()])?;
        ensure_finite("scores", &ArrayView1::from(scores))?;
        if u32::try_from(scores.len()).is_err() {
            return Err(ShapeError::new("scores", &[u32::MAX as usize], &[scores.len()]).into());
        }
        let mut voxels = Split::default();
        voxels.append(scores, labels);
        voxels.sort();
        let case = CaseBins::of(&voxels, self.shift);
        self.hold(case.bins());
        self.cases.push(case.counts(&self.bins));
        Ok(())
    }

    /// Adds the cases of another histogram after its own: cases counted apart, or read from files, are pooled.
    ///
    /// # Errors
    /// [`ScoreError::Histograms`] if the other has other bits or names bins that it does not hold; this one is then
    /// unchanged.
    pub fn append(&mut self, other: &Self) -> Result<(), ScoreError> {
        let whole = |count: &Count| (count.bin as usize) < other.bins.len();
        if self.shift != other.shift || !other.cases.iter().flatten().all(whole) {
            return Err(ScoreError::Histograms);
        }
        self.hold(other.bins.iter().copied());
        let index = |bin: &Bin| self.bins.partition_point(|own| own.prefix < bin.prefix) as u32;
        let moved: Vec<u32> = other.bins.iter().map(index).collect();
        for case in &other.cases {
            let count = |count: &Count| Count { bin: moved[count.bin as usize], ..*count };
            self.cases.push(case.iter().map(count).collect());
        }
        Ok(())
    }

    /// Makes room for bins, and names those of its cases anew.
    fn hold(&mut self, bins: impl Iterator<Item = Bin>) {
        if let Some(moved) = bins::merge(&mut self.bins, bins) {
            for count in self.cases.iter_mut().flatten() {
                count.bin = moved[count.bin as usize];
            }
        }
    }

    /// Number of cases.
    pub fn cases(&self) -> usize {
        self.cases.len()
    }

    /// Counts of the voxels of some cases together; a case that is named twice counts twice.
    ///
    /// # Errors
    /// [`ScoreError::NoSuchCase`] for an index that is not below [`cases`](Self::cases).
    pub fn pooled(&self, drawn: &[usize]) -> Result<PooledCounts<'_>, ScoreError> {
        let mut times = vec![0; self.cases.len()];
        for &case in drawn {
            let cases = self.cases.len();
            *times.get_mut(case).ok_or(ScoreError::NoSuchCase { case, cases })? += 1;
        }
        let mut counts = vec![(0, 0); self.bins.len()];
        for (case, &times) in self.cases.iter().zip(&times).filter(|(_, times)| **times > 0) {
            for count in case {
                let sum = &mut counts[count.bin as usize];
                sum.0 += times * u64::from(count.positives);
                sum.1 += times * u64::from(count.negatives);
            }
        }
        Ok(PooledCounts::new(&self.bins, self.shift, counts))
    }

    /// Voxels of a case by label and prediction at a threshold, which is one that this histogram has chosen: the lower
    /// end of a bin. Any other threshold counts as the lower end of its bin.
    ///
    /// # Errors
    /// [`ScoreError::NoSuchCase`] for an index that is not below [`cases`](Self::cases), [`ScoreError::Threshold`] if
    /// the threshold is not a number (it may be infinite).
    pub fn at(&self, case: usize, threshold: f32) -> Result<Confusion, ScoreError> {
        ensure_threshold(threshold)?;
        let cases = self.cases.len();
        let counts = self.cases.get(case).ok_or(ScoreError::NoSuchCase { case, cases })?;
        let prefix = float_order::encode(threshold) >> self.shift;
        let mut confusion = Confusion::default();
        for count in counts {
            let [positives, negatives] = [count.positives, count.negatives].map(u64::from);
            if self.bins[count.bin as usize].prefix >= prefix {
                confusion.true_positives += positives;
                confusion.false_positives += negatives;
            } else {
                confusion.false_negatives += positives;
                confusion.true_negatives += negatives;
            }
        }
        Ok(confusion)
    }
}
