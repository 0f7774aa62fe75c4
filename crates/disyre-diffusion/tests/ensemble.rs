//! Ensembles that the network sums up at once, against one restoration after another.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod support;

use disyre_core::ndarray::{Array5, ArrayView5, ArrayViewMut5, Axis};
use disyre_core::rand::RngExt;
use disyre_core::{Distance, EnsembleSums, Key, RestoreError, Restorer, Severity};
use disyre_diffusion::{ColdRestorer, Device, Engine, ModelConfig, Parameters, UNetConfig};
use disyre_score::{AbsoluteResidual, Ensemble, EnsembleConfig, Residual, SquaredResidual};
use support::devices;

/// Knows no more than to restore.
struct OneByOne<'a>(&'a ColdRestorer);

impl Restorer for OneByOne<'_> {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        self.0.restore(batch, severities, restored)
    }
}

fn restorer(device: &Device, engine: Engine) -> ColdRestorer {
    let network = UNetConfig {
        channels: vec![4, 8],
        resnets_per_level: 1,
        groups: 4,
        attention_levels: vec![],
        ..UNetConfig::default()
    };
    let parameters = Parameters::seeded(&network, Key::new(5)).unwrap();
    let config = ModelConfig { network, patch: [2, 8, 8], ..ModelConfig::default() };
    ColdRestorer::with(config, &parameters, device, engine).unwrap()
}

fn windows(n: usize, seed: u64) -> Array5<f32> {
    let mut rng = Key::new(seed).rng();
    Array5::from_shape_simple_fn((n, 1, 2, 8, 8), || rng.random())
}

fn ensemble(residual: impl Residual + 'static) -> Ensemble {
    let severities = [0.1, 0.6].map(|severity| Severity::new(severity).unwrap()).to_vec();
    let config = EnsembleConfig { severities, ..EnsembleConfig::default() };
    config.build().unwrap().with_residual(residual)
}

/// Score and mean restoration.
fn score(ensemble: &Ensemble, restorer: &dyn Restorer, windows: &Array5<f32>) -> [Array5<f32>; 2] {
    let found = ensemble.score(restorer, windows.view()).unwrap();
    [found.score, found.restored]
}

fn assert_same(ensemble: &Ensemble, restorer: &ColdRestorer, device: &Device) {
    // Of one size more than twice: a device records what it repeats.
    for (seed, n) in [(1, 2), (2, 2), (3, 2), (4, 1)] {
        let windows = windows(n, seed);
        let expected = score(ensemble, &OneByOne(restorer), &windows);
        let found = score(ensemble, restorer, &windows);
        // A device's compiler may join a product and a sum into one rounding.
        let allowed = if device.is_cuda() { 1e-6 } else { 0.0 };
        for (found, expected) in found.iter().zip(&expected) {
            let worst = (found - expected).iter().fold(0.0f32, |max, v| max.max(v.abs()));
            assert!(worst <= allowed, "{ensemble:?} on {device}: off by {worst}");
        }
    }
}

#[test]
fn scores_and_restorations_are_those_of_one_severity_after_another() {
    for device in &devices() {
        let restorer = restorer(device, Engine::default());
        assert_same(&ensemble(AbsoluteResidual), &restorer, device);
        assert_same(&ensemble(SquaredResidual), &restorer, device);
    }
    #[cfg(feature = "candle")]
    assert_same(
        &ensemble(AbsoluteResidual),
        &restorer(&Device::cpu(), Engine::Plain),
        &Device::cpu(),
    );
}

#[test]
fn scores_are_the_same_for_any_number_of_threads() {
    let scores = [1, 2, 5].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let restorer = restorer(&Device::cpu(), Engine::default());
        pool.install(|| score(&ensemble(AbsoluteResidual), &restorer, &windows(4, 6)))
    });
    assert!(scores[1..].iter().all(|other| *other == scores[0]));
}

#[test]
fn only_an_engine_that_gains_by_it_sums_at_once() {
    let (windows, severities) = (windows(2, 7), [Severity::CLEAN, Severity::FULL]);
    let done = |engine| {
        let (mut residuals, mut restorations) = (windows.clone(), windows.clone());
        let (residuals, restorations) = (residuals.view_mut(), restorations.view_mut());
        let sums = EnsembleSums { residuals, restorations };
        let restorer = restorer(&Device::cpu(), engine);
        restorer.restore_summed(windows.view(), &severities, Distance::Absolute, sums).unwrap()
    };
    assert!(done(Engine::default()));
    #[cfg(feature = "candle")]
    assert!(!done(Engine::Plain));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let restorer = restorer(&Device::cpu(), Engine::default());
    let fails = |windows: ArrayView5<'_, f32>, severities: &[Severity], out: [usize; 5]| {
        let [mut residuals, mut restorations] = [(); 2].map(|()| Array5::zeros(out));
        let (residuals, restorations) = (residuals.view_mut(), restorations.view_mut());
        let sums = EnsembleSums { residuals, restorations };
        restorer.restore_summed(windows, severities, Distance::Absolute, sums).unwrap_err()
    };
    let (mut images, severities) = (windows(2, 8), [Severity::FULL]);
    let error = fails(images.view(), &[], [2, 1, 2, 8, 8]).to_string();
    assert_eq!(error, "severities is empty");
    let error = fails(images.view(), &severities, [1, 1, 2, 8, 8]).to_string();
    assert!(error.starts_with("residuals has shape [1, 1, 2, 8, 8], expected"), "{error}");
    let odd = images.slice_axis(Axis(3), (..7).into());
    let error = fails(odd, &severities, [2, 1, 2, 7, 8]);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("multiples of 2"), "{source}");
    images[[1, 0, 0, 3, 4]] = f32::NAN;
    let error = fails(images.view(), &severities, [2, 1, 2, 8, 8]).to_string();
    assert!(error.contains("not finite"), "{error}");
}
