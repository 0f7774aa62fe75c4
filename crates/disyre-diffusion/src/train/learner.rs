use candle_core::Device;
use disyre_kernels::{Moments, sum_of_squares};

use super::adamw::update;
use super::{Batch, TrainConfig};
use crate::engine::Runner;
use crate::fused::Entry;
use crate::slices::{ImageBatch, to_images};
use crate::{Conditioning, DiffusionError, Parameters, Schedule};

/// A network, its optimiser and the number of steps that they have gone.
#[derive(Debug)]
pub(crate) struct Learner {
    network: Box<dyn Runner>,
    state: State,
    gradient: Vec<f32>,
    recompute: bool,
    steps: u64,
}

/// What the optimiser keeps for every weight, in the order of the network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) moment1: Vec<f32>,
    pub(crate) moment2: Vec<f32>,
    /// Empty if no average is kept.
    pub(crate) average: Vec<f32>,
}

/// What one step found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepResult {
    pub(crate) loss: f64,
    pub(crate) grad_norm: f64,
}

impl Learner {
    /// A learner at step 0.
    pub(crate) fn new(
        parameters: Parameters,
        config: &TrainConfig,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let network = config.engine.runner(&parameters, device)?;
        let zeros = vec![0.0; network.weights().len()];
        let averaged = config.ema_decay > 0.0;
        let state = State {
            moment1: zeros.clone(),
            moment2: zeros.clone(),
            average: if averaged { network.weights().to_vec() } else { Vec::new() },
        };
        Ok(Self { network, state, gradient: zeros, recompute: config.recompute, steps: 0 })
    }

    /// The same after `steps` steps, whose traces are in the state.
    pub(crate) fn at_step(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Where each parameter lies in the weights and the state.
    pub(crate) fn entries(&self) -> &[Entry] {
        self.network.entries()
    }

    pub(crate) fn weights(&self) -> &[f32] {
        self.network.weights()
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The same with another state of the optimiser.
    pub(crate) fn with_state(self, state: State) -> Self {
        Self { state, ..self }
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
        let (recompute, out) = (self.recompute, &mut self.gradient);
        let loss = self.network.gradient(&images, &conditioning, &clean, recompute, out)?;
        let number = self.steps + 1;
        let compute = self.network.compute();
        let grad_norm = sum_of_squares(&compute, &self.gradient).sqrt();
        for (what, value) in [("the loss", loss), ("the gradient", grad_norm)] {
            if !value.is_finite() {
                return Err(DiffusionError::NotFinite { what, step: number });
            }
        }
        let update = update(config, config.learning_rate_at(self.steps), number);
        let (state, gradient) = (&mut self.state, &self.gradient);
        self.network.change(&mut |weights| {
            let State { moment1, moment2, average } = &mut *state;
            let moments = Moments { weights, first: moment1, second: moment2, average };
            update.apply(&compute, moments, gradient, grad_norm);
        })?;
        self.steps = number;
        Ok(StepResult { loss, grad_norm })
    }

    /// Sum of squared errors over a batch, of the weights themselves.
    pub(crate) fn squared_error(
        &self,
        batch: &Batch,
        schedule: &Schedule,
    ) -> Result<f64, DiffusionError> {
        let (images, conditioning) = input(batch, schedule);
        let restored = self.network.forward(&images, &conditioning)?;
        Ok(squared_error(&restored, &to_images(&batch.clean.view()).values))
    }

    /// Runs `look` with the moving average in the network's place; none if no average is kept.
    pub(crate) fn with_average<T>(
        &mut self,
        look: impl FnOnce(&Self) -> Result<T, DiffusionError>,
    ) -> Result<Option<T>, DiffusionError> {
        if self.state.average.is_empty() {
            return Ok(None);
        }
        self.exchange_average()?;
        let seen = look(self);
        self.exchange_average()?;
        seen.map(Some)
    }

    fn exchange_average(&mut self) -> Result<(), DiffusionError> {
        let average = &mut self.state.average;
        self.network.change(&mut |weights| std::mem::swap(weights, average))
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
    use crate::golden::{Golden, assert_close};
    use crate::{Engine, ScheduleConfig, UNetConfig};
    use disyre_core::ndarray::Array5;

    fn volumes(golden: &Golden, name: &str) -> Array5<f32> {
        let (shape, values) = golden.floats(name);
        Array5::from_shape_vec((shape[0], shape[1], 1, shape[2], shape[3]), values).unwrap()
    }

    #[test]
    fn three_steps_equal_those_of_the_published_optimiser() {
        [Engine::default(), Engine::Plain].into_iter().for_each(three_steps);
    }

    fn three_steps(engine: Engine) {
        let Some(small) = Golden::load("unet_small.safetensors") else { return };
        let Some(golden) = Golden::load("adamw_3steps.safetensors") else { return };
        let network = UNetConfig {
            channels: vec![32, 32, 64],
            resnets_per_level: 1,
            attention_levels: vec![1],
            ..UNetConfig::default()
        };
        let weights = small.weight_tensors().into_iter().map(|(name, tensor)| {
            (name, (tensor.dims().to_vec(), tensor.flatten_all().unwrap().to_vec1().unwrap()))
        });
        let path = std::path::Path::new("golden");
        let parameters =
            Parameters::from_tensors(&network, weights.collect(), path, &Device::Cpu).unwrap();
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
        let mut learner = Learner::new(parameters, &config, &Device::Cpu).unwrap();
        let losses: Vec<f32> =
            (0..3).map(|_| learner.step(&batch, &schedule, &config).unwrap().loss as f32).collect();
        assert_close("losses", &losses, &golden.floats("losses").1, 1e-5);
        let expected = [
            "conv_in.weight",
            "conv_out.weight",
            "mid_block.attentions.0.to_v.weight",
            "up_blocks.0.resnets.0.norm1.bias",
        ];
        for name in expected {
            let entry = learner.entries().iter().find(|entry| entry.name == name).unwrap();
            let expected = golden.floats(&format!("w.{name}")).1;
            assert_close(name, &entry.read(learner.weights()), &expected, 1e-4);
        }
    }
}
