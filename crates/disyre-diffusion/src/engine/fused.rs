use std::sync::{Mutex, PoisonError};

use disyre_kernels::AdamW;
use disyre_kernels::backend::{Backend, BackendError, Maps};

use super::optimiser::Optimiser;
use super::repeated::Repeated;
use super::{Example, Runner, State, StepResult, Trainee, Training};
use crate::fused::{Entry, FusedNetwork, Inputs, Purpose, replace_maps, to_maps, transposed};
use crate::slices::ImageBatch;
use crate::{Conditioning, DiffusionError, Parameters};

/// The network on the fused operations of a machine.
#[derive(Debug)]
pub(super) struct Fused<B: Backend> {
    network: FusedNetwork,
    backend: B,
    weights: B::Values,
    /// Passes that wait to be run again.
    passes: Mutex<Vec<Pass<B>>>,
}

/// A pass over images of one shape.
#[derive(Debug)]
struct Pass<B: Backend> {
    shape: [usize; 4],
    inputs: Inputs<B>,
    run: Repeated<B, Maps<B>>,
}

impl<B: Backend> Fused<B> {
    /// Of weights that do not change.
    pub(super) fn new(parameters: &Parameters, backend: B) -> Result<Self, DiffusionError> {
        Self::with(parameters, backend, B::upload_lasting)
    }

    fn with(
        parameters: &Parameters,
        backend: B,
        upload: fn(&B, &[f32]) -> B::Values,
    ) -> Result<Self, DiffusionError> {
        let network = FusedNetwork::new(parameters.network());
        let mut weights = vec![0.0; network.layout().len()];
        for entry in network.layout().entries() {
            entry.write(&parameters.values(&entry.name)?, &mut weights);
        }
        let weights = upload(&backend, &weights);
        Ok(Self { network, backend, weights, passes: Mutex::default() })
    }

    fn download(&self, restored: &Maps<B>) -> Result<Vec<f32>, DiffusionError> {
        let values = self.backend.download_maps(restored)?;
        let pixels = restored.extent.height * restored.extent.width;
        Ok(transposed(&values, [pixels, restored.channels]).into_owned())
    }

    /// Tells, of a lack of memory, which batch would fit.
    fn explain(
        &self,
        error: impl Into<DiffusionError>,
        [batch, _, height, width]: [usize; 4],
        purpose: Purpose,
    ) -> DiffusionError {
        match error.into() {
            DiffusionError::Backend(BackendError::Memory { device, .. }) => {
                let image = self.network.peak([height, width], purpose) * self.backend.map_bytes();
                let free = self.backend.free_memory().unwrap_or_default();
                let fits = (free / image.max(1)).min(batch.saturating_sub(1));
                DiffusionError::Memory { device, batch, height, width, fits }
            }
            other => other,
        }
    }

    /// A pass that waits, or a new one: no two threads get the same.
    fn pass(&self, images: &ImageBatch, conditioning: &Conditioning) -> Pass<B> {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let found = passes.iter().position(|pass| pass.shape == images.shape);
        let found = found.map(|index| passes.swap_remove(index));
        drop(passes);
        match found {
            Some(mut pass) => {
                self.network.replace(&self.backend, images, conditioning, &mut pass.inputs);
                pass
            }
            None => {
                let inputs = self.network.inputs(&self.backend, images, conditioning);
                Pass { shape: images.shape, inputs, run: Repeated::default() }
            }
        }
    }
}

impl<B: Backend> Runner for Fused<B> {
    fn entries(&self) -> &[Entry] {
        self.network.layout().entries()
    }

    fn forward(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Vec<f32>, DiffusionError> {
        let Self { network, backend, weights, passes } = self;
        let Pass { shape, inputs, mut run } = self.pass(images, conditioning);
        let work = || network.forward(backend, weights, &inputs);
        let restored = run.run(backend, work, |restored| self.download(restored));
        let restored = restored.map_err(|error| self.explain(error, shape, Purpose::Restore))?;
        let pass = Pass { shape, inputs, run };
        passes.lock().unwrap_or_else(PoisonError::into_inner).push(pass);
        Ok(restored)
    }
}

/// The same with an optimiser.
#[derive(Debug)]
pub(super) struct FusedTrainee<B: Backend> {
    fused: Fused<B>,
    optimiser: Optimiser<B>,
    recompute: bool,
    step: Option<Step<B>>,
}

/// A step of training on batches of one shape; it finds the loss and the norm of the gradient.
#[derive(Debug)]
struct Step<B: Backend> {
    shape: [usize; 4],
    inputs: Inputs<B>,
    clean: Maps<B>,
    run: Repeated<B, [B::Scalar; 2]>,
}

impl<B: Backend> FusedTrainee<B> {
    pub(super) fn new(
        parameters: &Parameters,
        backend: B,
        training: Training,
    ) -> Result<Self, DiffusionError> {
        let fused = Fused::with(parameters, backend, B::upload)?;
        let weights = fused.backend.download(&fused.weights)?;
        let optimiser = Optimiser::new(&fused.backend, &weights, training.averaged);
        Ok(Self { fused, optimiser, recompute: training.recompute, step: None })
    }

    /// The step of this batch, its images on the machine.
    fn prepare(&mut self, example: &Example<'_>) -> Step<B> {
        let Fused { network, backend, .. } = &self.fused;
        let Example { images, conditioning, clean } = *example;
        match self.step.take().filter(|step| step.shape == images.shape) {
            Some(mut step) => {
                network.replace(backend, images, conditioning, &mut step.inputs);
                replace_maps(backend, clean, &mut step.clean);
                step
            }
            None => Step {
                shape: images.shape,
                inputs: network.inputs(backend, images, conditioning),
                clean: to_maps(backend, clean),
                run: Repeated::default(),
            },
        }
    }
}

impl<B: Backend> Runner for FusedTrainee<B> {
    fn entries(&self) -> &[Entry] {
        self.fused.entries()
    }

    fn forward(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Vec<f32>, DiffusionError> {
        self.fused.forward(images, conditioning)
    }
}

impl<B: Backend> Trainee for FusedTrainee<B> {
    fn step(
        &mut self,
        example: &Example<'_>,
        update: &AdamW,
    ) -> Result<StepResult, DiffusionError> {
        let Step { shape, inputs, clean, mut run } = self.prepare(example);
        let Self { fused, optimiser, recompute, step } = self;
        let Fused { network, backend, weights, .. } = fused;
        optimiser.prepare(backend, update);
        let work = || {
            let (restored, tape) = network.forward_taped(backend, weights, &inputs, *recompute);
            let (loss, slope) = backend.squared_error(&restored, &clean);
            network.backward(backend, weights, tape, &slope, optimiser.gradient());
            let norm = optimiser.update(backend, weights, &loss);
            [loss, norm]
        };
        let found = run.run(backend, work, |[loss, norm]| backend.read(&[loss, norm]));
        let purpose = if *recompute { Purpose::LearnAgain } else { Purpose::Learn };
        let found = found.map_err(|error| fused.explain(error, shape, purpose))?;
        *step = Some(Step { shape, inputs, clean, run });
        Ok(StepResult { loss: found[0], grad_norm: found[1] })
    }

    fn forward_average(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Option<Vec<f32>>, DiffusionError> {
        let Some(average) = self.optimiser.average() else { return Ok(None) };
        let Fused { network, backend, .. } = &self.fused;
        let inputs = network.inputs(backend, images, conditioning);
        self.fused.download(&network.forward(backend, average, &inputs)).map(Some)
    }

    fn state(&self) -> Result<State, DiffusionError> {
        let Fused { backend, weights, .. } = &self.fused;
        self.optimiser.state(backend, weights)
    }

    fn continue_from(&mut self, state: &State) -> Result<(), DiffusionError> {
        self.optimiser = Optimiser::from_state(&self.fused.backend, state);
        self.fused.weights = self.fused.backend.upload(&state.weights);
        self.fused.passes = Mutex::default();
        self.step = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::everywhere::{Way, ways};
    use super::super::tests::forgetful;
    use super::*;
    use crate::golden::{Golden, assert_close, formula};
    use crate::{Parameters, UNetConfig};
    use candle_core::{Device, Tensor};
    use disyre_core::Key;
    use disyre_kernels::Precision;

    /// Relative to the greatest value. In bf16 each factor is off by up to 4e-3; untrained networks amplify that, the deep
    /// one with weights by formula to 0.051 of the greatest value.
    fn tolerance(way: &Way) -> f32 {
        match way.precision() {
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
        Parameters::from_tensors(&network, weights.collect(), path).unwrap()
    }

    #[test]
    fn restorations_and_gradients_equal_the_published_ones_in_every_way_to_compute() {
        let Some(golden) = Golden::load("unet_small.safetensors") else { return };
        let parameters = small(&golden);
        let (x, target) = (batch(&golden, "x"), batch(&golden, "target"));
        for way in ways() {
            let tolerance = tolerance(&way);
            let training = Training { averaged: false, recompute: false };
            let mut fused = way.trainee(&parameters, training);
            let conditioning = conditioning(&golden);
            let y = fused.forward(&x, &conditioning).unwrap();
            assert_close(&format!("y in {way}"), &y, &golden.floats("y").1, tolerance);
            let example = Example { images: &x, conditioning: &conditioning, clean: &target };
            let loss = fused.step(&example, &forgetful()).unwrap().loss;
            let all = fused.state().unwrap().moment1;
            assert_close("loss", &[loss as f32], &golden.floats("loss").1, tolerance);
            let norm = all.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt() as f32;
            assert_close("norm", &[norm], &golden.floats("grad_norm").1, tolerance);
            let mut compared = 0;
            for entry in fused.entries() {
                let name = format!("grad.{}", entry.name);
                // What all keys share does not count, so that gradient is 0 up to rounding.
                if golden.has(&name) && !name.ends_with("to_k.bias") {
                    let expected = golden.floats(&name).1;
                    let name = format!("{name} in {way}");
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
        for way in ways() {
            let fused = way.runner(&parameters);
            let y = fused.forward(&x, &Conditioning::from_levels(vec![12])).unwrap();
            let expected = golden.floats("y_48x40").1;
            assert_close(&format!("y in {way}"), &y, &expected, tolerance(&way));
        }
    }

    #[test]
    fn the_default_network_equals_the_published_one_in_every_way_to_compute() {
        let Some(golden) = Golden::load("unet_default_formula.safetensors") else { return };
        let network = UNetConfig::default();
        let parameters = Parameters::seeded(&network, Key::new(0)).unwrap();
        for (position, (name, var)) in parameters.iter().enumerate() {
            let values = formula(name, position, var.dims());
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
        let x = batch(&golden, "x");
        for way in ways() {
            if way.is_slow() {
                println!("skipped: the default network in {way}");
                continue;
            }
            let fused = way.runner(&parameters);
            let y = fused.forward(&x, &conditioning(&golden)).unwrap();
            let expected = golden.floats("y").1;
            assert_close(&format!("y in {way}"), &y, &expected, tolerance(&way));
        }
    }
}
