//! The severity ensemble of the paper over any [`Restorer`]; `disyre::Detector` scores its windows with it.

use std::fmt;
use std::sync::Arc;

use disyre_core::ndarray::{Array3, Array5, ArrayView3, ArrayView5, ArrayViewMut5, Axis, Zip};
use disyre_core::{EnsembleSums, Restorer, Severity, ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::{AbsoluteResidual, Residual, ScoreError};

/// The severities of the published ensemble of four, from nearly clean to strongly corrupted.
///
/// # Source
/// The published code's "trailing" steps 99, 74, 49 and 24 of 100, as severities: `sqrt(prod(1 − beta))` with beta
/// linear from 0.001 to 0.2.
pub const PUBLISHED_SEVERITIES: [Severity; 4] = [
    severity(0.004_515_538_5),
    severity(0.050_776_277),
    severity(0.272_391_26),
    severity(0.726_578_53),
];

const fn severity(value: f32) -> Severity {
    match Severity::new(value) {
        Ok(severity) => severity,
        Err(_) => panic!("a severity is in [0, 1]"),
    }
}

/// Severities and weights of an [`Ensemble`].
///
/// ```
/// use disyre_score::{EnsembleConfig, Severity, SquaredResidual};
/// let severities = vec![Severity::new(0.2)?, Severity::new(0.8)?];
/// let config = EnsembleConfig { severities, ..EnsembleConfig::default() };
/// let ensemble = config.build()?.with_residual(SquaredResidual);
/// assert_eq!(ensemble.config().severities.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleConfig {
    /// Severity of each restoration; at least one. Default: [`PUBLISHED_SEVERITIES`].
    pub severities: Vec<Severity>,
    /// Multiplies the score of a window by the fraction of its voxels that are foreground (> 0).
    /// Default: true, as published.
    pub foreground_weight: bool,
}

impl Default for EnsembleConfig {
    fn default() -> Self {
        Self { severities: PUBLISHED_SEVERITIES.to_vec(), foreground_weight: true }
    }
}

impl EnsembleConfig {
    /// Checks the values. The residual is [`AbsoluteResidual`]; see [`Ensemble::with_residual`].
    ///
    /// # Errors
    /// [`ScoreError::NoSeverities`].
    pub fn build(self) -> Result<Ensemble, ScoreError> {
        if self.severities.is_empty() {
            return Err(ScoreError::NoSeverities);
        }
        Ok(Ensemble { config: self, residual: Arc::new(AbsoluteResidual) })
    }
}

/// Anomaly score from restorations at several severities: voxels that a [`Restorer`] changes are abnormal.
///
/// For every window `x` and its restorations `x̂_t`, one for each severity t of T:
/// `score = (1/T) Σ_t residual(x, x̂_t) · w · [x > 0]`, where w is the fraction of the window's voxels with `x > 0`
/// (or 1, see [`EnsembleConfig::foreground_weight`]), and `restored = (1/T) Σ_t x̂_t`.
///
/// The default is the published ensemble: four severities, absolute residual, foreground weight.
///
/// ```
/// use disyre_score::{Ensemble, RestoreError, Restorer, Severity, ndarray::*};
/// /// Fades an image into grey, the more so the greater the severity.
/// struct Grey;
/// impl Restorer for Grey {
///     fn restore(&self, x: ArrayView5<f32>, t: &[Severity], mut out: ArrayViewMut5<f32>) -> Result<(), RestoreError> {
///         for ((x, t), mut out) in x.outer_iter().zip(t).zip(out.outer_iter_mut()) {
///             out.assign(&x.mapv(|value| value + (0.5 - value) * t.get()));
///         }
///         Ok(())
///     }
/// }
/// let windows = Array5::from_elem((2, 1, 4, 8, 8), 0.5); // (n, c, z, y, x)
/// let found = Ensemble::default().score(&Grey, windows.view())?;
/// assert_eq!(found.score.dim(), (2, 1, 4, 8, 8));
/// assert_eq!((found.score.sum(), found.restored), (0.0, windows)); // grey already
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), anomaly score; foreground weight and background mask from the published code's
/// "mean single step" pipeline.
#[derive(Clone)]
pub struct Ensemble {
    config: EnsembleConfig,
    residual: Arc<dyn Residual>,
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ensemble").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Default for Ensemble {
    fn default() -> Self {
        Self { config: EnsembleConfig::default(), residual: Arc::new(AbsoluteResidual) }
    }
}

/// Scores and restorations of a batch of windows, `(n, c, z, y, x)` each.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Anomaly score, ≥ 0, in units of the residual; 0 in the background.
    pub score: Array5<f32>,
    /// Mean of the restorations.
    pub restored: Array5<f32>,
}

/// Outputs of an [`Ensemble`] for a batch of windows `(n, c, z, y, x)`; all are overwritten.
#[derive(Debug)]
pub struct EnsembleMaps<'a> {
    /// Anomaly score of the shape of the windows, as [`Scores::score`].
    pub score: ArrayViewMut5<'a, f32>,
    /// Mean of the restorations, of the same shape.
    pub restored: ArrayViewMut5<'a, f32>,
    /// Mean of the restorer's maps of the corruption, `(n, 1, z, y, x)`; `None`: not asked for. A restorer that sums its
    /// restorations itself ([`Restorer::restore_summed`]) is not asked for them.
    pub corruption: Option<ArrayViewMut5<'a, f32>>,
    /// Standard deviation of the restorations over the severities, of the shape of the windows; `None`: not asked for, which
    /// is faster on GPUs.
    pub spread: Option<ArrayViewMut5<'a, f32>>,
}

impl Ensemble {
    /// The same ensemble with another residual.
    #[must_use]
    pub fn with_residual(self, residual: impl Residual + 'static) -> Self {
        Self { residual: Arc::new(residual), ..self }
    }

    /// Severities and weights.
    pub fn config(&self) -> &EnsembleConfig {
        &self.config
    }

    /// Scores a batch of windows, each independently of the others, into new arrays.
    ///
    /// # Shapes and units
    /// `windows` is `(n, c, z, y, x)`, in `[0, 1]` with background exactly 0.
    ///
    /// # Errors
    /// Those of [`score_into`](Self::score_into).
    pub fn score(
        &self,
        restorer: &dyn Restorer,
        windows: ArrayView5<'_, f32>,
    ) -> Result<Scores, ScoreError> {
        let [mut score, mut restored] = [(); 2].map(|()| Array5::zeros(windows.raw_dim()));
        self.score_into(restorer, windows, score.view_mut(), restored.view_mut())?;
        Ok(Scores { score, restored })
    }

    /// Scores an image of one channel as a single window.
    ///
    /// For images larger than the restorer's window, tile them with `disyre-patch` or take `disyre`.
    ///
    /// # Shapes and units
    /// `image` and the score are `(z, y, x)`; a 2D image has z = 1. Intensities in `[0, 1]` with background exactly 0.
    ///
    /// # Errors
    /// Those of [`score_into`](Self::score_into).
    pub fn score_volume(
        &self,
        restorer: &dyn Restorer,
        image: ArrayView3<'_, f32>,
    ) -> Result<Array3<f32>, ScoreError> {
        let window = image.insert_axis(Axis(0)).insert_axis(Axis(0));
        let Scores { score, .. } = self.score(restorer, window)?;
        Ok(score.index_axis_move(Axis(0), 0).index_axis_move(Axis(0), 0))
    }

    /// Scores a batch of windows, each independently of the others, into the caller's arrays.
    ///
    /// # Shapes and units
    /// `windows`, `score` and `restored` share `(n, c, z, y, x)`; windows in `[0, 1]` with background exactly 0. The
    /// score is non-negative, in units of the residual, and 0 in the background. Both outputs are overwritten.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the arrays differ in shape, or if the windows or a restoration hold a value that is
    /// not finite; [`ScoreError::Restore`] if the restorer fails. The outputs then hold nothing of meaning.
    pub fn score_into(
        &self,
        restorer: &dyn Restorer,
        windows: ArrayView5<'_, f32>,
        score: ArrayViewMut5<'_, f32>,
        restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), ScoreError> {
        let maps = EnsembleMaps { score, restored, corruption: None, spread: None };
        self.maps_into(restorer, windows, maps).map(|_| ())
    }

    /// [`score_into`](Self::score_into) with more outputs. Returns true if the restorer predicts maps of the corruption;
    /// if not, that output holds nothing of meaning.
    ///
    /// # Shapes and units
    /// As [`score_into`](Self::score_into), and those of [`EnsembleMaps`].
    ///
    /// # Errors
    /// As [`score_into`](Self::score_into).
    pub fn maps_into(
        &self,
        restorer: &dyn Restorer,
        windows: ArrayView5<'_, f32>,
        mut maps: EnsembleMaps<'_>,
    ) -> Result<bool, ScoreError> {
        maps.ensure_fit(windows)?;
        ensure_finite("windows", &windows)?;
        maps.clear();
        if windows.is_empty() {
            return Ok(false);
        }
        let EnsembleMaps { score, restored, spread, .. } = &mut maps;
        let mut predicted = false;
        if spread.is_some()
            || !self.delegate(restorer, windows, score.view_mut(), restored.view_mut())?
        {
            predicted = self.accumulate(restorer, windows, &mut maps)?;
        }
        self.normalise(windows, maps);
        Ok(predicted)
    }

    /// Sums computed by the restorer itself; false if it cannot, or if the residual is none that it knows.
    fn delegate(
        &self,
        restorer: &dyn Restorer,
        windows: ArrayView5<'_, f32>,
        residuals: ArrayViewMut5<'_, f32>,
        mut restorations: ArrayViewMut5<'_, f32>,
    ) -> Result<bool, ScoreError> {
        let Some(distance) = self.residual.distance() else { return Ok(false) };
        let sums = EnsembleSums { residuals, restorations: restorations.view_mut() };
        let done = restorer.restore_summed(windows, &self.config.severities, distance, sums)?;
        // A sum is not finite if one of its terms is not.
        ensure_finite("restored batch", &restorations.view())?;
        Ok(done)
    }

    /// Sums over the severities, with a few buffers for all of them. Returns true if the restorer predicts maps of the
    /// corruption.
    fn accumulate(
        &self,
        restorer: &dyn Restorer,
        windows: ArrayView5<'_, f32>,
        maps: &mut EnsembleMaps<'_>,
    ) -> Result<bool, ScoreError> {
        let input = windows.as_standard_layout();
        let [mut restoration, mut residual] = [(); 2].map(|()| Array5::zeros(windows.raw_dim()));
        let mut corruption = maps.corruption.as_ref().map(|map| Array5::zeros(map.raw_dim()));
        let mut spread = maps.spread.as_ref().map(|_| Spread::zeros(windows));
        let mut predicted = false;
        for &severity in &self.config.severities {
            let severities = vec![severity; windows.len_of(Axis(0))];
            match &mut corruption {
                None => restorer.restore(windows, &severities, restoration.view_mut())?,
                Some(map) => {
                    let (restored, view) = (restoration.view_mut(), map.view_mut());
                    predicted = restorer.restore_and_map(windows, &severities, restored, view)?;
                }
            }
            ensure_finite("restored batch", &restoration.view())?;
            let out = residual.as_slice_mut().expect("a new array is contiguous");
            self.residual.residual(voxels(&input.view()), voxels(&restoration.view()), out);
            maps.score += &residual;
            maps.restored += &restoration;
            if let Some((sum, map)) = maps.corruption.as_mut().zip(corruption.as_ref()) {
                ensure_finite("corruption map", &map.view())?;
                *sum += map;
            }
            if let Some(spread) = &mut spread {
                spread.add(&input.view(), &restoration.view());
            }
        }
        if let Some((out, spread)) = maps.spread.as_mut().zip(spread) {
            out.assign(&spread.deviation(self.config.severities.len()));
        }
        Ok(predicted)
    }

    /// Turns sums into means, applies the foreground weight and clears the background.
    fn normalise(&self, windows: ArrayView5<'_, f32>, maps: EnsembleMaps<'_>) {
        let EnsembleMaps { mut score, mut restored, corruption, .. } = maps;
        let count = self.config.severities.len() as f32;
        restored /= count;
        if let Some(mut corruption) = corruption {
            corruption /= count;
        }
        for (window, mut score) in windows.outer_iter().zip(score.outer_iter_mut()) {
            let foreground = window.iter().filter(|&&value| value > 0.0).count();
            let weight = match self.config.foreground_weight {
                true => (foreground as f64 / window.len() as f64) as f32,
                false => 1.0,
            };
            Zip::from(&mut score).and(&window).for_each(|score, &value| {
                *score = if value > 0.0 { *score / count * weight } else { 0.0 };
            });
        }
    }
}

impl EnsembleMaps<'_> {
    fn ensure_fit(&self, windows: ArrayView5<'_, f32>) -> Result<(), ScoreError> {
        let (n, _, z, y, x) = windows.dim();
        ensure_same_shape("score", windows.shape(), self.score.shape())?;
        ensure_same_shape("restored batch", windows.shape(), self.restored.shape())?;
        if let Some(map) = &self.corruption {
            ensure_same_shape("corruption map", &[n, 1, z, y, x], map.shape())?;
        }
        match &self.spread {
            Some(spread) => Ok(ensure_same_shape("spread", windows.shape(), spread.shape())?),
            None => Ok(()),
        }
    }

    fn clear(&mut self) {
        let Self { score, restored, corruption, spread } = self;
        let optional = corruption.iter_mut().chain(spread);
        [score, restored].into_iter().chain(optional).for_each(|map| map.fill(0.0));
    }
}

/// Sums of the changes that restorations make, and of their squares: changes are small, so that their squares lose less
/// to rounding than those of the intensities would.
struct Spread {
    changes: Array5<f32>,
    squares: Array5<f32>,
}

impl Spread {
    fn zeros(windows: ArrayView5<'_, f32>) -> Self {
        let [changes, squares] = [(); 2].map(|()| Array5::zeros(windows.raw_dim()));
        Self { changes, squares }
    }

    fn add(&mut self, windows: &ArrayView5<'_, f32>, restored: &ArrayView5<'_, f32>) {
        let sums = Zip::from(&mut self.changes).and(&mut self.squares);
        sums.and(windows).and(restored).for_each(|sum, squares, value, restored| {
            let change = restored - value;
            *sum += change;
            *squares += change * change;
        });
    }

    /// Standard deviation over a number of restorations.
    fn deviation(self, count: usize) -> Array5<f32> {
        let count = count as f32;
        let mut deviation = self.squares;
        Zip::from(&mut deviation).and(&self.changes).for_each(|value, sum| {
            *value = (*value / count - (sum / count).powi(2)).max(0.0).sqrt();
        });
        deviation
    }
}

/// The voxels of a batch in memory order.
///
/// # Panics
/// If the batch is not in standard layout; those given here are.
fn voxels<'a>(batch: &'a ArrayView5<'_, f32>) -> &'a [f32] {
    batch.as_slice().expect("the batch is in standard layout")
}
