use candle_core::{Device, Tensor};
use disyre_kernels::{Compute, mean_squared_error};

use super::Runner;
use crate::fused::{Entry, Layout};
use crate::slices::ImageBatch;
use crate::{Conditioning, DiffusionError, Parameters, UNet};

/// The network on the tensor library's own operations and gradients.
#[derive(Debug)]
pub(super) struct Plain {
    parameters: Parameters,
    trainable: UNet,
    frozen: UNet,
    layout: Layout,
    weights: Vec<f32>,
    device: Device,
}

impl Plain {
    pub(super) fn new(parameters: &Parameters, device: &Device) -> Result<Self, DiffusionError> {
        let parameters = parameters.copied()?;
        let layout = Layout::plain(parameters.iter().map(|(name, var)| (name, var.dims())));
        let mut weights = Vec::with_capacity(layout.len());
        for (name, _) in parameters.iter() {
            weights.extend(parameters.values(name)?);
        }
        let (trainable, frozen) = (parameters.trainable_network()?, parameters.frozen_network()?);
        Ok(Self { parameters, trainable, frozen, layout, weights, device: device.clone() })
    }

    fn tensor(&self, images: &ImageBatch) -> Result<Tensor, DiffusionError> {
        let [n, c, y, x] = images.shape;
        Ok(Tensor::from_slice(&images.values, (n, c, y, x), &self.device)?)
    }
}

impl Runner for Plain {
    fn entries(&self) -> &[Entry] {
        self.layout.entries()
    }

    fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Vec<f32>)) -> Result<(), DiffusionError> {
        change(&mut self.weights);
        let named = self.layout.entries().iter().zip(self.parameters.iter());
        for (entry, (_, var)) in named {
            var.set(&Tensor::from_vec(entry.read(&self.weights), var.shape(), &self.device)?)?;
        }
        Ok(())
    }

    fn compute(&self) -> Compute {
        Compute::default()
    }

    fn forward(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Vec<f32>, DiffusionError> {
        let restored = self.frozen.forward(&self.tensor(images)?, conditioning)?;
        Ok(restored.flatten_all()?.to_vec1()?)
    }

    /// The loss runs outside the tensor library, which is handed its slope in the network's output and carries it on.
    fn gradient(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
        clean: &ImageBatch,
        _recompute: bool,
        out: &mut [f32],
    ) -> Result<f64, DiffusionError> {
        let output = self.trainable.forward(&self.tensor(images)?, conditioning)?;
        let restored: Vec<f32> = output.flatten_all()?.to_vec1()?;
        let mut slope = vec![0.0; restored.len()];
        let loss = mean_squared_error(&restored, &clean.values, &mut slope);
        let slope = Tensor::from_vec(slope, output.shape(), &self.device)?;
        let mut store = (&output * slope)?.sum_all()?.backward()?;
        drop(output);
        for (entry, (_, var)) in self.layout.entries().iter().zip(self.parameters.iter()) {
            match store.remove(var.as_tensor()) {
                Some(gradient) => entry.write(&gradient.flatten_all()?.to_vec1()?, out),
                None => entry.write(&vec![0.0; var.elem_count()], out),
            }
        }
        Ok(loss)
    }
}
