//! Settings and result of k-means; one channel goes to `kmeans_1d`, several to `kmeans_nd`.
use disyre_core::ndarray::{ArrayView1, ArrayView2, Axis};
use disyre_core::{Key, ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::codebook::{Codebook, ensure_labelled};
use crate::error::TissueError;
use crate::kmeans_1d::{Clusters, SortedSamples};
#[cfg(feature = "kmeans")]
use crate::kmeans_nd;

/// Settings of k-means: the K centres with the least sum of squared distances to the samples.
///
/// ```
/// use disyre_core::{Key, ndarray::array};
/// use disyre_tissue::KMeansConfig;
///
/// let samples = array![[0.0], [0.25], [0.75], [1.0]];
/// let fit = KMeansConfig { classes: 2, ..KMeansConfig::default() }.fit(samples.view(), Key::new(1))?;
/// assert_eq!(fit.codebook.centres(), array![[0.125], [0.875]]);
/// assert_eq!(fit.inertia, 4.0 / 64.0);
/// # Ok::<(), disyre_tissue::TissueError>(())
/// ```
///
/// # Source
/// K = 5: the published code. One channel is solved exactly (ours); `max_iterations` and `restarts` concern several
/// channels, and [`refine`](Self::refine).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KMeansConfig {
    /// Number of classes K, 1 to 256; published: 5.
    pub classes: usize,
    /// Most iterations of Lloyd's algorithm, ≥ 1; ours, as many as scikit-learn's default.
    pub max_iterations: usize,
    /// Number of starts from other random centres with several channels, ≥ 1; the best result counts. Ours.
    pub restarts: usize,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self { classes: 5, max_iterations: 300, restarts: 4 }
    }
}

/// Classes fitted by k-means.
#[doc(alias = "Fit")]
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansFit {
    /// The classes.
    pub codebook: Codebook,
    /// Sum over the samples of the squared distance to the nearest centre, in squared intensities.
    pub inertia: f64,
}

impl KMeansConfig {
    /// Fits classes to samples.
    ///
    /// One channel is solved by dynamic programming over the sorted samples: the global optimum for up to 2¹⁵ distinct
    /// values; for more, the optimum over groups of neighbouring values, improved on the samples themselves. It does
    /// not use `key`. Several channels start from k-means++ centres drawn from `key` and take the best restart; this
    /// needs the feature `kmeans`.
    ///
    /// # Shapes and units
    /// `samples` is `(n, channels)`, intensities in `[0, 1]`; the order of samples does not matter for one channel.
    ///
    /// # Errors
    /// [`TissueError::NoSamples`], [`TissueError::TooFewValues`], [`TissueError::Shape`] if a sample is not finite,
    /// [`TissueError::SeveralChannels`] without the feature, and errors of the settings.
    pub fn fit(&self, samples: ArrayView2<'_, f32>, key: Key) -> Result<KMeansFit, TissueError> {
        self.check(&samples)?;
        match samples.ncols() {
            1 => one_channel(
                SortedSamples::new(samples.iter().copied().collect()).optimal(self.classes)?,
            ),
            _ => self.fit_nd(samples, key),
        }
    }

    /// Lloyd's iterations from the centres of a codebook, whose number of classes counts in place of `classes`: each
    /// sample joins its nearest centre, each centre moves to the mean of its samples, until nothing moves or
    /// `max_iterations` is reached. With one channel, a centre without samples stays where it is; with several, the
    /// `kmeans` crate moves it to the sample farthest from its own centre.
    ///
    /// # Shapes and units
    /// `samples` is `(n, channels)` with the channels of `start`.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`TissueError::Shape`] if the channels differ.
    pub fn refine(
        &self,
        samples: ArrayView2<'_, f32>,
        start: &Codebook,
    ) -> Result<KMeansFit, TissueError> {
        self.check(&samples)?;
        let expected = [samples.nrows(), start.channels()];
        ensure_same_shape("tissue samples", &expected, samples.shape())?;
        if samples.ncols() > 1 {
            return self.refine_nd(samples, start);
        }
        let sorted = SortedSamples::new(samples.iter().copied().collect());
        one_channel(sorted.refine(start.centres().iter().copied().collect(), self.max_iterations))
    }

    fn check(&self, samples: &ArrayView2<'_, f32>) -> Result<(), TissueError> {
        ensure_labelled(self.classes)?;
        let settings = [("max_iterations", self.max_iterations), ("restarts", self.restarts)];
        if let Some((setting, _)) = settings.into_iter().find(|&(_, value)| value == 0) {
            return Err(TissueError::ZeroSetting { setting });
        }
        if samples.ncols() == 0 {
            return Err(TissueError::NoChannels);
        }
        if samples.nrows() == 0 {
            return Err(TissueError::NoSamples);
        }
        Ok(ensure_finite("tissue samples", samples)?)
    }

    #[cfg(feature = "kmeans")]
    fn fit_nd(&self, samples: ArrayView2<'_, f32>, key: Key) -> Result<KMeansFit, TissueError> {
        let (codebook, inertia) =
            kmeans_nd::fit(samples, self.classes, self.restarts, self.max_iterations, key)?;
        Ok(KMeansFit { codebook, inertia })
    }

    #[cfg(feature = "kmeans")]
    fn refine_nd(
        &self,
        samples: ArrayView2<'_, f32>,
        start: &Codebook,
    ) -> Result<KMeansFit, TissueError> {
        let (codebook, inertia) = kmeans_nd::refine(samples, start.centres(), self.max_iterations)?;
        Ok(KMeansFit { codebook, inertia })
    }

    #[cfg(not(feature = "kmeans"))]
    fn fit_nd(&self, samples: ArrayView2<'_, f32>, _: Key) -> Result<KMeansFit, TissueError> {
        Err(TissueError::SeveralChannels { channels: samples.ncols() })
    }

    #[cfg(not(feature = "kmeans"))]
    fn refine_nd(
        &self,
        samples: ArrayView2<'_, f32>,
        _: &Codebook,
    ) -> Result<KMeansFit, TissueError> {
        Err(TissueError::SeveralChannels { channels: samples.ncols() })
    }
}

fn one_channel(clusters: Clusters) -> Result<KMeansFit, TissueError> {
    let centres = ArrayView1::from(&clusters.centres).insert_axis(Axis(1)); // (k, 1)
    Ok(KMeansFit { codebook: Codebook::from_centres(centres)?, inertia: clusters.inertia })
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array2, array};

    #[test]
    fn classes_are_numbered_by_intensity_in_any_order_of_samples() {
        let config = KMeansConfig { classes: 2, ..KMeansConfig::default() };
        let fit = config.fit(array![[0.75], [0.25], [1.0], [0.0]].view(), Key::new(1)).unwrap();
        assert_eq!(fit.codebook.centres(), array![[0.125], [0.875]]);
        assert_eq!(fit.inertia, 4.0 / 64.0);
    }

    #[test]
    fn lloyds_iterations_stop_at_the_most_allowed() {
        let samples = array![[0.0], [0.25], [0.5], [1.0]];
        let start = Codebook::from_centres(array![[0.0], [0.125]].view()).unwrap();
        let one = KMeansConfig { max_iterations: 1, ..KMeansConfig::default() };
        let fit = one.refine(samples.view(), &start).unwrap();
        assert!((fit.codebook.centres()[[1, 0]] - 7.0 / 12.0).abs() < 1e-15); // mean of 1/4, 1/2, 1
        let fit = KMeansConfig::default().refine(samples.view(), &start).unwrap();
        assert_eq!(fit.codebook.centres(), array![[0.125], [0.75]]);
    }

    #[test]
    fn invalid_samples_and_settings_are_refused() {
        let config = KMeansConfig::default();
        let fit = |config: KMeansConfig, samples: Array2<f32>| {
            config.fit(samples.view(), Key::new(1)).unwrap_err()
        };
        assert!(matches!(fit(config, Array2::zeros((0, 1))), TissueError::NoSamples));
        assert!(matches!(fit(config, Array2::zeros((3, 0))), TissueError::NoChannels));
        let few = fit(config, array![[0.1], [0.1], [0.7]]);
        assert!(matches!(few, TissueError::TooFewValues { distinct: 2, classes: 5 }));
        let nan = fit(config, array![[0.1], [f32::NAN]]);
        assert!(nan.to_string().contains("not finite, first at index [1, 0]"));
        for classes in [0, 257] {
            let error = fit(KMeansConfig { classes, ..config }, array![[0.1]]);
            assert!(matches!(error, TissueError::Classes { got } if got == classes));
        }
        let none = fit(KMeansConfig { restarts: 0, ..config }, array![[0.1]]);
        assert_eq!(none.to_string(), "restarts is 0; it must be at least 1");
        let two = config.refine(array![[0.1, 0.2]].view(), &Codebook::published()).unwrap_err();
        assert!(matches!(two, TissueError::Shape(_)));
    }

    #[cfg(not(feature = "kmeans"))]
    #[test]
    fn several_channels_ask_for_the_feature() {
        let error = KMeansConfig::default().fit(Array2::zeros((9, 2)).view(), Key::new(1));
        assert!(matches!(error, Err(TissueError::SeveralChannels { channels: 2 })));
    }
}
