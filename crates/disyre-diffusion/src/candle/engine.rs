//! The plain network as a restorer and as a network that learns: what the fused engine is tested against.

use candle_core::{Device, Tensor};
use disyre_kernels::backend::{Backend, Numbers};
use disyre_kernels::{AdamW, Cpu, mean_squared_error};

use super::{UNet, Variables};
use crate::engine::{Example, Optimiser, Runner, State, StepResult, TrainOptions, Trainable};
use crate::network::{Entry, Layout};
use crate::slices::ImageBatch;
use crate::{Conditioning, DiffusionError, Parameters};

/// The network on the tensor library's own operations and gradients.
#[derive(Debug)]
pub(crate) struct Plain {
    variables: Variables,
    frozen: UNet,
    layout: Layout,
}

impl Plain {
    pub(crate) fn new(parameters: &Parameters, device: &Device) -> Result<Self, DiffusionError> {
        let variables = Variables::new(parameters, device)?;
        Self::over(variables)
    }

    fn over(variables: Variables) -> Result<Self, DiffusionError> {
        let layout = Layout::plain(variables.iter().map(|(name, var)| (name, var.dims())));
        Ok(Self { frozen: variables.frozen_network()?, variables, layout })
    }

    /// Sets the parameters.
    fn set(&self, weights: &[f32]) -> Result<(), DiffusionError> {
        for (entry, (_, var)) in self.layout.entries().iter().zip(self.variables.iter()) {
            var.set(&Tensor::from_vec(entry.read(weights), var.shape(), self.variables.device())?)?;
        }
        Ok(())
    }

    fn tensor(&self, images: &ImageBatch) -> Result<Tensor, DiffusionError> {
        let [n, c, y, x] = images.shape;
        Ok(Tensor::from_slice(&images.values, (n, c, y, x), self.variables.device())?)
    }
}

impl Runner for Plain {
    fn entries(&self) -> &[Entry] {
        self.layout.entries()
    }

    fn forward(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Vec<f32>, DiffusionError> {
        let restored = self.frozen.forward(&self.tensor(images)?, conditioning)?;
        Ok(restored.flatten_all()?.to_vec1()?)
    }
}

/// The same with an optimiser, which works on the CPU whatever the device.
#[derive(Debug)]
pub(crate) struct PlainTrainable {
    plain: Plain,
    trainable: UNet,
    cpu: Cpu,
    weights: Numbers,
    optimiser: Optimiser<Cpu>,
}

impl PlainTrainable {
    pub(crate) fn new(
        parameters: &Parameters,
        device: &Device,
        training: TrainOptions,
    ) -> Result<Self, DiffusionError> {
        let (plain, cpu) = (Plain::new(parameters, device)?, Cpu::default());
        let trainable = plain.variables.trainable_network()?;
        let mut weights = Vec::with_capacity(plain.layout.len());
        for (_, _, values) in parameters.slices() {
            weights.extend_from_slice(values);
        }
        let optimiser = Optimiser::new(&cpu, &weights, training.averaged);
        Ok(Self { weights: cpu.upload(&weights), plain, trainable, cpu, optimiser })
    }

    /// The loss, and its gradient to the optimiser. The loss runs outside the tensor library, which is handed its slope
    /// in the network's output and carries it on.
    fn gradient(&mut self, example: &Example<'_>) -> Result<f64, DiffusionError> {
        let Self { plain, trainable, optimiser, .. } = self;
        let output = trainable.forward(&plain.tensor(example.images)?, example.conditioning)?;
        let restored: Vec<f32> = output.flatten_all()?.to_vec1()?;
        let mut slope = vec![0.0; restored.len()];
        let loss = mean_squared_error(&restored, &example.target.values, &mut slope);
        let slope = Tensor::from_vec(slope, output.shape(), plain.variables.device())?;
        let mut store = (&output * slope)?.sum_all()?.backward()?;
        drop(output);
        let out = optimiser.gradient();
        for (entry, (_, var)) in plain.layout.entries().iter().zip(plain.variables.iter()) {
            match store.remove(var.as_tensor()) {
                Some(gradient) => entry.write(gradient.flatten_all()?.to_vec1()?, out),
                None => entry.write(std::iter::repeat(0.0), out),
            }
        }
        Ok(loss)
    }
}

impl Runner for PlainTrainable {
    fn entries(&self) -> &[Entry] {
        self.plain.entries()
    }

    fn forward(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Vec<f32>, DiffusionError> {
        self.plain.forward(images, conditioning)
    }
}

impl Trainable for PlainTrainable {
    fn step(
        &mut self,
        example: &Example<'_>,
        update: &AdamW,
    ) -> Result<StepResult, DiffusionError> {
        let loss = self.gradient(example)?;
        self.optimiser.prepare(&self.cpu, update);
        let grad_norm = self.optimiser.update(&self.cpu, &mut self.weights, &loss);
        self.plain.set(&self.weights)?;
        Ok(StepResult { loss, grad_norm })
    }

    fn forward_average(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Option<Vec<f32>>, DiffusionError> {
        let Some(average) = self.optimiser.average() else { return Ok(None) };
        let other = Plain::over(self.plain.variables.copied()?)?;
        other.set(average)?;
        other.forward(images, conditioning).map(Some)
    }

    fn state(&self) -> Result<State, DiffusionError> {
        self.optimiser.state(&self.cpu, &self.weights)
    }

    fn continue_from(&mut self, state: &State) -> Result<(), DiffusionError> {
        self.optimiser = Optimiser::from_state(&self.cpu, state);
        self.weights = self.cpu.upload(&state.weights);
        self.plain.set(&state.weights)
    }
}
