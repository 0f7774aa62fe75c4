//! K-means of several channels, through the crate `kmeans`; `kmeans_fit` calls it.

use std::collections::HashSet;

use disyre_core::Key;
use disyre_core::ndarray::{Array2, ArrayView2};
use disyre_core::rand::RngExt;
use kmeans::{AbortStrategy, EuclideanDistance, KMeans};

use crate::codebook::Codebook;
use crate::error::TissueError;

/// Lanes of the crate's vectors: channels are padded to a multiple of them.
const LANES: usize = 4;

/// Codebook and inertia of the best of the restarts, each from its own k-means++ centres.
pub(crate) fn fit(
    samples: ArrayView2<'_, f32>,
    classes: usize,
    restarts: usize,
    max_iterations: usize,
    key: Key,
) -> Result<(Codebook, f64), TissueError> {
    let distinct = distinct_rows(samples, classes);
    if distinct < classes {
        return Err(TissueError::TooFewValues { distinct, classes });
    }
    let mut best: Option<(Codebook, f64)> = None;
    for restart in 0..restarts {
        let start = kmeans_plus_plus(samples, classes, key.child(restart));
        let fit = refine(samples, start.view(), max_iterations)?;
        if best.as_ref().is_none_or(|best| fit.1 < best.1) {
            best = Some(fit);
        }
    }
    best.ok_or(TissueError::ZeroSetting { setting: "restarts" })
}

/// Codebook and inertia after Lloyd's iterations of the `kmeans` crate, in `f64`, the same on any number of threads.
pub(crate) fn refine(
    samples: ArrayView2<'_, f32>,
    start: ArrayView2<'_, f64>,
    max_iterations: usize,
) -> Result<(Codebook, f64), TissueError> {
    let distinct = distinct_rows(samples, start.nrows());
    if distinct < start.nrows() {
        return Err(TissueError::TooFewValues { distinct, classes: start.nrows() });
    }
    let values: Vec<f64> = samples.iter().map(|&value| f64::from(value)).collect();
    let model: KMeans<f64, LANES, _> =
        KMeans::new(&values, samples.nrows(), samples.ncols(), EuclideanDistance);
    // The crate's own generator is never drawn from, because the centres are given.
    let until_nothing_improves = kmeans::KMeansConfig::build()
        .abort_strategy(AbortStrategy::NoImprovement { threshold: 0.0 })
        .build();
    let state = model.kmeans_lloyd(
        start.nrows(),
        max_iterations,
        KMeans::init_precomputed(start.iter().copied().collect()),
        &until_nothing_improves,
    );
    let centres = Array2::from_shape_fn(start.dim(), |(k, c)| state.centroids[k][c]);
    let codebook = Codebook::from_centres(centres.view())?;
    let inertia = samples.rows().into_iter().map(|sample| codebook.nearest(sample).1).sum();
    Ok((codebook, inertia))
}

/// K-means++: samples drawn one after the other with probability proportional to the squared distance to the nearest
/// one drawn before.
///
/// # Source
/// Arthur and Vassilvitskii, "k-means++" (2007).
fn kmeans_plus_plus(samples: ArrayView2<'_, f32>, classes: usize, key: Key) -> Array2<f64> {
    let mut rng = key.rng();
    let mut centres = Array2::zeros((classes, samples.ncols()));
    let mut distances = vec![f64::INFINITY; samples.nrows()];
    let mut drawn = rng.random_range(0..samples.nrows());
    for class in 0..classes {
        let centre = samples.row(drawn);
        centres.row_mut(class).assign(&centre.mapv(f64::from));
        for (distance, sample) in distances.iter_mut().zip(samples.rows()) {
            let apart = sample.iter().zip(centre).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            *distance = distance.min(apart);
        }
        let mut rest = rng.random::<f64>() * distances.iter().sum::<f64>();
        let reached = distances.iter().position(|&distance| {
            rest -= distance;
            distance > 0.0 && rest < 0.0
        });
        // Rounding can leave a rest at the end: the last sample that is no centre yet.
        drawn = reached.or_else(|| distances.iter().rposition(|&d| d > 0.0)).unwrap_or_default();
    }
    centres
}

/// Number of distinct rows, counted up to `enough`.
fn distinct_rows(samples: ArrayView2<'_, f32>, enough: usize) -> usize {
    let mut seen = HashSet::new();
    for row in samples.rows() {
        seen.insert(row.iter().map(|&value| (value + 0.0).to_bits()).collect::<Vec<u32>>());
        if seen.len() >= enough {
            break;
        }
    }
    seen.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KMeansConfig;
    use disyre_core::ndarray::array;
    use rayon::ThreadPoolBuilder;

    /// Four squares of side 0.2 around distinct corners, the same number of samples in each.
    fn squares(count: usize) -> Array2<f32> {
        let corners = [[0.0, 0.0], [0.0, 0.8], [0.8, 0.0], [0.7, 0.7]];
        let mut rng = Key::new(5).rng();
        let mut samples = Array2::zeros((count, 2));
        for (index, mut row) in samples.rows_mut().into_iter().enumerate() {
            row.assign(&array![rng.random::<f32>(), rng.random::<f32>()]);
            row *= 0.2;
            row += &array![corners[index % 4][0], corners[index % 4][1]];
        }
        samples
    }

    fn config(classes: usize) -> KMeansConfig {
        KMeansConfig { classes, ..KMeansConfig::default() }
    }

    #[test]
    fn four_squares_are_found() {
        let samples = squares(4000);
        let fit = config(4).fit(samples.view(), Key::new(1)).unwrap();
        let middles = array![[0.1, 0.1], [0.1, 0.9], [0.8, 0.8], [0.9, 0.1]];
        let off = &fit.codebook.centres() - &middles;
        assert!(off.iter().all(|off| off.abs() < 0.01), "{:?}", fit.codebook);
        // Variance of two uniform numbers of width 0.2.
        let expected = 4000.0 * 2.0 * 0.04 / 12.0;
        assert!((fit.inertia / expected - 1.0).abs() < 0.05);
    }

    #[test]
    fn equal_keys_give_equal_bits_on_any_number_of_threads() {
        let samples = squares(3000);
        let fits = [1, 3].map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| config(5).fit(samples.view(), Key::new(7)).unwrap())
        });
        assert_eq!(fits[0], fits[1]);
    }

    #[test]
    fn the_crate_agrees_with_the_exact_solution_where_one_channel_is_constant() {
        let mut samples = squares(2000);
        samples.column_mut(1).fill(0.5);
        let exact = config(3)
            .fit(samples.slice_axis(disyre_core::ndarray::Axis(1), (0..1).into()), Key::new(1));
        let exact = exact.unwrap();
        let several =
            KMeansConfig { restarts: 40, ..config(3) }.fit(samples.view(), Key::new(1)).unwrap();
        assert!(exact.inertia <= several.inertia * (1.0 + 1e-9));
        assert!(several.inertia <= exact.inertia * 1.001, "{} {}", several.inertia, exact.inertia);
    }

    #[test]
    fn too_few_distinct_rows_are_refused() {
        let samples = array![[0.1, 0.2], [0.1, 0.2], [0.2, 0.1], [-0.0, 0.0], [0.0, 0.0]];
        let error = config(4).fit(samples.view(), Key::new(1)).unwrap_err();
        assert!(matches!(error, TissueError::TooFewValues { distinct: 3, classes: 4 }));
        let exact = config(3).fit(samples.view(), Key::new(1)).unwrap();
        assert!(exact.inertia < 1e-12);
    }
}
