//! Expectation maximisation of a Gaussian mixture, from the classes of k-means.
use disyre_core::ndarray::{Array2, Array3, ArrayView2, Axis};
use disyre_core::{Key, TissueModel, ensure_finite, ensure_same_shape};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::codebook::Codebook;
use crate::error::TissueError;
use crate::kmeans_fit::KMeansConfig;
use crate::mixture::GaussianMixture;

/// Number of samples whose sums are taken together: chunks of fixed size keep results independent of the number of threads.
const CHUNK: usize = 1 << 14;

/// Settings of the fit of a Gaussian mixture: expectation maximisation from the classes of k-means.
///
/// ```
/// use disyre_core::{Key, ndarray::array};
/// use disyre_tissue::MixtureConfig;
///
/// let samples = array![[0.2], [0.2], [0.3], [0.8], [0.9]];
/// let fit = MixtureConfig { classes: 2, ..MixtureConfig::default() }.fit(samples.view(), Key::new(1))?;
/// assert!((fit.mixture.weights()[0] - 0.6).abs() < 1e-6);
/// # Ok::<(), disyre_tissue::TissueError>(())
/// ```
///
/// # Source
/// Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm" (1977). The number of
/// classes is the published one of the codebook; the rest are scikit-learn's defaults but for the tolerance and the
/// iterations, which are stricter: on brain intensities its 0.001 stops long before the classes stop moving.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureConfig {
    /// Number of classes K, 1 to 256.
    pub classes: usize,
    /// Most iterations, ≥ 1.
    pub max_iterations: usize,
    /// Iterations end when the mean logarithm of the likelihood of a sample changes by less, ≥ 0.
    pub tolerance: f64,
    /// Added to the variance of every class in every channel, above 0, in squared intensities: no class collapses onto
    /// one intensity.
    pub variance_floor: f64,
}

impl Default for MixtureConfig {
    fn default() -> Self {
        Self { classes: 5, max_iterations: 200, tolerance: 1e-5, variance_floor: 1e-6 }
    }
}

/// A fitted mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct MixtureFit {
    /// The classes.
    pub mixture: GaussianMixture,
    /// Mean over the samples of the natural logarithm of their density.
    pub log_likelihood: f64,
}

impl MixtureConfig {
    /// Fits a mixture to samples, starting from the classes of [`KMeansConfig::fit`].
    ///
    /// # Shapes and units
    /// `samples` is `(n, channels)`, intensities in `[0, 1]`. Equal arguments give equal bits on any number of threads.
    ///
    /// # Errors
    /// Those of [`KMeansConfig::fit`]; [`TissueError::Tolerance`] and [`TissueError::ZeroSetting`] for the settings.
    pub fn fit(&self, samples: ArrayView2<'_, f32>, key: Key) -> Result<MixtureFit, TissueError> {
        self.check()?;
        let start = KMeansConfig { classes: self.classes, ..KMeansConfig::default() };
        self.iterate(samples, &start.fit(samples, key)?.codebook)
    }

    /// Expectation maximisation from the hard labels of a codebook, whose number of classes counts in place of
    /// `classes`.
    ///
    /// # Shapes and units
    /// `samples` is `(n, channels)` with the channels of `start`.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`TissueError::Shape`] if the channels differ, [`TissueError::EmptyClass`] if no sample is
    /// nearest to one of the centres.
    pub fn refine(
        &self,
        samples: ArrayView2<'_, f32>,
        start: &Codebook,
    ) -> Result<MixtureFit, TissueError> {
        self.check()?;
        if samples.nrows() == 0 {
            return Err(TissueError::NoSamples);
        }
        let expected = [samples.nrows(), start.channels()];
        ensure_same_shape("tissue samples", &expected, samples.shape())?;
        ensure_finite("tissue samples", &samples)?;
        self.iterate(samples, start)
    }

    /// Expectation maximisation of checked samples.
    fn iterate(
        &self,
        samples: ArrayView2<'_, f32>,
        start: &Codebook,
    ) -> Result<MixtureFit, TissueError> {
        let mut mixture = self.maximise(&labelled(samples, start), None)?;
        let mut before = f64::NEG_INFINITY;
        for _ in 0..self.max_iterations {
            let statistics = expect(samples, &mixture);
            mixture = self.maximise(&statistics, Some(&mixture))?;
            let now = statistics.log_likelihood / samples.nrows() as f64;
            if (now - before).abs() < self.tolerance {
                break;
            }
            before = now;
        }
        let log_likelihood = expect(samples, &mixture).log_likelihood / samples.nrows() as f64;
        Ok(MixtureFit { mixture, log_likelihood })
    }

    fn check(&self) -> Result<(), TissueError> {
        if self.max_iterations == 0 {
            return Err(TissueError::ZeroSetting { setting: "max_iterations" });
        }
        let valid = |value: f64| value.is_finite() && value >= 0.0;
        if !valid(self.tolerance) || !valid(self.variance_floor) || self.variance_floor == 0.0 {
            let (tolerance, variance_floor) = (self.tolerance, self.variance_floor);
            return Err(TissueError::Tolerance { tolerance, variance_floor });
        }
        Ok(())
    }

    /// Most likely mixture for given memberships. A class without members keeps its Gaussian, with weight 0.
    fn maximise(
        &self,
        statistics: &Statistics,
        before: Option<&GaussianMixture>,
    ) -> Result<GaussianMixture, TissueError> {
        let (classes, channels) = statistics.sums.dim();
        let mut means = Array2::zeros((classes, channels));
        let mut covariances = Array3::zeros((classes, channels, channels));
        for class in 0..classes {
            let mass = statistics.masses[class];
            if mass < f64::EPSILON {
                let kept = before.ok_or(TissueError::EmptyClass { class })?;
                means.row_mut(class).assign(&kept.means().row(class));
                let covariance = kept.covariances().index_axis_move(Axis(0), class);
                covariances.index_axis_mut(Axis(0), class).assign(&covariance);
                continue;
            }
            for i in 0..channels {
                means[[class, i]] = statistics.sums[[class, i]] / mass;
                for j in 0..=i {
                    let product = statistics.products[[class, i, j]] / mass;
                    let spread = product - means[[class, i]] * means[[class, j]];
                    // Rounding can leave a constant channel a hair below 0.
                    let spread =
                        if i == j { spread.max(0.0) + self.variance_floor } else { spread };
                    covariances[[class, i, j]] = spread;
                    covariances[[class, j, i]] = spread;
                }
            }
        }
        GaussianMixture::new(&statistics.masses, means.view(), covariances.view())
    }
}

/// Sufficient statistics of the classes: sums over samples, weighted by membership.
struct Statistics {
    /// (k): Σ u.
    masses: Vec<f64>,
    /// (k, channels): Σ u x.
    sums: Array2<f64>,
    /// (k, channels, channels): Σ u x xᵀ, lower triangle.
    products: Array3<f64>,
    /// Σ of the logarithms of the densities.
    log_likelihood: f64,
}

impl Statistics {
    fn new(classes: usize, channels: usize) -> Self {
        Self {
            masses: vec![0.0; classes],
            sums: Array2::zeros((classes, channels)),
            products: Array3::zeros((classes, channels, channels)),
            log_likelihood: 0.0,
        }
    }

    fn add(&mut self, class: usize, sample: &[f32], membership: f64) {
        self.masses[class] += membership;
        for (i, &x) in sample.iter().enumerate() {
            let weighted = membership * f64::from(x);
            self.sums[[class, i]] += weighted;
            for (j, &y) in sample[..=i].iter().enumerate() {
                self.products[[class, i, j]] += weighted * f64::from(y);
            }
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.masses.iter_mut().zip(other.masses).for_each(|(sum, part)| *sum += part);
        self.sums += &other.sums;
        self.products += &other.products;
        self.log_likelihood += other.log_likelihood;
        self
    }
}

/// Statistics under the hard labels of a codebook.
fn labelled(samples: ArrayView2<'_, f32>, codebook: &Codebook) -> Statistics {
    let mut labels = vec![0; samples.nrows()];
    codebook.label(samples, &mut labels);
    let mut statistics = Statistics::new(codebook.classes(), samples.ncols());
    for (sample, label) in samples.rows().into_iter().zip(labels) {
        statistics.add(usize::from(label), &sample.to_vec(), 1.0);
    }
    statistics
}

/// Statistics under the memberships of a mixture.
fn expect(samples: ArrayView2<'_, f32>, mixture: &GaussianMixture) -> Statistics {
    let chunks: Vec<Statistics> = samples
        .axis_chunks_iter(Axis(0), CHUNK)
        .into_par_iter()
        .map(|chunk| expect_chunk(chunk, mixture))
        .collect();
    let none = Statistics::new(mixture.classes(), samples.ncols());
    chunks.into_iter().fold(none, Statistics::merge)
}

fn expect_chunk(samples: ArrayView2<'_, f32>, mixture: &GaussianMixture) -> Statistics {
    let (classes, channels) = (mixture.classes(), mixture.channels());
    let mut statistics = Statistics::new(classes, channels);
    let (mut posterior, mut scratch) = (vec![0.0; classes], vec![0.0; channels]);
    let mut row = vec![0.0; channels];
    for sample in samples.rows() {
        row.iter_mut().zip(sample).for_each(|(to, &from)| *to = from);
        statistics.log_likelihood += mixture.posterior(sample, &mut posterior, &mut scratch);
        for (class, &membership) in posterior.iter().enumerate() {
            statistics.add(class, &row, membership);
        }
    }
    statistics
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;
    use disyre_core::rand::RngExt;
    use rayon::ThreadPoolBuilder;

    /// Nearly normal values around 0.3 (two thirds, narrow) and 0.6 (wide), and a second channel against the first.
    fn samples(count: usize) -> Array2<f32> {
        let mut rng = Key::new(9).rng();
        let mut normal = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
        let rows = (0..count).flat_map(|index| {
            let (mean, sd) = if index % 3 == 0 { (0.6, 0.1) } else { (0.3, 0.03) };
            let value = mean + sd * normal();
            [value, 1.0 - value + 0.02 * normal()]
        });
        Array2::from_shape_vec((count, 2), rows.collect()).unwrap()
    }

    fn first_channel(samples: &Array2<f32>) -> Array2<f32> {
        samples.slice_axis(Axis(1), (0..1).into()).to_owned()
    }

    #[test]
    fn the_classes_that_made_the_samples_are_found() {
        let config = MixtureConfig { classes: 2, ..MixtureConfig::default() };
        let fit = config.fit(first_channel(&samples(30_000)).view(), Key::new(1)).unwrap();
        let close = |got: f64, expected: f64, by: f64| {
            assert!((got - expected).abs() < by, "{got} {expected}");
        };
        close(fit.mixture.weights()[0], 2.0 / 3.0, 0.01);
        close(fit.mixture.means()[[0, 0]], 0.3, 0.003);
        close(fit.mixture.means()[[1, 0]], 0.6, 0.006);
        close(fit.mixture.covariances()[[0, 0, 0]].sqrt(), 0.03, 0.002);
        close(fit.mixture.covariances()[[1, 0, 0]].sqrt(), 0.1, 0.005);
    }

    #[test]
    fn no_iteration_lowers_the_likelihood() {
        let (samples, mut before) = (samples(2000), f64::NEG_INFINITY);
        let start =
            Codebook::from_centres(array![[0.2, 0.5], [0.3, 0.5], [0.7, 0.5]].view()).unwrap();
        for max_iterations in 1..30 {
            let config = MixtureConfig {
                max_iterations,
                tolerance: 0.0,
                variance_floor: 1e-12,
                ..MixtureConfig::default()
            };
            let now = config.refine(samples.view(), &start).unwrap().log_likelihood;
            assert!(now >= before - 1e-9, "{now} after {before}");
            before = now;
        }
    }

    #[test]
    fn equal_samples_give_equal_bits_on_any_number_of_threads() {
        let samples = first_channel(&samples(50_000));
        let config = MixtureConfig { max_iterations: 5, ..MixtureConfig::default() };
        let fits = [1, 3].map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| config.fit(samples.view(), Key::new(7)).unwrap())
        });
        assert_eq!(fits[0], fits[1]);
    }

    #[test]
    fn a_class_on_a_single_intensity_keeps_the_floor_as_its_variance() {
        let config = MixtureConfig { classes: 2, variance_floor: 1e-4, ..MixtureConfig::default() };
        let samples = array![[0.25], [0.25], [0.25], [0.75], [0.75]];
        let fit = config.fit(samples.view(), Key::new(1)).unwrap();
        for class in 0..2 {
            assert!((fit.mixture.covariances()[[class, 0, 0]] - 1e-4).abs() < 1e-9);
        }
        assert!((fit.mixture.weights()[0] - 0.6).abs() < 1e-9);
    }

    #[test]
    fn invalid_settings_and_samples_are_refused() {
        let fit = |config: MixtureConfig, samples: Array2<f32>| {
            config.fit(samples.view(), Key::new(1)).unwrap_err()
        };
        let good = MixtureConfig { classes: 1, ..MixtureConfig::default() };
        for floor in [0.0, -1.0, f64::NAN] {
            let error = fit(MixtureConfig { variance_floor: floor, ..good }, array![[0.1]]);
            assert!(matches!(error, TissueError::Tolerance { .. }));
        }
        let error = fit(MixtureConfig { max_iterations: 0, ..good }, array![[0.1]]);
        assert!(matches!(error, TissueError::ZeroSetting { setting: "max_iterations" }));
        assert!(matches!(fit(good, Array2::zeros((0, 1))), TissueError::NoSamples));
        assert!(matches!(fit(good, array![[f32::NAN]]), TissueError::Shape(_)));
        let error = good.refine(array![[0.1, 0.2]].view(), &Codebook::published()).unwrap_err();
        assert!(matches!(error, TissueError::Shape(_)));
    }
}
