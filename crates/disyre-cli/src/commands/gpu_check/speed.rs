//! Speed of a device: training steps, ensembles and a whole scan.

use std::path::Path;
use std::time::Instant;

use disyre::core::Key;
use disyre::diffusion::{
    ColdRestorer, Device, DiffusionError, Engine, ModelConfig, Parameters, PassCost, Precision,
};
use disyre::phantom::PhantomConfig;
use disyre::{Detector, PrepareConfig, RunConfig};

use super::comparison::{Bench, ENSEMBLE, Outcome, pairs};

/// Runs that are timed, after two in which the device takes memory and records its graphs.
const RUNS: usize = 10;

/// Prints times of training, of ensembles and of a whole scan.
pub(super) fn measure(device: &Device, folder: &Path, batch: usize) -> Outcome<()> {
    print_line!(
        "speed, published network, patches of 128 x 128; GB/s counts every feature map once"
    );
    print_line!("  {:30} batch        ms  patches/s  TFLOP/s    GB/s", "");
    for (precision, bytes) in [(Precision::Bf16, 2), (Precision::F32, 4)] {
        let bench = Bench { device, engine: Engine::Fused(precision), folder, batch };
        Rows { bytes }.measure(bench)?;
    }
    if device.is_cuda() {
        score_a_scan(device, &RunConfig::reference(), [155, 240, 240])?;
    }
    Ok(())
}

/// Rows of one precision.
struct Rows {
    /// Bytes of one number.
    bytes: u64,
}

impl Rows {
    /// Measures and prints them, at the batch that is asked for, or the largest that fits.
    fn measure(&self, mut bench: Bench<'_>) -> Outcome<()> {
        let model = ModelConfig { patch: [1, 128, 128], ..ModelConfig::default() };
        let work = model.network.pass_cost([128, 128])?;
        let pairs = pairs(model.patch)?;
        let steps = loop {
            match bench.learn(&model, &pairs, RUNS + 2) {
                Ok(steps) => break steps,
                Err(DiffusionError::Memory { fits, .. }) if fits > 0 => bench.batch = fits,
                Err(error) => return Err(error.into()),
            }
        };
        self.print("training step", fastest(steps[2..].iter().map(|s| s.seconds)), 3, bench, work);
        let (_, _, times) = bench.restore(&model, &pairs, RUNS + 2)?;
        let seconds = fastest(times[2..].iter().copied());
        self.print("ensemble of 4 severities", seconds, ENSEMBLE as u64, bench, work);
        Ok(())
    }

    fn print(&self, what: &str, seconds: f64, passes: u64, bench: Bench<'_>, work: PassCost) {
        let Bench { engine, batch, .. } = bench;
        let rate = |per_pass: u64| (per_pass * passes * batch as u64) as f64 / seconds;
        let (operations, bytes) = (rate(work.flops), rate(self.bytes * work.numbers));
        print_line!(
            "  {:30} {batch:5} {:9.2} {:10.0} {:8.1} {:7.0}",
            format!("{what}, {engine}"),
            1e3 * seconds,
            batch as f64 / seconds,
            1e-12 * operations,
            1e-9 * bytes,
        );
    }
}

fn fastest(seconds: impl Iterator<Item = f64>) -> f64 {
    seconds.fold(f64::INFINITY, f64::min)
}

/// Scores a scan of so many voxels of 1 mm as `disyre detect` does, three times.
fn score_a_scan(device: &Device, settings: &RunConfig, shape: [usize; 3]) -> Outcome<()> {
    let phantoms = PhantomConfig { shape, spacing_mm: 1.0, ..PhantomConfig::default() };
    let scan = phantoms.healthy(Key::new(3)).volume;
    let mut config = settings.clone();
    config.prepare =
        PrepareConfig { spacing_mm: settings.prepare.spacing_mm, ..PrepareConfig::default() };
    let preparation = config.prepare.build()?;
    (config.detect.engine, config.detect.batch) = (Engine::Fused(Precision::Bf16), 96);
    let (network, patch) = (config.network.clone(), config.pairs.patch);
    let parameters = Parameters::seeded(&network, Key::new(1))?;
    let model = ModelConfig { network, patch, ..ModelConfig::default() };
    let restorer = ColdRestorer::with(model, &parameters, device, config.detect.engine)?;
    let detector = Detector::new(&restorer, preparation.clone(), config.detect_options())?;
    print_line!(
        "a scan of {shape:?} voxels of 1 mm, {} severities",
        config.detect.severities.len()
    );
    for what in ["at first", "again", "again"] {
        let start = Instant::now();
        preparation.prepare(&scan, None)?;
        let prepared = start.elapsed().as_secs_f64();
        let (start, mut windows) = (Instant::now(), 0);
        detector.detect(&scan, None, &mut |_, all| windows = all)?;
        let all = start.elapsed().as_secs_f64();
        print_line!(
            "  {what:8} {all:6.3} s, of which {prepared:.3} s before {windows} windows are scored"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_scored_on_the_cpu_too() {
        score_a_scan(&Device::cpu(), &RunConfig::cpu_2mm(), [24, 64, 64])
            .expect("a phantom is scored");
    }
}
