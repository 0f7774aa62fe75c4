//! The severity ensemble, with restorers whose answer is known.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_score::ndarray::{Array3, Array5, ArrayView5, ArrayViewMut5, Axis, Slice};
use disyre_score::{
    AbsoluteResidual, Distance, Ensemble, EnsembleConfig, EnsembleMaps, EnsembleSums,
    PUBLISHED_SEVERITIES, Residual, RestoreError, Restorer, ScoreError, Scores, Severity,
    SquaredResidual,
};

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
    config.build().unwrap()
}

fn run(ensemble: &Ensemble, restorer: &dyn Restorer, windows: &Array5<f32>) -> [Array5<f32>; 2] {
    let mut score = Array5::from_elem(windows.raw_dim(), 7.0);
    let mut restored = score.clone();
    ensemble.score_into(restorer, windows.view(), score.view_mut(), restored.view_mut()).unwrap();
    let owned = ensemble.score(restorer, windows.view()).unwrap();
    assert_eq!(owned, Scores { score: score.clone(), restored: restored.clone() });
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
fn a_volume_scores_as_a_window_of_its_own() {
    let image = Array3::from_shape_fn((2, 3, 4), |(z, y, x)| (z + y + x) as f32 / 6.0);
    let ensemble = ensemble(&[0.25, 0.75], true);
    let window = image.clone().into_shape_with_order((1, 1, 2, 3, 4)).unwrap();
    let [expected, _] = run(&ensemble, &Fades, &window);
    let score = ensemble.score_volume(&Fades, image.view()).unwrap();
    assert_eq!(score.as_slice(), expected.as_slice());
    assert_eq!(score.dim(), (2, 3, 4));
    assert!(score.iter().any(|&score| score > 0.0));
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
    let published = Ensemble::default();
    for ensemble in [published.clone(), published.with_residual(SquaredResidual)] {
        let one_by_one = run(&ensemble, &Fades, &windows);
        assert_eq!(run(&ensemble, &AtOnce(Fades), &windows), one_by_one);
    }
}

#[test]
fn a_residual_without_a_name_is_computed_here() {
    let windows = window(&[1.0, 0.0, 0.5, 0.25]);
    let foreign = Ensemble::default().with_residual(Foreign);
    let named = Ensemble::default();
    assert_eq!(run(&foreign, &Fades, &windows), run(&named, &Fades, &windows));
    let result = foreign.score(&AtOnce(Fades), windows.view());
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
    let ensemble = Ensemble::default();
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
    ensemble.score_into(&Fades, windows.view(), score.view_mut(), restored.view_mut()).unwrap();
    assert_eq!([score, restored], expected);
}

#[test]
fn values_that_are_not_finite_are_refused_on_the_way_in_and_out() {
    let ensemble = ensemble(&[0.5], true);
    let (mut score, mut restored) = (window(&[0.0; 2]), window(&[0.0; 2]));
    let mut run = |restorer: &dyn Restorer, windows: Array5<f32>| {
        let result =
            ensemble.score_into(restorer, windows.view(), score.view_mut(), restored.view_mut());
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
    let error = config.build().unwrap_err();
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

/// Fades, and says that corruption is as likely everywhere as the severity is great.
struct Suspects;

impl Restorer for Suspects {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        Fades.restore(batch, severities, restored)
    }

    fn restore_and_map(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
        mut map: ArrayViewMut5<'_, f32>,
    ) -> Result<bool, RestoreError> {
        self.restore(batch, severities, restored)?;
        map.fill(severities[0].get());
        Ok(true)
    }
}

#[test]
fn the_spread_is_the_deviation_over_severities_and_maps_are_averaged() {
    let severities = [0.2, 0.4, 0.9].map(|value| Severity::new(value).unwrap()).to_vec();
    let ensemble = EnsembleConfig { severities, foreground_weight: true }.build().unwrap();
    let windows = Array5::from_shape_fn((2, 1, 1, 2, 2), |(n, .., x)| (n + 2 * x) as f32 / 4.0);
    let expected = ensemble.score(&Fades, windows.view()).unwrap();
    let run = |restorer: &dyn Restorer| {
        let [mut score, mut restored, mut corruption, mut spread] =
            [(); 4].map(|()| Array5::from_elem(windows.dim(), f32::NAN));
        let maps = EnsembleMaps {
            score: score.view_mut(),
            restored: restored.view_mut(),
            corruption: Some(corruption.view_mut()),
            spread: Some(spread.view_mut()),
        };
        let predicted = ensemble.maps_into(restorer, windows.view(), maps).unwrap();
        assert_eq!((score, restored), (expected.score.clone(), expected.restored.clone()));
        // Restorations are .2, .4 and .9 of the window: a deviation of √(.26 / 3) of it.
        for (got, value) in spread.iter().zip(&windows) {
            assert!((got - value * (0.26f32 / 3.0).sqrt()).abs() < 1e-6, "{got}");
        }
        (predicted, corruption)
    };
    let (predicted, map) = run(&Suspects);
    assert!(predicted && map.iter().all(|value| (value - 0.5).abs() < 1e-6), "{map}");
    assert!(!run(&Fades).0);
}
