//! PRO: mean overlap of lesions against the rate of false positive voxels.

use std::collections::BinaryHeap;

use disyre_core::ndarray::ArrayView3;
use rayon::slice::ParallelSliceMut;

use super::Lesions;
use crate::{ScoreError, float_order};

/// Rate of false positive voxels up to which MVTec integrates.
///
/// # Source
/// Bergmann et al., "The MVTec Anomaly Detection Dataset" (IJCV 2021).
pub const MVTEC_LIMIT: f64 = 0.3;

/// The ranked scores of a case, by lesion, for [`pro`].
///
/// Memory: 4 bytes a healthy voxel of the brain, 16 a lesion voxel.
#[derive(Debug, Clone)]
pub struct ProCase {
    /// Encoded scores of healthy voxels, ascending.
    healthy: Vec<u32>,
    /// Encoded scores of lesion voxels, ascending, with the size of their lesion.
    lesion: Vec<(u32, u64)>,
    lesions: u64,
}

impl ProCase {
    /// Sorts the scores inside the brain.
    ///
    /// # Shapes and units
    /// `score` is `(z, y, x)` on the grid of the lesions; any finite score, greater = more abnormal.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the shapes differ or a score is not finite.
    pub fn new(lesions: &Lesions<'_>, score: ArrayView3<'_, f32>) -> Result<Self, ScoreError> {
        lesions.check_score(score)?;
        let labels = lesions.components().labels();
        let labels = labels.as_slice().unwrap_or_default();
        let total = lesions.voxels() as usize;
        let mut healthy = Vec::with_capacity(lesions.brain_voxels() - total);
        let mut lesion = Vec::with_capacity(total);
        for (position, score) in lesions.scores(score) {
            let key = float_order::encode(score);
            match labels[position].checked_sub(1) {
                Some(index) => lesion.push((key, lesions.components()[index as usize].voxels)),
                None => healthy.push(key),
            }
        }
        healthy.par_sort_unstable();
        lesion.par_sort_unstable();
        Ok(Self { healthy, lesion, lesions: lesions.components().len() as u64 })
    }

    fn voxels(&self) -> u64 {
        (self.healthy.len() + self.lesion.len()) as u64
    }
}

/// Area under the curve of per-region overlap over the rate of false positive voxels, divided by the limit; in
/// `[0, 1]`.
///
/// Per-region overlap at a threshold is the mean, over the lesions of all cases, of the share of the lesion that is
/// predicted: small lesions weigh as much as large ones. Every distinct score is a threshold; the curve is linear
/// between them. With one case it is the value **per volume**, with all of them the **pooled** one, which is MVTec's.
///
/// # Errors
/// [`ScoreError::NoPositives`] without a lesion, [`ScoreError::NoNegatives`] without a healthy voxel,
/// [`ScoreError::Limit`] for a limit outside `(0, 1]`.
///
/// # Source
/// Bergmann et al., "The MVTec Anomaly Detection Dataset" (IJCV 2021), AU-PRO up to [`MVTEC_LIMIT`]; lesions are
/// 26-connected in 3D where regions are 8-connected in 2D.
///
/// ```
/// use disyre_score::regions::{Lesions, MVTEC_LIMIT, ProCase, pro};
/// use disyre_score::ndarray::array;
/// let label = array![[[1, 1, 0, 1, 0, 0]]]; // (z, y, x): a lesion of two voxels, one of one
/// let score = array![[[0.9, 0.1, 0.2, 0.8, 0.2, 0.2]]];
/// let lesions = Lesions::new(label.view(), None, [1.0; 3])?;
/// let case = ProCase::new(&lesions, score.view())?;
/// assert_eq!(pro([&case], MVTEC_LIMIT)?, (0.5 + 1.0) / 2.0);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn pro<'a>(
    cases: impl IntoIterator<Item = &'a ProCase>,
    limit: f64,
) -> Result<f64, ScoreError> {
    if !(limit > 0.0 && limit <= 1.0) {
        return Err(ScoreError::Limit { limit });
    }
    let cases: Vec<&ProCase> = cases.into_iter().collect();
    let voxels = cases.iter().map(|case| case.voxels()).sum();
    let lesions: u64 = cases.iter().map(|case| case.lesions).sum();
    let healthy: u64 = cases.iter().map(|case| case.healthy.len() as u64).sum();
    if lesions == 0 {
        return Err(ScoreError::NoPositives { metric: "PRO", voxels });
    }
    if healthy == 0 {
        return Err(ScoreError::NoNegatives { metric: "PRO", voxels });
    }
    let (mut area, mut x0, mut y0) = (0.0, 0.0, 0.0);
    for (false_positives, overlaps) in Curve::new(&cases) {
        let (x, y) = (false_positives as f64 / healthy as f64, overlaps / lesions as f64);
        if x > limit {
            let y_limit = y0 + (y - y0) * (limit - x0) / (x - x0);
            area += 0.5 * (y0 + y_limit) * (limit - x0);
            break;
        }
        area += 0.5 * (y0 + y) * (x - x0);
        (x0, y0) = (x, y);
    }
    Ok((area / limit).min(1.0)) // sums of shares may exceed 1 by rounding
}

/// Healthy and lesion voxels of a case that are not predicted yet.
type Rest<'a> = (&'a [u32], &'a [(u32, u64)]);

/// Iterator over `(false positive voxels, sum of the overlaps)` of all cases, from the greatest score down.
struct Curve<'a> {
    cases: Vec<Rest<'a>>,
    /// The greatest score left of each case.
    next: BinaryHeap<(u32, usize)>,
    false_positives: u64,
    overlaps: f64,
}

impl<'a> Curve<'a> {
    fn new(cases: &[&'a ProCase]) -> Self {
        let cases = cases.iter().map(|case| (case.healthy.as_slice(), case.lesion.as_slice()));
        let cases: Vec<_> = cases.collect();
        let next = (0..cases.len()).filter_map(|case| Some((greatest(cases[case])?, case)));
        Self { next: next.collect(), cases, false_positives: 0, overlaps: 0.0 }
    }

    /// Takes all voxels of a case with this score.
    fn take(&mut self, case: usize, key: u32) {
        let (healthy, lesion) = &mut self.cases[case];
        while let Some((&last, rest)) = healthy.split_last()
            && last == key
        {
            *healthy = rest;
            self.false_positives += 1;
        }
        while let Some((&(last, voxels), rest)) = lesion.split_last()
            && last == key
        {
            *lesion = rest;
            self.overlaps += 1.0 / voxels as f64;
        }
        self.next.extend(greatest(self.cases[case]).map(|key| (key, case)));
    }
}

impl Iterator for Curve<'_> {
    type Item = (u64, f64);

    fn next(&mut self) -> Option<Self::Item> {
        let &(key, _) = self.next.peek()?;
        while let Some(&(next, case)) = self.next.peek()
            && next == key
        {
            self.next.pop();
            self.take(case, key);
        }
        Some((self.false_positives, self.overlaps))
    }
}

/// The greatest score left.
fn greatest((healthy, lesion): Rest<'_>) -> Option<u32> {
    healthy.last().copied().max(lesion.last().map(|(key, _)| *key))
}
