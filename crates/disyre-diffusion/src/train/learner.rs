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
