use disyre_kernels::{Compute, Cpu, Extent, mean_squared_error};

use super::Runner;
use crate::fused::{Entry, FusedNetwork, permute, to_maps};
use crate::slices::ImageBatch;
use crate::{Conditioning, DiffusionError, Parameters};

/// The network on the fused operations of the processor.
#[derive(Debug)]
pub(super) struct Fused {
    network: FusedNetwork,
    weights: Vec<f32>,
    cpu: Cpu,
}

impl Fused {
    pub(super) fn new(parameters: &Parameters, compute: Compute) -> Result<Self, DiffusionError> {
        let network = FusedNetwork::new(parameters.network());
        let mut weights = vec![0.0; network.layout().len()];
        for entry in network.layout().entries() {
            entry.write(&parameters.values(&entry.name)?, &mut weights);
        }
        Ok(Self { network, weights, cpu: Cpu::new(compute) })
    }
}

fn extent(images: &ImageBatch) -> Extent {
    let [count, _, height, width] = images.shape;
    Extent { count, height, width }
}

impl Runner for Fused {
    fn entries(&self) -> &[Entry] {
        self.network.layout().entries()
    }

    fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Vec<f32>)) -> Result<(), DiffusionError> {
        change(&mut self.weights);
        Ok(())
    }

    fn compute(&self) -> Compute {
        self.cpu.compute
    }

    fn forward(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Vec<f32>, DiffusionError> {
        let image = to_maps(&self.cpu, &images.values, extent(images), images.shape[1]);
        let restored = self.network.forward(&self.cpu, &self.weights, image, conditioning);
        let mut out = vec![0.0; restored.values.len()];
        permute(&restored.values, [restored.pixels(), restored.channels], &mut out);
        Ok(out)
    }

    fn gradient(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
        clean: &ImageBatch,
        recompute: bool,
        out: &mut [f32],
    ) -> Result<f64, DiffusionError> {
        let (cpu, extent) = (&self.cpu, extent(images));
        let image = to_maps(cpu, &images.values, extent, images.shape[1]);
        let (restored, tape) =
            self.network.forward_taped(cpu, &self.weights, image, conditioning, recompute);
        let clean = to_maps(cpu, &clean.values, extent, clean.shape[1]);
        let mut slope = cpu.pool.take(restored.values.len());
        let loss = mean_squared_error(&restored.values, &clean.values, &mut slope);
        self.network.backward(cpu, &self.weights, tape, &slope, out);
        Ok(loss)
    }
}
