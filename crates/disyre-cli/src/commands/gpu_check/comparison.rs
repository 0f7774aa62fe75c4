//! Results of a device beside those of the CPU: ensembles, losses and gradients; their times too, for `speed`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use disyre::core::ndarray::{Array5, Axis};
use disyre::core::{Distance, EnsembleSums, Key, PairSource, Restorer, TemporaryFolder};
use disyre::dag::DagConfig;
use disyre::diffusion::{
    ColdRestorer, Device, DiffusionError, Engine, ModelConfig, Parameters, TrainConfig, TrainEvent,
    TrainRun, UNetConfig, train,
};
use disyre::phantom::PhantomConfig;
use disyre::{DagPairs, RunConfig, Subject, Tissues};

/// Severities of an ensemble.
pub(super) const ENSEMBLE: usize = 4;

/// Whatever may fail on a device.
pub(super) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Device, precision and batch of a comparison.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) device: &'a Device,
    pub(super) engine: Engine,
    /// Folder in which temporary folders are made, for models that are trained for a moment.
    pub(super) folder: &'a Path,
    pub(super) batch: usize,
}

impl Bench<'_> {
    /// Results and how much they differ from those of the CPU in f32, relative to the greatest value there.
    pub(super) fn differences(self) -> Outcome<Vec<(&'static str, f64)>> {
        let network = UNetConfig {
            channels: vec![32, 64, 96],
            resnets_per_level: 1,
            attention_levels: vec![2],
            ..UNetConfig::default()
        };
        let model = ModelConfig { network, patch: [1, 64, 64], ..ModelConfig::default() };
        let cpu = Device::cpu();
        let cpu = Bench { device: &cpu, engine: Engine::default(), ..self };
        let pairs = pairs(model.patch)?;
        let all = [self, cpu].map(|bench| -> Outcome<[Vec<f64>; 4]> {
            let (residuals, restorations, _) = bench.restore(&model, &pairs, 3)?;
            let steps = bench.learn(&model, &pairs, 4)?;
            let of = |field: fn(&TrainingStep) -> f64| steps.iter().map(field).collect();
            Ok([residuals, restorations, of(|step| step.loss), of(|step| step.grad_norm)])
        });
        let [ours, cpu] = all;
        let pairs = ours?.into_iter().zip(cpu?).map(|(a, b)| difference(&a, &b));
        let what = ["residuals", "restorations", "losses", "norms of gradients"];
        Ok(what.into_iter().zip(pairs).collect())
    }

    /// Restores a batch by an ensemble again and again: the last residuals and restorations, and the time of each run.
    pub(super) fn restore(
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
    pub(super) fn learn(
        self,
        model: &ModelConfig,
        pairs: &dyn PairSource,
        count: usize,
    ) -> Result<Vec<TrainingStep>, DiffusionError> {
        let failed = |source| DiffusionError::File { path: self.folder.to_owned(), source };
        let dir = TemporaryFolder::new_in(self.folder).map_err(failed)?;
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
            dir: dir.path(),
            initial: None,
            resume: false,
            stop: None,
            device: self.device.clone(),
        };
        let mut steps = Vec::new();
        train(&run, &mut |event| {
            if let TrainEvent::Step { loss, grad_norm, seconds, .. } = event {
                steps.push(TrainingStep { loss, grad_norm, seconds });
            }
        })?;
        Ok(steps)
    }
}

/// Results of a training step.
pub(super) struct TrainingStep {
    loss: f64,
    grad_norm: f64,
    pub(super) seconds: f64,
}

/// Greatest difference, relative to the greatest value of `b`; infinite if something is not finite.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let greatest = b.iter().fold(0.0f64, |max, b| max.max(b.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, |max: f64, d| if d > max || d.is_nan() { d } else { max });
    if worst.is_finite() { worst / greatest } else { f64::INFINITY }
}

/// Pairs of slices of phantoms, of this size, corrupted as published.
pub(super) fn pairs(patch: [usize; 3]) -> Outcome<DagPairs> {
    let mut config = RunConfig::reference();
    (config.pairs.patch, config.pairs.augment) = (patch, None);
    config.dag = DagConfig::for_window(patch.map(|extent| extent.div_ceil(2)));
    let phantoms = PhantomConfig { shape: [24, 160, 144], spacing_mm: 1.0, ..Default::default() };
    let preparation = config.prepare.build()?;
    let subjects = (0..4u64).map(|index| {
        let scan = phantoms.healthy(Key::new(2).child(index)).volume;
        Ok(Subject::new(format!("phantom {index}"), preparation.prepare(&scan, None)?))
    });
    let subjects = subjects.collect::<Outcome<Vec<_>>>()?;
    let tissues = Tissues::of(&config, &subjects, &[], Key::new(1))?;
    Ok(DagPairs::new(&subjects, &config, tissues.as_ref(), Key::new(2))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_leaves_the_files_of_the_folder_alone_and_none_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model/ema.safetensors");
        std::fs::create_dir(folder.path().join("model")).unwrap();
        std::fs::write(&weights, "a user's").unwrap();
        let device = &Device::cpu();
        let bench = Bench { device, engine: Engine::default(), folder: folder.path(), batch: 1 };
        let network = UNetConfig {
            channels: vec![16, 16],
            groups: 8,
            resnets_per_level: 1,
            attention_levels: vec![],
            ..UNetConfig::default()
        };
        let model = ModelConfig { network, patch: [1, 16, 16], ..ModelConfig::default() };
        let steps = bench.learn(&model, &pairs(model.patch).unwrap(), 1).unwrap();
        assert_eq!(steps.len(), 1);
        assert_eq!(std::fs::read_to_string(weights).unwrap(), "a user's");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
