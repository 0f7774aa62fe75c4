//! Detection on a scan of the usual size without a network: the share of the CPU when a GPU runs the network.

use criterion::{Criterion, criterion_group, criterion_main};
use disyre::phantom::PhantomConfig;
use disyre::{Detector, RunConfig};
use disyre_benches::{Copies, key, time};
use disyre_core::ndarray::{ArrayView5, ArrayViewMut5};
use disyre_core::{Distance, EnsembleSums, RestoreError, Restorer, Severity};

/// Allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// [`Copies`] that sums a whole ensemble at once, as a GPU does.
struct Instant;

impl Restorer for Instant {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        Copies.restore(batch, severities, restored)
    }

    fn restore_summed(
        &self,
        batch: ArrayView5<'_, f32>,
        _: &[Severity],
        _: Distance,
        mut sums: EnsembleSums<'_>,
    ) -> Result<bool, RestoreError> {
        sums.residuals.assign(&batch);
        sums.restorations.assign(&batch);
        Ok(true)
    }
}

/// One head with the working spacing, which needs no resampling, and with another.
fn scan(criterion: &mut Criterion) {
    let config = RunConfig::reference();
    let preparation = config.prepare.build().expect("the preset is valid");
    let detector = Detector::new(&Instant, preparation.clone(), config.detect_options())
        .expect("the preset is valid");
    let mut group = criterion.benchmark_group("detector");
    group.sample_size(10);
    for (spacing_mm, shape) in [(1.0, [155, 240, 240]), (0.9, [172, 267, 267])] {
        let phantoms = PhantomConfig { shape, spacing_mm, ..Default::default() };
        let scan = phantoms.healthy(key("detector")).volume;
        let size = shape.map(|extent| extent.to_string()).join("x");
        group.bench_function(format!("prepare/{spacing_mm}mm/{size}"), |bencher| {
            time(bencher, || preparation.prepare(&scan, None));
        });
        group.bench_function(format!("detect/{spacing_mm}mm/{size}"), |bencher| {
            time(bencher, || detector.detect(&scan, None, &mut |_, _| {}));
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
