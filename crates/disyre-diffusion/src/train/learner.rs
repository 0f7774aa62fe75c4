use candle_core::{Device, Tensor, Var};
use disyre_core::ndarray::ArrayView5;

use super::adamw::{Slot, Update, sum_of_squares};
use super::{Batch, TrainConfig};
use crate::slices::to_images;
use crate::{Conditioning, DiffusionError, Parameters, Schedule, UNet};

/// A network, its optimiser and the number of steps that they have gone.
#[derive(Debug)]
pub(crate) struct Learner {
    parameters: Parameters,
    trainable: UNet,
    frozen: UNet,
    slots: Vec<Slot>,
    steps: u64,
    device: Device,
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
        averaged: bool,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let slot = |(name, var): (&str, &Var)| {
            Ok(Slot::new(name, var.dims(), values(var.as_tensor())?, averaged))
        };
        let slots = parameters.iter().map(slot).collect::<Result<Vec<_>, DiffusionError>>()?;
        let (trainable, frozen) = (parameters.trainable_network()?, parameters.frozen_network()?);
        Ok(Self { parameters, trainable, frozen, slots, steps: 0, device: device.clone() })
    }

    /// The same after `steps` steps, whose traces are in the slots.
    pub(crate) fn at_step(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    pub(crate) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// One step of gradient descent. Where the loss or the gradient is not finite, the weights stay as they were.
    pub(crate) fn step(
        &mut self,
        batch: &Batch,
        schedule: &Schedule,
        config: &TrainConfig,
    ) -> Result<StepResult, DiffusionError> {
        let (images, conditioning) = self.input(batch, schedule)?;
        let clean = values(&to_images(&batch.clean.view(), &Device::Cpu)?)?;
        let (loss, gradients) = self.gradients(&images, &conditioning, &clean)?;
        let number = self.steps + 1;
        let grad_norm = gradients.iter().map(|g| sum_of_squares(g)).sum::<f64>().sqrt();
        for (what, value) in [("the loss", loss), ("the gradient", grad_norm)] {
            if !value.is_finite() {
                return Err(DiffusionError::NotFinite { what, step: number });
            }
        }
        let rate = config.learning_rate_at(self.steps);
        let update = Update::new(config, rate, number, grad_norm);
        for (slot, gradient) in self.slots.iter_mut().zip(&gradients) {
            update.apply(slot, gradient);
        }
        self.use_weights(|slot| &slot.weights)?;
        self.steps = number;
        Ok(StepResult { loss, grad_norm })
    }

    /// Sum of squared errors over a batch, of the weights themselves.
    pub(crate) fn squared_error(
        &self,
        batch: &Batch,
        schedule: &Schedule,
    ) -> Result<f64, DiffusionError> {
        let (images, conditioning) = self.input(batch, schedule)?;
        let restored = values(&self.frozen.forward(&images, &conditioning)?)?;
        let clean = values(&to_images(&batch.clean.view(), &Device::Cpu)?)?;
        Ok(squared_error(&restored, &clean))
    }

    /// Runs `look` with the moving average in the network's place; none if no average is kept.
    pub(crate) fn with_average<T>(
        &self,
        look: impl FnOnce(&Self) -> Result<T, DiffusionError>,
    ) -> Result<Option<T>, DiffusionError> {
        if self.slots.iter().all(|slot| slot.average.is_empty()) {
            return Ok(None);
        }
        self.use_weights(|slot| &slot.average)?;
        let seen = look(self);
        self.use_weights(|slot| &slot.weights)?;
        seen.map(Some)
    }

    fn input(
        &self,
        batch: &Batch,
        schedule: &Schedule,
    ) -> Result<(Tensor, Conditioning), DiffusionError> {
        let corrupted: ArrayView5<'_, f32> = batch.corrupted.view();
        let conditioning = schedule.conditioning(&batch.severities).repeated(corrupted.dim().2);
        Ok((to_images(&corrupted, &self.device)?, conditioning))
    }

    /// Mean squared error and its gradient in every parameter.
    ///
    /// The sum runs in `f64` outside the tensor library, which is handed the derivative 2 (y − clean)/N of the loss in
    /// the network's output y and carries it on.
    fn gradients(
        &self,
        images: &Tensor,
        conditioning: &Conditioning,
        clean: &[f32],
    ) -> Result<(f64, Vec<Vec<f32>>), DiffusionError> {
        let output = self.trainable.forward(images, conditioning)?;
        let restored = values(&output)?;
        let count = restored.len() as f64;
        let loss = squared_error(&restored, clean) / count;
        let scale = (2.0 / count) as f32;
        let slope: Vec<f32> = restored.iter().zip(clean).map(|(y, x)| scale * (y - x)).collect();
        let slope = Tensor::from_vec(slope, output.shape(), &self.device)?;
        let mut store = (&output * slope)?.sum_all()?.backward()?;
        drop(output);
        let gradient = |(_, var): (&str, &Var)| match store.remove(var.as_tensor()) {
            Some(gradient) => values(&gradient),
            None => Ok(vec![0.0; var.elem_count()]),
        };
        Ok((loss, self.parameters.iter().map(gradient).collect::<Result<_, _>>()?))
    }

    fn use_weights(&self, of: impl Fn(&Slot) -> &Vec<f32>) -> Result<(), DiffusionError> {
        for ((_, var), slot) in self.parameters.iter().zip(&self.slots) {
            var.set(&Tensor::from_slice(of(slot), var.shape(), &self.device)?)?;
        }
        Ok(())
    }
}

/// Sum of squared differences, in `f64`.
fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

fn values(tensor: &Tensor) -> Result<Vec<f32>, DiffusionError> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, assert_close};
    use crate::{ScheduleConfig, UNetConfig};
    use disyre_core::ndarray::Array5;

    fn volumes(golden: &Golden, name: &str) -> Array5<f32> {
        let (shape, values) = golden.floats(name);
        Array5::from_shape_vec((shape[0], shape[1], 1, shape[2], shape[3]), values).unwrap()
    }

    #[test]
    fn three_steps_equal_those_of_the_published_optimiser() {
        let Some(small) = Golden::load("unet_small.safetensors") else { return };
        let Some(golden) = Golden::load("adamw_3steps.safetensors") else { return };
        let network = UNetConfig {
            channels: vec![32, 32, 64],
            resnets_per_level: 1,
            attention_levels: vec![1],
            ..UNetConfig::default()
        };
        let weights = small
            .weight_tensors()
            .into_iter()
            .map(|(name, tensor)| (name, (tensor.dims().to_vec(), values(&tensor).unwrap())));
        let path = std::path::Path::new("golden");
        let parameters =
            Parameters::from_tensors(&network, weights.collect(), path, &Device::Cpu).unwrap();
        let mut learner = Learner::new(parameters, false, &Device::Cpu).unwrap();
        let schedule = ScheduleConfig::default().build().unwrap();
        let all = schedule.severities(100).unwrap();
        let batch = Batch {
            corrupted: volumes(&small, "x"),
            clean: volumes(&small, "target"),
            severities: small.integers("t").iter().map(|&t| all[99 - t as usize]).collect(),
        };
        // The golden steps have a constant learning rate.
        let config = TrainConfig { warmup_steps: 0, steps: 1 << 40, ..TrainConfig::default() };
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
            let slot = learner.slots().iter().find(|slot| slot.name == name).unwrap();
            let expected = golden.floats(&format!("w.{name}")).1;
            assert_close(name, &slot.weights, &expected, 1e-4);
        }
    }
}
