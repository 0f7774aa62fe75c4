//! `disyre-gpu-check [FOLDER [DEVICE [BATCH]]]`: whether a graphics processor computes what the processor computes, and how
//! fast. Carry the binary to a machine without Rust: docs/CUDA.md.
//!
//! First ensembles and steps of training are compared, then the published network is timed at batch 96, or at the largest
//! that fits, and a whole scan is scored. The last line is the verdict. Exit codes:
//! 0, all is equal, or there is no device to check; 1, something differs or failed; 2, there is no device although
//! `DISYRE_REQUIRE_CUDA` is 1.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use disyre::diffusion::{
    ColdRestorer, Device, DiffusionError, Engine, ModelConfig, Parameters, Precision, TrainConfig,
    TrainEvent, TrainRun, UNetConfig, select_device, train,
};
use disyre::phantom::PhantomConfig;
use disyre::{DagPairs, RunConfig, Subject, Tissues};
use disyre_core::ndarray::{Array5, Axis};
use disyre_core::{Distance, EnsembleSums, Key, PairSource, Restorer};
use disyre_dag::DagConfig;
use disyre_examples::output_folder;

#[path = "gpu_check/speed.rs"]
mod speed;

/// Pairs of a step of the published training.
const BATCH: usize = 96;
/// Severities of an ensemble.
const ENSEMBLE: usize = 4;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let name = std::env::args().nth(2).unwrap_or_else(|| "cuda:0".into());
    let selected = match name.parse().and_then(select_device) {
        Ok(selected) => selected,
        Err(error) => {
            println!("verdict: nothing was checked: {error}");
            let required = std::env::var_os("DISYRE_REQUIRE_CUDA").is_some_and(|v| v == "1");
            return if required { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    println!("device: {}", selected.reason);
    let folder = output_folder("gpu_check");
    match folder.map_err(Into::into).and_then(|folder| check(selected.device, &folder)) {
        Ok(true) => {
            println!("verdict: it computes what the processor computes");
            return ExitCode::SUCCESS;
        }
        Ok(false) => println!("verdict: it does NOT compute what the processor computes"),
        Err(error) => println!("verdict: it FAILED: {error}"),
    }
    ExitCode::FAILURE
}

/// Tells whether all comparisons hold; prints them, and the times if they do.
fn check(device: Device, folder: &Path) -> Outcome<bool> {
    let batch = std::env::args().nth(3).map_or(Ok(BATCH), |batch| batch.parse())?;
    let mut equal = true;
    for (precision, tolerance) in [(Precision::F32, 2e-4), (Precision::Bf16, 0.1)] {
        let bench = Bench { device, engine: Engine::Fused(precision), folder, batch: 4 };
        println!("correctness, {}", bench.engine.describe(device)?);
        for (what, difference) in bench.differences()? {
            let holds = difference <= tolerance;
            let word = if holds { "ok" } else { "WRONG" };
            println!("  {what:20} off by {difference:.1e}, allowed {tolerance:.0e}: {word}");
            equal &= holds;
        }
    }
    if equal {
        // What cannot be timed is no less right.
        speed::measure(device, folder, batch)
            .unwrap_or_else(|error| println!("not timed: {error}"));
    }
    Ok(equal)
}

/// Where and how to compute.
#[derive(Clone, Copy)]
struct Bench<'a> {
    device: Device,
    engine: Engine,
    folder: &'a Path,
    batch: usize,
}

impl Bench<'_> {
    /// What differs how much from the processor in f32, relative to the greatest value there.
    fn differences(self) -> Outcome<Vec<(&'static str, f64)>> {
        let network = UNetConfig {
            channels: vec![32, 64, 96],
            resnets_per_level: 1,
            attention_levels: vec![2],
            ..UNetConfig::default()
        };
        let model = ModelConfig { network, patch: [1, 64, 64], ..ModelConfig::default() };
        let cpu = Self { device: Device::Cpu, engine: Engine::default(), ..self };
        let pairs = pairs(model.patch)?;
        let all = [self, cpu].map(|bench| -> Outcome<[Vec<f64>; 4]> {
            let (residuals, restorations, _) = bench.restore(&model, &pairs, 3)?;
            let steps = bench.learn(&model, &pairs, 4)?;
            let of = |field: fn(&Step) -> f64| steps.iter().map(field).collect();
            Ok([residuals, restorations, of(|step| step.loss), of(|step| step.grad_norm)])
        });
        let [ours, cpu] = all;
        let pairs = ours?.into_iter().zip(cpu?).map(|(a, b)| difference(&a, &b));
        let what = ["residuals", "restorations", "losses", "norms of gradients"];
        Ok(what.into_iter().zip(pairs).collect())
    }

    /// Restores a batch by an ensemble again and again: the last residuals and restorations, and the time of each run.
    fn restore(
        self,
        model: &ModelConfig,
        pairs: &dyn PairSource,
        count: usize,
    ) -> Outcome<(Vec<f64>, Vec<f64>, Vec<f64>)> {
        let parameters = Parameters::seeded(&model.network, Key::new(1))?;
        let restorer = ColdRestorer::with(model.clone(), &parameters, self.device, self.engine)?;
        let [z, y, x] = model.patch;
        let mut batch = Array5::zeros((self.batch, 1, z, y, x));
        let mut clean = batch.clone();
        let patches = batch.axis_iter_mut(Axis(0)).zip(clean.axis_iter_mut(Axis(0)));
        for (index, (corrupted, clean)) in patches.enumerate() {
            pairs.pair(index as u64, corrupted, clean)?;
        }
        let severities = restorer.schedule().severities(ENSEMBLE)?;
        let (mut residuals, mut restorations) =
            (Array5::zeros(batch.raw_dim()), Array5::zeros(batch.raw_dim()));
        let mut times = Vec::new();
        for _ in 0..count {
            let sums = EnsembleSums {
                residuals: residuals.view_mut(),
                restorations: restorations.view_mut(),
            };
            let start = Instant::now();
            let distance = Distance::Absolute;
            if !restorer.restore_summed(batch.view(), &severities, distance, sums)? {
                return Err("the restorer cannot sum up an ensemble".into());
            }
            times.push(start.elapsed().as_secs_f64());
        }
        let doubles = |sums: &Array5<f32>| sums.iter().copied().map(f64::from).collect();
        Ok((doubles(&residuals), doubles(&restorations), times))
    }

    /// Steps of training from the same weights on the same pairs.
    fn learn(
        self,
        model: &ModelConfig,
        pairs: &dyn PairSource,
        count: usize,
    ) -> Result<Vec<Step>, DiffusionError> {
        let dir = self.folder.join("model");
        let clear = || if dir.exists() { std::fs::remove_dir_all(&dir) } else { Ok(()) };
        let failed = |source| DiffusionError::File { path: dir.clone(), source };
        clear().map_err(failed)?;
        let config = TrainConfig {
            steps: count as u64,
            batch: self.batch,
            warmup_steps: 0,
            validation_pairs: 1,
            engine: self.engine,
            ..TrainConfig::default()
        };
        let run = TrainRun {
            config: &config,
            model,
            pairs,
            validation: pairs,
            dir: &dir,
            resume: false,
            stop: None,
            device: self.device,
        };
        let mut steps = Vec::new();
        train(&run, &mut |event| {
            if let TrainEvent::Step { loss, grad_norm, seconds, .. } = event {
                steps.push(Step { loss, grad_norm, seconds });
            }
        })?;
        clear().map_err(failed)?;
        Ok(steps)
    }
}

struct Step {
    loss: f64,
    grad_norm: f64,
    seconds: f64,
}

/// Greatest difference, relative to the greatest value of `b`; infinite if something is not finite.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let greatest = b.iter().fold(0.0f64, |max, b| max.max(b.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, |max: f64, d| if d > max || d.is_nan() { d } else { max });
    if worst.is_finite() { worst / greatest } else { f64::INFINITY }
}

/// Pairs of slices of phantoms, of this size, corrupted as published.
fn pairs(patch: [usize; 3]) -> Outcome<DagPairs> {
    let mut config = RunConfig::reference();
    (config.pairs.patch, config.pairs.augment) = (patch, None);
    config.dag = DagConfig::for_window(patch.map(|extent| extent.div_ceil(2)));
    let phantoms = PhantomConfig { shape: [24, 160, 144], spacing_mm: 1.0, ..Default::default() };
    let subjects = (0..4u64).map(|index| {
        let scan = phantoms.healthy(Key::new(2).child(index)).volume;
        Ok(Subject::new(format!("phantom {index}"), config.prepare.prepare(&scan, None)?))
    });
    let subjects = subjects.collect::<Outcome<Vec<_>>>()?;
    let tissues = Tissues::of(&config, &subjects, &[], Key::new(1))?;
    Ok(DagPairs::new(&subjects, &config, tissues.as_ref(), Key::new(2))?)
}
