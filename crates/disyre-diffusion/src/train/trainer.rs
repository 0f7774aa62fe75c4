//! A network with its optimiser and the number of its steps: a run drives it, checkpoints keep it.

use disyre_kernels::AdamW;

use super::adamw::update;
use super::checkpoint::Settings;
use super::{Batch, TrainConfig};
use crate::corruption_map::CorruptionMap;
use crate::engine::{Example, State, StepResult, TrainOptions, Trainable};
use crate::network::Entry;
use crate::slices::{ImageBatch, some_channels, to_images};
use crate::{Conditioning, Device, DiffusionError, Parameters, Schedule};

/// A network that learns and the number of steps that it has gone.
#[derive(Debug)]
pub(crate) struct Trainer {
    network: Box<dyn Trainable>,
    map: Option<CorruptionMap>,
    steps: u64,
}

/// Sums of squared errors over the voxels of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct SquaredErrors {
    pub(crate) restoration: f64,
    /// Of the corruption map; 0 where the network has none.
    pub(crate) map: f64,
}

impl SquaredErrors {
    pub(crate) fn plus(self, other: Self) -> Self {
        let restoration = self.restoration + other.restoration;
        Self { restoration, map: self.map + other.map }
    }
}

impl Trainer {
    /// A trainer at step 0.
    pub(crate) fn new(
        parameters: &Parameters,
        settings: &Settings,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let config = &settings.train;
        let training =
            TrainOptions { averaged: config.ema_decay > 0.0, recompute: config.recompute };
        let network = config.engine.trainable(parameters, device, training)?;
        Ok(Self { network, map: settings.model.corruption_map()?, steps: 0 })
    }

    /// Goes on after `steps` steps, which left this state.
    pub(crate) fn continue_from(
        &mut self,
        state: &State,
        steps: u64,
    ) -> Result<(), DiffusionError> {
        self.network.continue_from(state)?;
        self.steps = steps;
        Ok(())
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Where each parameter lies in the state.
    pub(crate) fn entries(&self) -> &[Entry] {
        self.network.entries()
    }

    /// A copy of weights and the optimiser's state.
    pub(crate) fn state(&self) -> Result<State, DiffusionError> {
        self.network.state()
    }

    /// One step of gradient descent. Where the loss or the gradient is not finite, the weights stay as they were.
    pub(crate) fn step(
        &mut self,
        batch: &Batch,
        schedule: &Schedule,
        config: &TrainConfig,
    ) -> Result<StepResult, DiffusionError> {
        let (images, conditioning) = input(batch, schedule);
        let target = self.target(batch, &images);
        let example = Example { images: &images, conditioning: &conditioning, target: &target };
        let found = self.network.step(&example, &self.update(config))?;
        self.stepped(found)
    }

    /// The next update.
    fn update(&self, config: &TrainConfig) -> AdamW {
        update(config, config.learning_rate_at(self.steps), self.steps + 1)
    }

    /// Counts a step, unless it went wrong.
    fn stepped(&mut self, found: StepResult) -> Result<StepResult, DiffusionError> {
        let number = self.steps + 1;
        for (what, value) in [("the loss", found.loss), ("the gradient", found.grad_norm)] {
            if !value.is_finite() {
                return Err(DiffusionError::NotFinite { what, step: number });
            }
        }
        self.steps = number;
        Ok(found)
    }

    /// The channels that the network should answer: the clean images, and their corruption map.
    fn target(&self, batch: &Batch, corrupted: &ImageBatch) -> ImageBatch {
        let clean = to_images(&batch.clean.view());
        match self.map {
            Some(map) => map.target(corrupted, &clean),
            None => clean,
        }
    }

    /// Errors over a batch, of the weights themselves and of their moving average, if one is kept.
    pub(crate) fn squared_errors(
        &self,
        batch: &Batch,
        schedule: &Schedule,
    ) -> Result<(SquaredErrors, Option<SquaredErrors>), DiffusionError> {
        let (images, conditioning) = input(batch, schedule);
        let target = self.target(batch, &images);
        let errors = |output: Vec<f32>| self.errors_of(&output, &target);
        let raw = self.network.forward(&images, &conditioning)?;
        let average = self.network.forward_average(&images, &conditioning)?;
        Ok((errors(raw), average.map(errors)))
    }

    fn errors_of(&self, output: &[f32], target: &ImageBatch) -> SquaredErrors {
        let [_, channels, y, x] = target.shape;
        let images = channels - usize::from(self.map.is_some());
        let of = |range: std::ops::Range<usize>| {
            let part = |all| some_channels(all, [channels, y * x], range.clone());
            squared_error(&part(output), &part(&target.values))
        };
        let map = self.map.map(|map| of(images..channels) / f64::from(map.scale()).powi(2));
        SquaredErrors { restoration: of(0..images), map: map.unwrap_or_default() }
    }
}

fn input(batch: &Batch, schedule: &Schedule) -> (ImageBatch, Conditioning) {
    let slices = batch.corrupted.dim().2;
    let conditioning = schedule.conditioning(&batch.severities).repeated(slices);
    (to_images(&batch.corrupted.view()), conditioning)
}

/// Sum of squared differences, in `f64`.
fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, assert_close, devices, small_parameters};
    use crate::{Engine, ModelConfig, ScheduleConfig};
    use disyre_core::ndarray::Array5;

    fn volumes(golden: &Golden, name: &str) -> Array5<f32> {
        let (shape, values) = golden.floats(name);
        Array5::from_shape_vec((shape[0], shape[1], 1, shape[2], shape[3]), values).unwrap()
    }

    #[test]
    fn three_steps_equal_those_of_the_published_optimiser() {
        #[cfg(feature = "candle")]
        three_steps(Engine::Plain, &Device::cpu());
        devices().into_iter().for_each(|device| three_steps(Engine::default(), &device));
    }

    fn three_steps(engine: Engine, device: &Device) {
        let small = Golden::load("unet_small_formula.safetensors");
        let golden = Golden::load("adamw_3steps.safetensors");
        let parameters = small_parameters();
        let schedule = ScheduleConfig::default().build().unwrap();
        let all = schedule.severities(100).unwrap();
        let batch = Batch {
            corrupted: volumes(&small, "x"),
            clean: volumes(&small, "target"),
            severities: small.integers("t").iter().map(|&t| all[99 - t as usize]).collect(),
        };
        // The golden steps have a constant learning rate.
        let config = TrainConfig {
            warmup_steps: 0,
            steps: 1 << 40,
            ema_decay: 0.0,
            engine,
            ..TrainConfig::default()
        };
        let network = parameters.network().clone();
        let model = ModelConfig { network, ..ModelConfig::default() };
        let settings = Settings { model, train: config.clone() };
        let mut trainer = Trainer::new(&parameters, &settings, device).unwrap();
        let losses: Vec<f32> =
            (0..3).map(|_| trainer.step(&batch, &schedule, &config).unwrap().loss as f32).collect();
        assert_close("losses", &losses, &golden.floats("losses").1, 1e-5);
        let expected = [
            "conv_in.weight",
            "conv_out.weight",
            "mid_block.attentions.0.to_v.weight",
            "up_blocks.0.resnets.0.norm1.bias",
        ];
        for name in expected {
            let entry = trainer.entries().iter().find(|entry| entry.name == name).unwrap();
            let expected = golden.floats(&format!("w.{name}")).1;
            assert_close(name, &entry.read(&trainer.state().unwrap().weights), &expected, 1e-4);
        }
    }
}
