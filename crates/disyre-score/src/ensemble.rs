use std::fmt;
use std::sync::Arc;

use disyre_core::ndarray::{Array5, ArrayView5, ArrayViewMut5, Axis, Zip};
use disyre_core::{EnsembleSums, Restorer, Severity, ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::{Residual, ScoreError};

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

/// At which severities an [`Ensemble`] restores, and how it weighs the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleConfig {
    /// One restoration for each; at least one. Default: [`PUBLISHED_SEVERITIES`].
    pub severities: Vec<Severity>,
    /// Whether a window's score is multiplied by the fraction of its voxels that are foreground (> 0).
    /// Default: true, as published.
    pub foreground_weight: bool,
}

impl Default for EnsembleConfig {
    fn default() -> Self {
        Self { severities: PUBLISHED_SEVERITIES.to_vec(), foreground_weight: true }
    }
}

impl EnsembleConfig {
    /// Checks the values and joins them with a residual.
    ///
    /// # Errors
    /// [`ScoreError::NoSeverities`].
    pub fn build(self, residual: Arc<dyn Residual>) -> Result<Ensemble, ScoreError> {
        if self.severities.is_empty() {
            return Err(ScoreError::NoSeverities);
        }
        Ok(Ensemble { config: self, residual })
    }
}

/// Scores windows by restoring each at several severities: what a restorer changes is abnormal.
///
/// For every window `x` and its restorations `x̂_t`, one for each severity t of T:
/// `score = (1/T) Σ_t residual(x, x̂_t) · w · [x > 0]`, where w is the fraction of the window's voxels with `x > 0`
/// (or 1, see [`EnsembleConfig::foreground_weight`]), and `restored = (1/T) Σ_t x̂_t`.
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

impl Ensemble {
    /// What it was built from.
    pub fn config(&self) -> &EnsembleConfig {
        &self.config
    }

    /// Scores a batch of windows, each independently of the others.
    ///
    /// # Shapes and units
    /// `windows`, `score` and `restored` share `(n, c, z, y, x)`; windows in `[0, 1]` with background exactly 0. The
    /// score is non-negative, in units of the residual, and 0 in the background. Both outputs are overwritten.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the arrays differ in shape, or if the windows or a restoration hold a value that is
    /// not finite; [`ScoreError::Restore`] if the restorer fails. The outputs then hold nothing of meaning.
    pub fn score(
        &self,
        restorer: &dyn Restorer,
        windows: ArrayView5<'_, f32>,
        mut score: ArrayViewMut5<'_, f32>,
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), ScoreError> {
        ensure_same_shape("score", windows.shape(), score.shape())?;
        ensure_same_shape("restored batch", windows.shape(), restored.shape())?;
        ensure_finite("windows", &windows)?;
        score.fill(0.0);
        restored.fill(0.0);
        if windows.is_empty() {
            return Ok(());
        }
        if !self.delegate(restorer, windows, score.view_mut(), restored.view_mut())? {
            self.accumulate(restorer, windows, score.view_mut(), restored.view_mut())?;
        }
        self.normalise(windows, score, restored);
        Ok(())
    }

    /// Leaves the sums to the restorer, if it can and knows the residual.
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

    /// Sums residuals and restorations over the severities; the two buffers serve all of them.
    fn accumulate(
        &self,
        restorer: &dyn Restorer,
        windows: ArrayView5<'_, f32>,
        mut score: ArrayViewMut5<'_, f32>,
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), ScoreError> {
        let input = windows.as_standard_layout().into_owned();
        let mut restoration = Array5::zeros(windows.raw_dim());
        let mut residual = Array5::zeros(windows.raw_dim());
        for &severity in &self.config.severities {
            let severities = vec![severity; windows.len_of(Axis(0))];
            restorer.restore(windows, &severities, restoration.view_mut())?;
            ensure_finite("restored batch", &restoration.view())?;
            let out = residual.as_slice_mut().expect("a new array is contiguous");
            self.residual.residual(voxels(&input), voxels(&restoration), out);
            score += &residual;
            restored += &restoration;
        }
        Ok(())
    }

    /// Turns sums into means, applies the foreground weight and clears the background.
    fn normalise(
        &self,
        windows: ArrayView5<'_, f32>,
        mut score: ArrayViewMut5<'_, f32>,
        mut restored: ArrayViewMut5<'_, f32>,
    ) {
        let count = self.config.severities.len() as f32;
        restored /= count;
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

/// # Panics
/// Never: every array given here was just made in standard layout.
fn voxels(array: &Array5<f32>) -> &[f32] {
    array.as_slice().expect("a new array is contiguous")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AbsoluteResidual, SquaredResidual};
    use disyre_core::ndarray::Slice;
    use disyre_core::{Distance, RestoreError};

    /// Multiplies by the severity: restorations that differ between members of the ensemble.
    struct Fades;

    impl Restorer for Fades {
        fn restore(
            &self,
            batch: ArrayView5<'_, f32>,
            severities: &[Severity],
            mut restored: ArrayViewMut5<'_, f32>,
        ) -> Result<(), RestoreError> {
            restored.assign(&batch);
            for (mut item, severity) in restored.outer_iter_mut().zip(severities) {
                item *= severity.get();
            }
            Ok(())
        }
    }

    /// Puts one value everywhere.
    struct Constant(f32);

    impl Restorer for Constant {
        fn restore(
            &self,
            _: ArrayView5<'_, f32>,
            _: &[Severity],
            mut restored: ArrayViewMut5<'_, f32>,
        ) -> Result<(), RestoreError> {
            restored.fill(self.0);
            Ok(())
        }
    }

    /// The same for a whole ensemble at once, and for nothing else.
    struct AtOnce<R>(R);

    impl<R: Restorer> Restorer for AtOnce<R> {
        fn restore(
            &self,
            _: ArrayView5<'_, f32>,
            _: &[Severity],
            _: ArrayViewMut5<'_, f32>,
        ) -> Result<(), RestoreError> {
            Err(RestoreError::Backend("one by one".into()))
        }

        fn restore_summed(
            &self,
            batch: ArrayView5<'_, f32>,
            severities: &[Severity],
            distance: Distance,
            mut sums: EnsembleSums<'_>,
        ) -> Result<bool, RestoreError> {
            let mut restored = batch.to_owned();
            sums.residuals.fill(0.0);
            sums.restorations.fill(0.0);
            for &severity in severities {
                let severities = vec![severity; batch.dim().0];
                self.0.restore(batch, &severities, restored.view_mut())?;
                sums.restorations += &restored;
                sums.residuals += &match distance {
                    Distance::Absolute => (&batch - &restored).abs(),
                    Distance::Squared => (&batch - &restored).pow2(),
                };
            }
            Ok(true)
        }
    }

    /// A residual without a name.
    struct Foreign;

    impl Residual for Foreign {
        fn residual(&self, input: &[f32], restored: &[f32], out: &mut [f32]) {
            AbsoluteResidual.residual(input, restored, out);
        }
    }

    fn ensemble(severities: &[f32], foreground_weight: bool) -> Ensemble {
        let severities = severities.iter().map(|&s| Severity::new(s).unwrap()).collect();
        let config = EnsembleConfig { severities, foreground_weight };
        config.build(Arc::new(AbsoluteResidual)).unwrap()
    }

    fn run(
        ensemble: &Ensemble,
        restorer: &dyn Restorer,
        windows: &Array5<f32>,
    ) -> [Array5<f32>; 2] {
        let mut score = Array5::from_elem(windows.raw_dim(), 7.0);
        let mut restored = score.clone();
        ensemble.score(restorer, windows.view(), score.view_mut(), restored.view_mut()).unwrap();
        [score, restored]
    }

    fn window(values: &[f32]) -> Array5<f32> {
        Array5::from_shape_vec((1, 1, 1, 1, values.len()), values.to_vec()).unwrap()
    }

    #[test]
    fn the_score_of_a_hand_made_window() {
        // Mean severity 0.5, so the mean residual is half the value; 3 of 4 voxels are foreground.
        let windows = window(&[1.0, 0.0, 0.5, 0.25]);
        let [score, restored] = run(&ensemble(&[0.25, 0.75], true), &Fades, &windows);
        assert_eq!(score, window(&[0.375, 0.0, 0.1875, 0.09375]));
        assert_eq!(restored, window(&[0.5, 0.0, 0.25, 0.125]));
        let [score, _] = run(&ensemble(&[0.25, 0.75], false), &Fades, &windows);
        assert_eq!(score, window(&[0.5, 0.0, 0.25, 0.125]));
    }

    #[test]
    fn a_perfect_restorer_scores_zero() {
        let windows = window(&[1.0, 0.0, 0.5, 0.25]);
        let [score, restored] = run(&ensemble(&[1.0], true), &Fades, &windows);
        assert_eq!(score, window(&[0.0; 4]));
        assert_eq!(restored, windows);
    }

    #[test]
    fn a_restorer_that_sums_by_itself_is_left_to_it() {
        let windows = window(&[1.0, 0.0, 0.5, 0.25]);
        let known: [Arc<dyn Residual>; 2] = [Arc::new(AbsoluteResidual), Arc::new(SquaredResidual)];
        for residual in known {
            let ensemble = EnsembleConfig::default().build(residual).unwrap();
            let one_by_one = run(&ensemble, &Fades, &windows);
            assert_eq!(run(&ensemble, &AtOnce(Fades), &windows), one_by_one);
        }
    }

    #[test]
    fn a_residual_without_a_name_is_computed_here() {
        let windows = window(&[1.0, 0.0, 0.5, 0.25]);
        let foreign = EnsembleConfig::default().build(Arc::new(Foreign)).unwrap();
        let named = EnsembleConfig::default().build(Arc::new(AbsoluteResidual)).unwrap();
        assert_eq!(run(&foreign, &Fades, &windows), run(&named, &Fades, &windows));
        let (mut score, mut restored) = (windows.clone(), windows.clone());
        let result =
            foreign.score(&AtOnce(Fades), windows.view(), score.view_mut(), restored.view_mut());
        assert!(matches!(result, Err(ScoreError::Restore(_))), "{result:?}");
    }

    #[test]
    fn the_background_scores_zero_whatever_is_put_there() {
        let [score, restored] = run(&ensemble(&[0.5], false), &Constant(0.5), &window(&[0.0, 1.0]));
        assert_eq!(score, window(&[0.0, 0.5]));
        assert_eq!(restored, window(&[0.5, 0.5]));
    }

    #[test]
    fn an_item_scores_the_same_alone_and_in_a_batch() {
        let shape = (3, 2, 2, 3, 4);
        let batch = Array5::from_shape_fn(shape, |(n, c, z, y, x)| {
            ((n * 31 + c * 17 + z * 7 + y * 5 + x * 3) % 11) as f32 / 11.0
        });
        let ensemble = EnsembleConfig::default().build(Arc::new(AbsoluteResidual)).unwrap();
        let [together, _] = run(&ensemble, &Fades, &batch);
        for n in 0..3 {
            let item = batch.slice_axis(Axis(0), Slice::from(n..=n)).to_owned();
            let [alone, _] = run(&ensemble, &Fades, &item);
            assert_eq!(alone.index_axis(Axis(0), 0), together.index_axis(Axis(0), n));
        }
    }

    #[test]
    fn outputs_of_any_layout_are_filled() {
        let windows = Array5::from_shape_fn((2, 1, 1, 2, 3), |(n, .., y, x)| (n + y + x) as f32);
        let ensemble = ensemble(&[0.5], true);
        let expected = run(&ensemble, &Fades, &windows);
        let [mut score, mut restored] =
            [(); 2].map(|()| Array5::zeros((3, 2, 1, 1, 2)).reversed_axes());
        ensemble.score(&Fades, windows.view(), score.view_mut(), restored.view_mut()).unwrap();
        assert_eq!([score, restored], expected);
    }

    #[test]
    fn values_that_are_not_finite_are_refused_on_the_way_in_and_out() {
        let ensemble = ensemble(&[0.5], true);
        let (mut score, mut restored) = (window(&[0.0; 2]), window(&[0.0; 2]));
        let mut run = |restorer: &dyn Restorer, windows: Array5<f32>| {
            let result =
                ensemble.score(restorer, windows.view(), score.view_mut(), restored.view_mut());
            result.unwrap_err().to_string()
        };
        assert!(run(&Fades, window(&[0.0, f32::NAN])).starts_with("windows holds a value"));
        for restorer in [&Constant(f32::INFINITY) as &dyn Restorer, &AtOnce(Constant(f32::NAN))] {
            let error = run(restorer, window(&[0.0, 1.0]));
            assert!(error.starts_with("restored batch holds a value that is not finite"));
        }
        assert_eq!(
            run(&Fades, window(&[0.0; 3])),
            "score has shape [1, 1, 1, 1, 2], expected [1, 1, 1, 1, 3]"
        );
    }

    #[test]
    fn an_ensemble_over_nothing_is_refused() {
        let config = EnsembleConfig { severities: Vec::new(), ..EnsembleConfig::default() };
        let error = config.build(Arc::new(AbsoluteResidual)).unwrap_err();
        assert!(matches!(error, ScoreError::NoSeverities));
    }

    #[test]
    fn an_empty_batch_is_no_error() {
        let [score, _] = run(&ensemble(&[0.5], true), &Fades, &Array5::zeros((0, 1, 1, 8, 8)));
        assert!(score.is_empty());
    }

    #[test]
    fn the_default_is_the_published_ensemble_and_a_misspelt_key_stops() {
        let config: EnsembleConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(config.severities, PUBLISHED_SEVERITIES);
        assert!(config.foreground_weight);
        assert!(serde_json::from_str::<EnsembleConfig>(r#"{"severity": [0.5]}"#).is_err());
    }
}
