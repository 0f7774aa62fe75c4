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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, assert_close, formula};
    use crate::{Parameters, UNetConfig};
    use candle_core::{Device, Tensor};
    use disyre_core::Key;
    use disyre_kernels::Precision;

    /// Relative to the greatest value. In bf16 each factor is off by up to 4e-3; untrained networks amplify that, the deep
    /// one with weights by formula to 0.051 of the greatest value.
    fn tolerance(compute: Compute) -> f32 {
        match compute.precision() {
            Precision::F32 => 1e-4,
            Precision::Bf16x3 => 5e-4,
            Precision::Bf16 => 1e-1,
        }
    }

    fn batch(golden: &Golden, name: &str) -> ImageBatch {
        let (shape, values) = golden.floats(name);
        ImageBatch { values, shape: [shape[0], shape[1], shape[2], shape[3]] }
    }

    fn conditioning(golden: &Golden) -> Conditioning {
        Conditioning::from_levels(golden.integers("t").into_iter().map(|t| t as u32).collect())
    }

    fn small(golden: &Golden) -> Parameters {
        let network = UNetConfig {
            channels: vec![32, 32, 64],
            resnets_per_level: 1,
            attention_levels: vec![1],
            ..UNetConfig::default()
        };
        let weights = golden.weight_tensors().into_iter().map(|(name, tensor)| {
            let values = tensor.flatten_all().unwrap().to_vec1().unwrap();
            (name, (tensor.dims().to_vec(), values))
        });
        let path = std::path::Path::new("golden");
        Parameters::from_tensors(&network, weights.collect(), path, &Device::Cpu).unwrap()
    }

    #[test]
    fn restorations_and_gradients_equal_the_published_ones_in_every_way_to_compute() {
        let Some(golden) = Golden::load("unet_small.safetensors") else { return };
        let parameters = small(&golden);
        let (x, target) = (batch(&golden, "x"), batch(&golden, "target"));
        for compute in Compute::all() {
            let (fused, tolerance) =
                (Fused::new(&parameters, compute).unwrap(), tolerance(compute));
            let y = fused.forward(&x, &conditioning(&golden)).unwrap();
            assert_close(&format!("y in {compute}"), &y, &golden.floats("y").1, tolerance);
            let mut all = vec![f32::NAN; fused.weights().len()];
            let loss =
                fused.gradient(&x, &conditioning(&golden), &target, false, &mut all).unwrap();
            assert_close("loss", &[loss as f32], &golden.floats("loss").1, tolerance);
            let norm = all.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt() as f32;
            assert_close("norm", &[norm], &golden.floats("grad_norm").1, tolerance);
            let mut compared = 0;
            for entry in fused.entries() {
                let name = format!("grad.{}", entry.name);
                // What all keys share does not count, so that gradient is 0 up to rounding.
                if golden.has(&name) && !name.ends_with("to_k.bias") {
                    let expected = golden.floats(&name).1;
                    let name = format!("{name} in {compute}");
                    assert_close(&name, &entry.read(&all), &expected, 2.0 * tolerance);
                    compared += 1;
                }
            }
            assert_eq!(compared, 8);
        }
    }

    #[test]
    fn a_wide_image_is_restored_as_published_in_every_way_to_compute() {
        let Some(golden) = Golden::load("unet_small.safetensors") else { return };
        let (parameters, x) = (small(&golden), batch(&golden, "x_48x40"));
        for compute in Compute::all() {
            let fused = Fused::new(&parameters, compute).unwrap();
            let y = fused.forward(&x, &Conditioning::from_levels(vec![12])).unwrap();
            let expected = golden.floats("y_48x40").1;
            assert_close(&format!("y in {compute}"), &y, &expected, tolerance(compute));
        }
    }

    #[test]
    fn the_default_network_equals_the_published_one_in_every_way_to_compute() {
        let Some(golden) = Golden::load("unet_default_formula.safetensors") else { return };
        let network = UNetConfig::default();
        let parameters = Parameters::seeded(&network, Key::new(0), &Device::Cpu).unwrap();
        for (position, (name, var)) in parameters.iter().enumerate() {
            let values = formula(name, position, var.dims());
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
        let x = batch(&golden, "x");
        for compute in Compute::all() {
            let fused = Fused::new(&parameters, compute).unwrap();
            let y = fused.forward(&x, &conditioning(&golden)).unwrap();
            let expected = golden.floats("y").1;
            assert_close(&format!("y in {compute}"), &y, &expected, tolerance(compute));
        }
    }
}
