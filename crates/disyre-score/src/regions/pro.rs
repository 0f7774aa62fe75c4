//! PRO: mean overlap of lesions against the rate of false positive voxels.

use std::collections::BinaryHeap;

use disyre_core::ndarray::ArrayView3;
use rayon::slice::ParallelSliceMut;

use super::Lesions;
use crate::{RankedScores, ScoreError, float_order};

/// Rate of false positive voxels up to which MVTec integrates.
///
/// # Source
/// Bergmann et al., "The MVTec Anomaly Detection Dataset" (IJCV 2021).
pub const MVTEC_LIMIT: f64 = 0.3;

/// The scores of a case's lesion voxels, by lesion, for [`pro`].
///
/// Memory: 8 bytes a lesion voxel, of all cases together for the pooled value.
#[derive(Debug, Clone)]
pub struct ProCase {
    /// Encoded scores, ascending, with the index of their lesion.
    scores: Vec<(u32, u32)>,
    /// Number of voxels of each lesion.
    sizes: Vec<u64>,
}

impl ProCase {
    /// Sorts the scores of the lesions.
    ///
    /// # Shapes and units
    /// `score` is `(z, y, x)` on the grid of the lesions; any finite score, greater = more abnormal.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the shapes differ or a score is not finite.
    pub fn new(lesions: &Lesions<'_>, score: ArrayView3<'_, f32>) -> Result<Self, ScoreError> {
        lesions.check_score(score)?;
        let [_, height, _] = lesions.shape();
        let mut scores = Vec::with_capacity(lesions.voxels() as usize);
        for (row, columns, lesion) in lesions.components().runs() {
            let (z, y) = (row / height, row % height);
            let key = |x| (float_order::encode(score[[z, y, x]]), lesion as u32);
            scores.extend(columns.map(key));
        }
        scores.par_sort_unstable();
        Ok(Self { scores, sizes: lesions.components().sizes() })
    }
}

/// Area under the curve of per-region overlap over the rate of false positive voxels, divided by the limit; in
/// `[0, 1]`.
///
/// Per-region overlap at a threshold is the mean, over the lesions of all cases, of the share of the lesion that is
/// predicted: small lesions weigh as much as large ones. Every distinct score is a threshold; the curve is linear
/// between them. With one case it is the value **per volume**, with all of them the **pooled** one, which is MVTec's.
///
/// `ranked` are the voxels of the brains of the same cases: those of [`RankedScores::new`] or of a
/// [`ScorePool`](crate::ScorePool), which bounds their memory.
///
/// # Errors
/// [`ScoreError::NoPositives`] without a lesion, [`ScoreError::NoNegatives`] without a healthy voxel,
/// [`ScoreError::Limit`] for a limit outside `(0, 1]`, [`ScoreError::OtherVoxels`] if other lesion voxels were ranked,
/// [`ScoreError::Spill`] if a temporary file of the pool cannot be read.
///
/// # Source
/// Bergmann et al., "The MVTec Anomaly Detection Dataset" (IJCV 2021), AU-PRO up to [`MVTEC_LIMIT`]; lesions are
/// 26-connected in 3D where regions are 8-connected in 2D.
///
/// ```
/// use disyre_score::regions::{Lesions, MVTEC_LIMIT, ProCase, pro};
/// use disyre_score::{RankedScores, ndarray::array};
/// let label = array![[[1, 1, 0, 1, 0, 0]]]; // (z, y, x): a lesion of two voxels, one of one
/// let score = array![[[0.9, 0.1, 0.2, 0.8, 0.2, 0.2]]];
/// let lesions = Lesions::new(label.view(), None, [1.0; 3])?;
/// let case = ProCase::new(&lesions, score.view())?;
/// let ranked = RankedScores::new(score.as_slice().unwrap(), label.as_slice().unwrap())?;
/// assert_eq!(pro(&ranked, [&case], MVTEC_LIMIT)?, (0.5 + 1.0) / 2.0);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn pro<'a>(
    ranked: &RankedScores,
    cases: impl IntoIterator<Item = &'a ProCase>,
    limit: f64,
) -> Result<f64, ScoreError> {
    let cases: Vec<&ProCase> = cases.into_iter().collect();
    check(ranked, &cases, limit)?;
    let lesions: usize = cases.iter().map(|case| case.sizes.len()).sum();
    let rate = |voxels: u64| voxels as f64 / ranked.negatives() as f64;
    let mut overlaps = Overlaps::new(cases);
    let mut curve = Curve { limit, area: 0.0, end: (0.0, 0.0) };
    ranked.for_each_level(|level| {
        // Healthy voxels between two lesion scores change no overlap.
        curve.line_to(rate(level.negatives - level.new_negatives), curve.end.1);
        overlaps.take(level.key);
        curve.line_to(rate(level.negatives), overlaps.sum / lesions as f64);
    })?;
    curve.line_to(1.0, curve.end.1);
    Ok((curve.area / limit).min(1.0)) // sums of shares may exceed 1 by rounding
}

fn check(ranked: &RankedScores, cases: &[&ProCase], limit: f64) -> Result<(), ScoreError> {
    let (positives, negatives) = (ranked.positives(), ranked.negatives());
    let of_cases = cases.iter().map(|case| case.scores.len() as u64).sum();
    let voxels = positives + negatives;
    if !(limit > 0.0 && limit <= 1.0) {
        Err(ScoreError::Limit { limit })
    } else if of_cases != positives {
        Err(ScoreError::OtherVoxels { ranked: positives, cases: of_cases })
    } else if positives == 0 {
        Err(ScoreError::NoPositives { metric: "PRO", voxels })
    } else if negatives == 0 {
        Err(ScoreError::NoNegatives { metric: "PRO", voxels })
    } else {
        Ok(())
    }
}

/// Area under lines from `(0, 0)` on, up to a limit along x.
struct Curve {
    limit: f64,
    area: f64,
    end: (f64, f64),
}

impl Curve {
    fn line_to(&mut self, x: f64, y: f64) {
        let (x0, y0) = std::mem::replace(&mut self.end, (x, y));
        if x <= self.limit {
            self.area += 0.5 * (y0 + y) * (x - x0);
        } else if x0 < self.limit {
            let width = self.limit - x0;
            let y = y0 + (y - y0) * width / (x - x0);
            self.area += 0.5 * (y0 + y) * width;
        }
    }
}

/// Walk over the lesion voxels of all cases, from the greatest score down.
struct Overlaps<'a> {
    /// Each case, and how many of its voxels are left.
    cases: Vec<(&'a ProCase, usize)>,
    /// The greatest score left of each case.
    next: BinaryHeap<(u32, usize)>,
    /// Sum over the lesions of the share taken.
    sum: f64,
}

impl<'a> Overlaps<'a> {
    fn new(cases: Vec<&'a ProCase>) -> Self {
        let cases: Vec<_> = cases.into_iter().map(|case| (case, case.scores.len())).collect();
        let greatest = |index: usize| cases[index].0.scores.last().map(|&(key, _)| (key, index));
        let next = (0..cases.len()).filter_map(greatest).collect();
        Self { cases, next, sum: 0.0 }
    }

    /// Takes all voxels with at least this score.
    fn take(&mut self, key: u32) {
        while let Some(&(greatest, index)) = self.next.peek()
            && greatest >= key
        {
            self.next.pop();
            let (case, left) = &mut self.cases[index];
            let rest = case.scores[..*left].partition_point(|&(score, _)| score < key);
            for &(_, lesion) in case.scores[rest..*left].iter().rev() {
                self.sum += 1.0 / case.sizes[lesion as usize] as f64;
            }
            *left = rest;
            self.next.extend(case.scores[..rest].last().map(|&(key, _)| (key, index)));
        }
    }
}
