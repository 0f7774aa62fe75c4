//! FROC: sensitivity for lesions against false positives per scan.

use std::collections::BinaryHeap;

use disyre_core::ndarray::ArrayView3;
use serde::{Deserialize, Serialize};

use super::sweep::{Change, sweep};
use super::{LesionMatcher, Lesions};
use crate::{ScoreError, float_order};

/// False positives per scan at which LUNA16 averages the sensitivity.
///
/// # Source
/// Setio et al., "Validation, comparison, and combination of algorithms for automatic detection of pulmonary nodules"
/// (2017).
pub const LUNA16_RATES: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// One scan's part of a FROC curve: detected lesions and false findings at every threshold.
///
/// Memory: 12 bytes for each threshold at which a count changes, up to one for each distinct score: 12 bytes a voxel of a
/// noisy map. Counting holds some 20 bytes a voxel of one case. The pooled curve has a point for each change of a rate; a
/// [`FrocPool`](super::FrocPool) holds what rates up to a bound need.
#[derive(Debug, Clone)]
pub struct FrocCase {
    changes: Vec<Change>,
    lesions: u64,
    voxels: u64,
}

/// Sensitivity for lesions over false positives per scan, pooled over the scans.
///
/// ```
/// use disyre_score::regions::{LesionConfig, Lesions, froc};
/// use disyre_score::ndarray::array;
/// let label = array![[[1, 0, 0, 0, 1, 0, 0]]]; // (z, y, x): two lesions
/// let score = array![[[0.9, 0.0, 0.7, 0.0, 0.5, 0.0, 0.1]]];
/// let lesions = Lesions::new(label.view(), None, [1.0; 3])?;
/// let case = LesionConfig::default().build()?.froc_case(&lesions, score.view())?;
/// let curve = froc(&[case])?;
/// assert_eq!(curve.sensitivity_at(0.5), 0.5); // one lesion before the first false positive
/// assert_eq!(curve.sensitivity_at(1.0), 1.0);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrocCurve {
    /// From the greatest threshold down; both rates never fall.
    pub points: Vec<FrocPoint>,
    /// Number of scans.
    pub scans: u64,
    /// Number of lesions in all scans.
    pub lesions: u64,
}

/// A point of a FROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrocPoint {
    /// The threshold; predicted is `score ≥ threshold`.
    pub threshold: f32,
    /// Greatest mean number of false findings of a scan, at this threshold and above.
    pub false_positives_per_scan: f64,
    /// Greatest share of the lesions detected, at this threshold and above, in `[0, 1]`.
    pub sensitivity: f64,
}

impl FrocCase {
    /// Number of thresholds at which a count changes.
    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Forgets the thresholds below one, which is encoded as in [`float_order`].
    pub(super) fn keep_above(&mut self, key: u32) {
        let kept = self.changes.partition_point(|change| change.key >= key);
        if kept < self.changes.len() {
            self.changes.truncate(kept);
            self.changes.shrink_to_fit();
        }
    }

    /// Thresholds at which a count changes, from the greatest down, with the number of false findings from there on.
    pub(crate) fn false_findings(&self) -> impl Iterator<Item = (f32, u32)> + '_ {
        self.changes.iter().map(|change| (float_order::decode(change.key), change.false_findings))
    }
}

impl LesionMatcher {
    /// Counts detected lesions and false findings of one scan at every distinct score.
    ///
    /// Exact: a union-find over the voxels from the greatest score down, with the same counts as
    /// [`measures`](Self::measures) at each threshold.
    ///
    /// # Shapes and units
    /// `score` is `(z, y, x)` on the grid of the lesions; any finite score, greater = more abnormal.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the shapes differ or a score is not finite, [`ScoreError::TooManyVoxels`] beyond 2³¹
    /// voxels.
    pub fn froc_case(
        &self,
        lesions: &Lesions<'_>,
        score: ArrayView3<'_, f32>,
    ) -> Result<FrocCase, ScoreError> {
        let tally = self.tally(lesions);
        let counted =
            (0..lesions.components().len()).filter(|&lesion| tally.counts(lesion)).count();
        let changes = sweep(lesions, score, tally)?;
        Ok(FrocCase { changes, lesions: counted as u64, voxels: lesions.brain_voxels() as u64 })
    }
}

/// The greatest threshold, as it is encoded, where some scans together have more than `most` false findings.
pub(super) fn threshold_beyond(cases: &[FrocCase], most: u64) -> Option<u32> {
    let cases: Vec<&FrocCase> = cases.iter().collect();
    let (key, ..) = Pooled::new(&cases).find(|&(_, false_findings, _)| false_findings > most)?;
    Some(key)
}

/// The FROC curve of all scans together.
///
/// As the threshold falls, false findings first appear and later merge; the curve ends at the least threshold with the
/// most false findings, and holds the greatest rates so far. Healthy scans count as scans.
///
/// # Errors
/// [`ScoreError::NoPositives`] if no scan has a lesion.
///
/// # Source
/// Bunch et al., "A free response approach to the measurement and characterization of radiographic observer
/// performance" (1978), with findings of every threshold in place of marks.
pub fn froc<'a>(cases: impl IntoIterator<Item = &'a FrocCase>) -> Result<FrocCurve, ScoreError> {
    let cases: Vec<&FrocCase> = cases.into_iter().collect();
    let lesions: u64 = cases.iter().map(|case| case.lesions).sum();
    if lesions == 0 {
        let voxels = cases.iter().map(|case| case.voxels).sum();
        return Err(ScoreError::NoPositives { metric: "FROC", voxels });
    }
    let scans = cases.len() as u64;
    let (mut points, mut greatest, mut end) = (Vec::new(), (0, 0), 0);
    for (key, false_findings, detected) in Pooled::new(&cases) {
        let rates = (greatest.0.max(false_findings), greatest.1.max(detected));
        if rates != greatest {
            points.push(FrocPoint {
                threshold: float_order::decode(key),
                false_positives_per_scan: rates.0 as f64 / scans as f64,
                sensitivity: rates.1 as f64 / lesions as f64,
            });
            greatest = rates;
        }
        if false_findings == greatest.0 {
            end = points.len();
        }
    }
    points.truncate(end);
    Ok(FrocCurve { points, scans, lesions })
}

impl FrocCurve {
    /// Sensitivity at a rate of false positives per scan, interpolated linearly between points; beyond the last point
    /// the sensitivity of the last.
    ///
    /// # Source
    /// The evaluation of LUNA16 and of CAMELYON16, and MONAI's `compute_froc_score`, which interpolate so.
    pub fn sensitivity_at(&self, false_positives_per_scan: f64) -> f64 {
        let rate = false_positives_per_scan;
        let next = self.points.partition_point(|point| point.false_positives_per_scan <= rate);
        let (x0, y0) = match next.checked_sub(1).map(|last| self.points[last]) {
            Some(point) => (point.false_positives_per_scan, point.sensitivity),
            None => (0.0, 0.0),
        };
        let Some(point) = self.points.get(next) else { return y0 };
        let (x1, y1) = (point.false_positives_per_scan, point.sensitivity);
        y0 + (y1 - y0) * ((rate - x0) / (x1 - x0)).max(0.0)
    }

    /// Mean of the sensitivities at these rates, by convention [`LUNA16_RATES`]; none without a rate.
    pub fn mean_sensitivity(&self, rates: &[f64]) -> Option<f64> {
        let sum: f64 = rates.iter().map(|&rate| self.sensitivity_at(rate)).sum();
        (!rates.is_empty()).then(|| sum / rates.len() as f64)
    }
}

/// Iterator over `(threshold, false findings, detected)` of all cases together, from the greatest threshold down.
struct Pooled<'a> {
    cases: Vec<&'a [Change]>,
    /// The next threshold of each case that has one.
    next: BinaryHeap<(u32, usize)>,
    counts: Vec<(u64, u64)>,
    total: (u64, u64),
}

impl<'a> Pooled<'a> {
    fn new(cases: &[&'a FrocCase]) -> Self {
        let cases: Vec<_> = cases.iter().map(|case| case.changes.as_slice()).collect();
        let heads = cases.iter().enumerate();
        let next = heads.filter_map(|(index, case)| Some((case.first()?.key, index))).collect();
        Self { counts: vec![(0, 0); cases.len()], cases, next, total: (0, 0) }
    }

    fn advance(&mut self, case: usize) {
        let Some((change, rest)) = self.cases[case].split_first() else { return };
        let counts = (u64::from(change.false_findings), u64::from(change.detected));
        let before = std::mem::replace(&mut self.counts[case], counts);
        self.total.0 = self.total.0 + counts.0 - before.0;
        self.total.1 = self.total.1 + counts.1 - before.1;
        self.cases[case] = rest;
        self.next.extend(rest.first().map(|change| (change.key, case)));
    }
}

impl Iterator for Pooled<'_> {
    type Item = (u32, u64, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let &(key, _) = self.next.peek()?;
        while let Some(&(next, case)) = self.next.peek()
            && next == key
        {
            self.next.pop();
            self.advance(case);
        }
        Some((key, self.total.0, self.total.1))
    }
}
