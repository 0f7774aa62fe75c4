//! K-means of one channel, where every cluster is an interval of the sorted samples; `kmeans_fit` calls it.

use std::ops::Range;

use crate::error::TissueError;

/// Most positions at which the dynamic program may cut; beyond, it cuts between groups of neighbouring values.
///
/// Ours: with five classes, about 10 ms and 2 MB however large the cohort.
const MAX_CUTS: usize = 1 << 15;

/// Most of Lloyd's iterations after a partition found on groups of values; far fewer are needed.
const MAX_ITERATIONS: usize = 100;

/// Samples of one channel in ascending order.
#[derive(Debug)]
pub(crate) struct SortedSamples {
    values: Vec<f32>,
}

/// Centres in ascending order, and their inertia.
#[derive(Debug, PartialEq)]
pub(crate) struct Clusters {
    pub(crate) centres: Vec<f64>,
    /// Σ of squared distances to the nearest centre.
    pub(crate) inertia: f64,
}

impl SortedSamples {
    /// Sorts finite samples.
    pub(crate) fn new(mut values: Vec<f32>) -> Self {
        values.sort_unstable_by(f32::total_cmp);
        Self { values }
    }

    /// Partition into `classes` intervals with the least inertia.
    ///
    /// Exact for up to [`MAX_CUTS`] distinct values. Beyond, it is the best partition that cuts between groups of
    /// neighbouring values, improved by Lloyd's iterations on the samples themselves.
    pub(crate) fn optimal(&self, classes: usize) -> Result<Clusters, TissueError> {
        let distinct = self.positions_of_change().count() + 1;
        if distinct < classes {
            return Err(TissueError::TooFewValues { distinct, classes });
        }
        let group = distinct.div_ceil(MAX_CUTS);
        let inner = self.positions_of_change().skip(group - 1).step_by(group);
        let cuts: Vec<usize> = [0].into_iter().chain(inner).chain([self.values.len()]).collect();
        let chosen = DynamicProgram::new(&self.values, &cuts).solve(classes);
        let centres = chosen.windows(2).map(|ends| mean(&self.values[ends[0]..ends[1]])).collect();
        match group {
            1 => Ok(self.clusters(centres)),
            _ => Ok(self.refine(centres, MAX_ITERATIONS)),
        }
    }

    /// Lloyd's iterations from the given ascending centres until nothing moves, `max_iterations` at most. A centre that
    /// no sample is nearest to stays where it is.
    pub(crate) fn refine(&self, mut centres: Vec<f64>, max_iterations: usize) -> Clusters {
        for _ in 0..max_iterations {
            let moved = self.move_to_means(&centres);
            if moved == centres {
                break;
            }
            centres = moved;
        }
        self.clusters(centres)
    }

    fn move_to_means(&self, centres: &[f64]) -> Vec<f64> {
        let ends = self.interval_ends(centres);
        let means = centres.iter().zip(ends.windows(2)).map(|(&centre, ends)| {
            let nearest = &self.values[ends[0]..ends[1]];
            if nearest.is_empty() { centre } else { mean(nearest) }
        });
        means.collect()
    }

    fn clusters(&self, centres: Vec<f64>) -> Clusters {
        let ends = self.interval_ends(&centres);
        let parts = centres.iter().zip(ends.windows(2));
        let spreads = parts.map(|(&centre, ends)| {
            let nearest = self.values[ends[0]..ends[1]].iter();
            nearest.map(|&value| (f64::from(value) - centre).powi(2)).sum::<f64>()
        });
        let inertia = spreads.sum();
        Clusters { centres, inertia }
    }

    /// Index at which the samples nearest to each centre begin, and the number of samples; a sample half way belongs to
    /// the lower centre.
    fn interval_ends(&self, centres: &[f64]) -> Vec<usize> {
        let thresholds = centres.windows(2).map(|pair| 0.5 * (pair[0] + pair[1]));
        let inner = thresholds
            .map(|threshold| self.values.partition_point(|&value| f64::from(value) <= threshold));
        [0].into_iter().chain(inner).chain([self.values.len()]).collect()
    }

    /// Indices whose value differs from the one before.
    fn positions_of_change(&self) -> impl Iterator<Item = usize> {
        (1..self.values.len()).filter(|&index| self.values[index] != self.values[index - 1])
    }
}

/// Optimal partition by dynamic programming: `best[k][j] = min_i best[k−1][i] + cost(i, j)` over cuts i < j.
///
/// The best i grows with j, so each row is solved by divide and conquer in O(m log m) for m cuts.
///
/// # Source
/// Wang and Song, "Ckmeans.1d.dp" (2011); divide and conquer after Grønlund et al. (arXiv 1701.07204).
struct DynamicProgram<'a> {
    cuts: &'a [usize],
    /// Σ of (value − mean of all) below each cut.
    sums: Vec<f64>,
    /// Σ of its square.
    squares: Vec<f64>,
}

impl<'a> DynamicProgram<'a> {
    fn new(values: &[f32], cuts: &'a [usize]) -> Self {
        let centre = mean(values);
        let (mut sums, mut squares) = (vec![0.0], vec![0.0]);
        let (mut sum, mut square) = (0.0, 0.0);
        for ends in cuts.windows(2) {
            for &value in &values[ends[0]..ends[1]] {
                let deviation = f64::from(value) - centre;
                sum += deviation;
                square += deviation * deviation;
            }
            sums.push(sum);
            squares.push(square);
        }
        Self { cuts, sums, squares }
    }

    /// Ends of the optimal intervals: `classes + 1` of the cuts, first and last included.
    fn solve(&self, classes: usize) -> Vec<usize> {
        let last = self.cuts.len() - 1;
        let mut best: Vec<f64> = (0..=last).map(|j| self.cost(0, j)).collect();
        let mut froms = Vec::with_capacity(classes);
        for k in 2..=classes {
            let mut row = Row { best: vec![f64::INFINITY; last + 1], from: vec![0; last + 1] };
            self.solve_row(&best, &mut row, k..last + 1, k - 1..last);
            best = row.best;
            froms.push(row.from);
        }
        let mut ends = vec![self.cuts[last]];
        let mut at = last;
        for from in froms.iter().rev() {
            at = from[at] as usize;
            ends.push(self.cuts[at]);
        }
        ends.push(0);
        ends.reverse();
        ends
    }

    /// Solves a row for the ends `wanted`, whose best predecessors lie in `candidates` (its end included).
    fn solve_row(
        &self,
        before: &[f64],
        row: &mut Row,
        wanted: Range<usize>,
        candidates: Range<usize>,
    ) {
        if wanted.is_empty() {
            return;
        }
        let middle = wanted.start + (wanted.end - wanted.start) / 2;
        let last = candidates.end.min(middle - 1);
        let least = (candidates.start..=last)
            .map(|i| (before[i] + self.cost(i, middle), i))
            .min_by(by_total);
        let Some((total, chosen)) = least else { return };
        row.best[middle] = total;
        row.from[middle] = chosen as u32;
        self.solve_row(before, row, wanted.start..middle, candidates.start..chosen);
        self.solve_row(before, row, middle + 1..wanted.end, chosen..candidates.end);
    }

    /// Inertia of the samples between two cuts about their mean.
    fn cost(&self, i: usize, j: usize) -> f64 {
        let count = (self.cuts[j] - self.cuts[i]).max(1) as f64;
        let sum = self.sums[j] - self.sums[i];
        (self.squares[j] - self.squares[i] - sum * sum / count).max(0.0)
    }
}

/// One row of the program: for every end the least inertia, and the cut at which its last interval begins.
struct Row {
    best: Vec<f64>,
    from: Vec<u32>,
}

/// Orders by the first number; `min_by` then keeps the first of equals.
fn by_total(a: &(f64, usize), b: &(f64, usize)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0)
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Key;
    use disyre_core::rand::RngExt;
    use proptest::prelude::*;

    #[test]
    fn three_obvious_groups_are_found() {
        let samples = SortedSamples::new(vec![0.5, 0.0, 0.25, 1.0, 0.5, 0.0]);
        let clusters = samples.optimal(3).unwrap();
        // {0, 0}, {1/4, 1/2, 1/2}, {1}: the middle has mean 5/12 and inertia 1/24.
        assert!((clusters.centres[1] - 5.0 / 12.0).abs() < 1e-15);
        assert_eq!((clusters.centres[0], clusters.centres[2]), (0.0, 1.0));
        assert!((clusters.inertia - 1.0 / 24.0).abs() < 1e-15);
    }

    #[test]
    fn as_many_classes_as_values_have_no_inertia() {
        let samples = SortedSamples::new(vec![0.25, 0.5, 0.25, -0.0, 0.0]);
        let clusters = samples.optimal(3).unwrap();
        assert_eq!(clusters, Clusters { centres: vec![0.0, 0.25, 0.5], inertia: 0.0 });
        let error = samples.optimal(4).unwrap_err();
        assert!(matches!(error, TissueError::TooFewValues { distinct: 3, classes: 4 }));
    }

    #[test]
    fn a_centre_without_samples_stays() {
        let samples = SortedSamples::new(vec![0.0, 0.5, 1.0, 1.5]);
        let clusters = samples.refine(vec![0.5, 1.0, 9.0], 10);
        assert_eq!(clusters, Clusters { centres: vec![0.25, 1.25, 9.0], inertia: 0.25 });
    }

    /// Least inertia over all partitions into intervals, by trying each.
    fn exhaustive(values: &[f32], classes: usize) -> f64 {
        if classes == 1 {
            let centre = mean(values);
            return values.iter().map(|&value| (f64::from(value) - centre).powi(2)).sum();
        }
        let splits = classes - 1..values.len();
        let totals =
            splits.map(|at| exhaustive(&values[..at], classes - 1) + exhaustive(&values[at..], 1));
        totals.fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn no_partition_is_better(values in prop::collection::vec(0.0_f32..1.0, 4..14), classes in 1usize..5) {
            let samples = SortedSamples::new(values);
            match samples.optimal(classes) {
                Ok(clusters) => {
                    let least = exhaustive(&samples.values, classes);
                    prop_assert!((clusters.inertia - least).abs() < 1e-12);
                }
                Err(error) => {
                    let too_few = matches!(error, TissueError::TooFewValues { .. });
                    prop_assert!(too_few);
                }
            }
        }
    }

    /// A skewed mixture as intensities are, `distinct` values at most.
    fn mixture(count: usize, distinct: f32) -> SortedSamples {
        let mut rng = Key::new(3).child("mixture").rng();
        let values = (0..count).map(|_| {
            let mode = [0.15, 0.4, 0.55, 0.8][rng.random_range(0..4)];
            let spread = (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 0.15;
            (((mode + spread).clamp(0.0, 1.0)) * distinct).round() / distinct
        });
        SortedSamples::new(values.collect())
    }

    #[test]
    fn restarts_of_lloyds_iterations_never_do_better() {
        // Exact, and with more distinct values than cuts.
        for samples in [mixture(20_000, 4000.0), mixture(200_000, 1e7)] {
            let solved = samples.optimal(5).unwrap();
            let mut rng = Key::new(4).rng();
            for _ in 0..50 {
                let mut start: Vec<f64> = (0..5).map(|_| rng.random()).collect();
                start.sort_by(f64::total_cmp);
                let restarted = samples.refine(start, 1000);
                assert!(solved.inertia <= restarted.inertia * (1.0 + 1e-12));
            }
        }
    }
}
