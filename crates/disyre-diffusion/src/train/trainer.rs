//! A network with its optimiser and the number of its steps: a run drives it, checkpoints keep it.

use disyre_core::ndarray::Array5;

use disyre_kernels::AdamW;

use super::adamw::update;
use super::{Batch, TrainConfig};
use crate::engine::{Example, State, StepResult, TrainOptions, Trainable};
use crate::network::Entry;
use crate::slices::{ImageBatch, to_images};
use crate::{Conditioning, Device, DiffusionError, Parameters, Schedule};

/// A network that learns and the number of steps that it has gone.
#[derive(Debug)]
pub(crate) struct Trainer {
    network: Box<dyn Trainable>,
    steps: u64,
}

impl Trainer {
    /// A trainer at step 0.
    pub(crate) fn new(
        parameters: &Parameters,
        config: &TrainConfig,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let training =
            TrainOptions { averaged: config.ema_decay > 0.0, recompute: config.recompute };
        Ok(Self { network: config.engine.trainable(parameters, device, training)?, steps: 0 })
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
        let clean = to_images(&batch.clean.view());
        let example = Example { images: &images, conditioning: &conditioning, clean: &clean };
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

    /// Sum of squared errors over a batch, of the weights themselves.
    pub(crate) fn squared_error(
        &self,
        batch: &Batch,
        schedule: &Schedule,
    ) -> Result<f64, DiffusionError> {
        let (images, conditioning) = input(batch, schedule);
        Ok(squared_error(&self.network.forward(&images, &conditioning)?, &batch.clean))
    }

    /// The same of their moving average; none if no average is kept.
    pub(crate) fn squared_error_of_average(
        &self,
        batch: &Batch,
        schedule: &Schedule,
    ) -> Result<Option<f64>, DiffusionError> {
        let (images, conditioning) = input(batch, schedule);
        let restored = self.network.forward_average(&images, &conditioning)?;
        Ok(restored.map(|restored| squared_error(&restored, &batch.clean)))
    }
}

fn input(batch: &Batch, schedule: &Schedule) -> (ImageBatch, Conditioning) {
    let slices = batch.corrupted.dim().2;
    let conditioning = schedule.conditioning(&batch.severities).repeated(slices);
    (to_images(&batch.corrupted.view()), conditioning)
}

/// Sum of squared differences between images and volumes, in `f64`.
fn squared_error(images: &[f32], volumes: &Array5<f32>) -> f64 {
    let pairs = images.iter().zip(to_images(&volumes.view()).values);
    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, assert_close, devices, small_parameters};
    use crate::{Engine, ScheduleConfig};

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
        let mut trainer = Trainer::new(&parameters, &config, device).unwrap();
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
