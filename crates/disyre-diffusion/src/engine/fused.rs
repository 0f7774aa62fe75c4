//! The network on the fused operations of a backend: restorations, ensembles and steps of training.

use std::sync::{Mutex, PoisonError};

use disyre_core::Distance;
use disyre_kernels::AdamW;
use disyre_kernels::backend::{Backend, BackendError, Ensemble, FeatureMaps};

use super::graph_cache::GraphCache;
use super::optimiser::Optimiser;
use super::{Example, Runner, State, StepResult, Sums, TrainOptions, Trainable};
use crate::network::{Entry, Inputs, Network, Purpose, replace_maps, to_maps, transposed};
use crate::slices::ImageBatch;
use crate::{Conditioning, DiffusionError, Parameters};

/// The network on the fused operations of a backend.
#[derive(Debug)]
pub(super) struct Fused<B: Backend> {
    network: Network,
    backend: B,
    weights: B::Values,
    identity: B::Normalised,
    /// Restorations that wait to be run again, and ensembles.
    restorations: Waiting<B, FeatureMaps<B>>,
    ensembles: Waiting<B, Ensemble<B>>,
}

type Waiting<B, Found> = Mutex<Vec<RepeatedPass<B, Found>>>;

/// The same images under one conditioning or several.
#[derive(Debug)]
struct RepeatedPass<B: Backend, Found> {
    key: PassKey,
    image: FeatureMaps<B>,
    sinusoids: Vec<FeatureMaps<B>>,
    run: GraphCache<B, Found>,
}

/// Passes with equal keys repeat each other.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PassKey {
    shape: [usize; 4],
    conditionings: usize,
    distance: Option<Distance>,
}

impl PassKey {
    /// Whether a pass of this key can take the images of another, padded.
    fn holds(self, other: Self) -> bool {
        let [n, image @ ..] = self.shape;
        let [other_n, other_image @ ..] = other.shape;
        let same_work =
            (self.conditionings, self.distance) == (other.conditionings, other.distance);
        same_work && image == other_image && (1..=n).contains(&other_n)
    }
}

impl<B: Backend> Fused<B> {
    /// Of weights that do not change.
    pub(super) fn new(parameters: &Parameters, backend: B) -> Result<Self, DiffusionError> {
        let network = Network::new(parameters.network());
        let weights = backend.upload_lasting(&network.laid_out(parameters));
        Self::over(network, backend, weights)
    }

    /// Over weights that are on the device, if they and what came before got there.
    fn over(network: Network, backend: B, weights: B::Values) -> Result<Self, DiffusionError> {
        let identity = network.identity(&backend);
        backend.take_error()?;
        let (restorations, ensembles) = (Mutex::default(), Mutex::default());
        Ok(Self { network, backend, weights, identity, restorations, ensembles })
    }

    /// Restores images that are on the device.
    fn restored(
        &self,
        weights: &B::Values,
        image: &FeatureMaps<B>,
        sinusoid: &FeatureMaps<B>,
    ) -> FeatureMaps<B> {
        let inputs = Inputs { image, sinusoid, identity: &self.identity };
        self.network.forward(&self.backend, weights, &inputs)
    }

    /// The first `count` images: any further ones are padding.
    fn download(
        &self,
        restored: &FeatureMaps<B>,
        count: usize,
    ) -> Result<Vec<f32>, DiffusionError> {
        let values = self.backend.download_maps(restored)?;
        let pixels = restored.extent().height * restored.extent().width;
        let values = &values[..count * pixels * restored.channels()];
        Ok(transposed(values, [pixels, restored.channels()]).into_owned())
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

    /// A pass that waits, or a new one: no two threads get the same. Where graphs are replayed, each pass keeps the memory
    /// of all its layers, so a waiting pass takes a smaller batch too, padded with its last image. On the CPU, where a pass
    /// keeps its images alone, nothing is padded.
    fn pass<Found>(
        &self,
        waiting: &Waiting<B, Found>,
        (key, pads): (PassKey, bool),
        images: &ImageBatch,
        conditionings: &[Conditioning],
    ) -> RepeatedPass<B, Found> {
        let Self { network, backend, .. } = self;
        let mut passes = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = passes.iter().map(|pass| pass.key).enumerate();
        let usable = keys.filter(|(_, waits)| *waits == key || (pads && waits.holds(key)));
        let found = usable.min_by_key(|(_, waits)| waits.shape[0]).map(|(index, _)| index);
        let found = found.map(|index| passes.swap_remove(index));
        drop(passes);
        let Some(mut pass) = found else {
            let sinusoids = conditionings.iter().map(|each| network.sinusoids(backend, each));
            let (image, sinusoids) = (to_maps(backend, images), sinusoids.collect());
            return RepeatedPass { key, image, sinusoids, run: GraphCache::default() };
        };
        let count = pass.key.shape[0];
        replace_maps(backend, &images.padded(count), &mut pass.image);
        for (conditioning, sinusoids) in conditionings.iter().zip(&mut pass.sinusoids) {
            network.replace_sinusoids(backend, &conditioning.padded(count), sinusoids);
        }
        pass
    }

    /// Uploads images and conditionings, does `work` on the device and reads the result.
    fn run<Found, R>(
        &self,
        waiting: &Waiting<B, Found>,
        (images, conditionings): (&ImageBatch, &[Conditioning]),
        distance: Option<Distance>,
        work: impl FnOnce(&FeatureMaps<B>, &[FeatureMaps<B>]) -> Found,
        read: impl FnOnce(&Found) -> Result<R, DiffusionError>,
    ) -> Result<R, DiffusionError> {
        let lock = self.backend.lock();
        let key = PassKey { shape: images.shape, conditionings: conditionings.len(), distance };
        let RepeatedPass { key, image, sinusoids, mut run } =
            self.pass(waiting, (key, lock.is_some()), images, conditionings);
        let found = run.run(&self.backend, || work(&image, &sinusoids), read);
        let found = found.map_err(|error| self.explain(error, images.shape, Purpose::Restore))?;
        let pass = RepeatedPass { key, image, sinusoids, run };
        waiting.lock().unwrap_or_else(PoisonError::into_inner).push(pass);
        Ok(found)
    }

    /// Sums over restorations of images that are on the device.
    fn summed(
        &self,
        distance: Distance,
        image: &FeatureMaps<B>,
        sinusoids: &[FeatureMaps<B>],
    ) -> Ensemble<B> {
        let add = |onto, sinusoid| {
            let restored = self.restored(&self.weights, image, sinusoid);
            Some(self.backend.add_member(distance, image, &restored, onto))
        };
        sinusoids.iter().fold(None, add).expect("an ensemble has a member")
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
        let given = (images, std::slice::from_ref(conditioning));
        let work = |image: &_, sinusoids: &[_]| self.restored(&self.weights, image, &sinusoids[0]);
        let read = |restored: &_| self.download(restored, images.shape[0]);
        self.run(&self.restorations, given, None, work, read)
    }

    fn ensemble(
        &self,
        images: &ImageBatch,
        conditionings: &[Conditioning],
        distance: Distance,
    ) -> Result<Option<Sums>, DiffusionError> {
        let work = |image: &_, sinusoids: &[_]| self.summed(distance, image, sinusoids);
        let read = |sums: &Ensemble<B>| {
            let [residuals, restorations] =
                [&sums.distances, &sums.members].map(|maps| self.download(maps, images.shape[0]));
            Ok(Sums { residuals: residuals?, restorations: restorations? })
        };
        self.run(&self.ensembles, (images, conditionings), Some(distance), work, read).map(Some)
    }
}

/// The same with an optimiser.
#[derive(Debug)]
pub(super) struct FusedTrainable<B: Backend> {
    fused: Fused<B>,
    optimiser: Optimiser<B>,
    recompute: bool,
    step: Option<RepeatedStep<B>>,
}

/// A step of training on pairs of one shape; it finds the loss and the norm of the gradient.
#[derive(Debug)]
struct RepeatedStep<B: Backend> {
    shape: [usize; 4],
    corrupted: FeatureMaps<B>,
    target: FeatureMaps<B>,
    sinusoid: FeatureMaps<B>,
    run: GraphCache<B, [B::Scalar; 2]>,
}

/// All that a step reads and writes beside its pairs.
struct StepContext<'a, B: Backend> {
    network: &'a Network,
    backend: &'a B,
    identity: &'a B::Normalised,
    weights: &'a mut B::Values,
    optimiser: &'a mut Optimiser<B>,
    recompute: bool,
}

impl<B: Backend> StepContext<'_, B> {
    /// The operations of a step.
    fn descend(
        self,
        image: &FeatureMaps<B>,
        sinusoid: &FeatureMaps<B>,
        target: &FeatureMaps<B>,
    ) -> [B::Scalar; 2] {
        let Self { network, backend, identity, weights, optimiser, recompute } = self;
        let inputs = Inputs { image, sinusoid, identity };
        let (restored, tape) = network.forward_taped(backend, weights, &inputs, recompute);
        let (loss, slope) = backend.squared_error(&restored, target);
        network.backward(backend, weights, tape, &slope, optimiser.gradient());
        let norm = optimiser.update(backend, weights, &loss);
        [loss, norm]
    }
}

impl<B: Backend> FusedTrainable<B> {
    pub(super) fn new(
        parameters: &Parameters,
        backend: B,
        training: TrainOptions,
    ) -> Result<Self, DiffusionError> {
        let network = Network::new(parameters.network());
        let weights = network.laid_out(parameters);
        let optimiser = Optimiser::new(&backend, &weights, training.averaged);
        let weights = backend.upload(&weights);
        let (fused, recompute) = (Fused::over(network, backend, weights)?, training.recompute);
        Ok(Self { fused, optimiser, recompute, step: None })
    }

    /// The step of this batch, its images on the device.
    fn prepare(&mut self, example: &Example<'_>) -> RepeatedStep<B> {
        let Fused { network, backend, .. } = &self.fused;
        let Example { images, conditioning, target } = *example;
        if let Some(mut step) = self.step.take().filter(|step| step.shape == images.shape) {
            replace_maps(backend, images, &mut step.corrupted);
            replace_maps(backend, target, &mut step.target);
            network.replace_sinusoids(backend, conditioning, &mut step.sinusoid);
            return step;
        }
        RepeatedStep {
            shape: images.shape,
            corrupted: to_maps(backend, images),
            target: to_maps(backend, target),
            sinusoid: network.sinusoids(backend, conditioning),
            run: GraphCache::default(),
        }
    }
}

impl<B: Backend> Runner for FusedTrainable<B> {
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

impl<B: Backend> Trainable for FusedTrainable<B> {
    fn step(
        &mut self,
        example: &Example<'_>,
        update: &AdamW,
    ) -> Result<StepResult, DiffusionError> {
        let mut step = self.prepare(example);
        let Self { fused, optimiser, recompute, .. } = self;
        let Fused { network, backend, weights, identity, .. } = fused;
        let (backend, recompute) = (&*backend, *recompute);
        optimiser.prepare(backend, update);
        let parts = StepContext { network, backend, identity, weights, optimiser, recompute };
        let RepeatedStep { shape, corrupted, target, sinusoid, run } = &mut step;
        let work = || parts.descend(corrupted, sinusoid, target);
        let found = run.run(backend, work, |[loss, norm]| backend.read(&[loss, norm]));
        let purpose = if recompute { Purpose::LearnAgain } else { Purpose::Learn };
        let found = found.map_err(|error| fused.explain(error, *shape, purpose))?;
        self.step = Some(step);
        Ok(StepResult { loss: found[0], grad_norm: found[1] })
    }

    fn forward_average(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Option<Vec<f32>>, DiffusionError> {
        let Some(average) = self.optimiser.average() else { return Ok(None) };
        let Fused { network, backend, .. } = &self.fused;
        let _lock = backend.lock();
        let image = to_maps(backend, images);
        let sinusoid = network.sinusoids(backend, conditioning);
        let restored = self.fused.restored(average, &image, &sinusoid);
        self.fused.download(&restored, images.shape[0]).map(Some)
    }

    fn state(&self) -> Result<State, DiffusionError> {
        let Fused { backend, weights, .. } = &self.fused;
        self.optimiser.state(backend, weights)
    }

    fn continue_from(&mut self, state: &State) -> Result<(), DiffusionError> {
        self.optimiser = Optimiser::from_state(&self.fused.backend, state);
        self.fused.weights = self.fused.backend.upload(&state.weights);
        self.fused.restorations = Mutex::default();
        self.fused.ensembles = Mutex::default();
        // The recording works on the memory of before.
        self.step = None;
        Ok(self.fused.backend.take_error()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_backends::{TestBackend, test_backends};
    use super::super::tests::{forgetful, images, network};
    use super::*;
    use crate::golden::{Golden, assert_close, formula, small_parameters};
    use crate::{Parameters, UNetConfig};
    use disyre_core::Key;
    use disyre_kernels::Precision;

    /// Relative to the greatest value. In bf16 each factor is off by up to 4e-3; untrained networks amplify that, the deep
    /// one with weights by formula to 0.051 of the greatest value.
    fn tolerance(on: &TestBackend) -> f32 {
        match on.precision() {
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

    #[test]
    fn restorations_and_gradients_equal_the_published_ones_on_every_backend() {
        let golden = Golden::load("unet_small_formula.safetensors");
        let parameters = small_parameters();
        let (x, target) = (batch(&golden, "x"), batch(&golden, "target"));
        for on in test_backends() {
            let tolerance = tolerance(&on);
            let training = TrainOptions { averaged: false, recompute: false };
            let mut fused = on.trainable(&parameters, training);
            let conditioning = conditioning(&golden);
            let y = fused.forward(&x, &conditioning).unwrap();
            assert_close(&format!("y on {on}"), &y, &golden.floats("y").1, tolerance);
            let example = Example { images: &x, conditioning: &conditioning, target: &target };
            let loss = fused.step(&example, &forgetful()).unwrap().loss;
            let all = fused.state().unwrap().moment1;
            assert_close("loss", &[loss as f32], &golden.floats("loss").1, tolerance);
            let norm = all.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt() as f32;
            assert_close("norm", &[norm], &golden.floats("grad_norm").1, tolerance);
            let mut compared = 0;
            for entry in fused.entries() {
                let name = format!("grad.{}", entry.name);
                // Softmax ignores a shift of all keys, so that gradient is 0 up to rounding.
                if golden.has(&name) && !name.ends_with("to_k.bias") {
                    let expected = golden.floats(&name).1;
                    let name = format!("{name} on {on}");
                    assert_close(&name, &entry.read(&all), &expected, 2.0 * tolerance);
                    compared += 1;
                }
            }
            assert_eq!(compared, 8);
        }
    }

    /// The sums over an ensemble, added up from one restoration after another.
    fn summed_by_hand(
        runner: &dyn Runner,
        x: &ImageBatch,
        conditionings: &[Conditioning],
        distance: Distance,
    ) -> Sums {
        let zeros = || vec![0.0; x.values.len()];
        let mut sums = Sums { residuals: zeros(), restorations: zeros() };
        for conditioning in conditionings {
            let restored = runner.forward(x, conditioning).unwrap();
            for (i, (x, y)) in x.values.iter().zip(restored).enumerate() {
                sums.residuals[i] += match distance {
                    Distance::Absolute => (x - y).abs(),
                    Distance::Squared => (x - y) * (x - y),
                };
                sums.restorations[i] += y;
            }
        }
        sums
    }

    #[test]
    fn an_ensemble_is_the_sum_over_its_members_on_every_backend() {
        let parameters = Parameters::seeded(&network(), Key::new(4)).unwrap();
        let members = [[0, 40, 99], [7; 3]];
        let members = members.map(|levels| Conditioning::from_levels(levels.to_vec()));
        for on in test_backends() {
            let runner = on.runner(&parameters);
            // A device with graphs records the second and replays it in the third.
            let distances = ["a", "b", "c"].map(|name| (name, Distance::Squared));
            for (name, distance) in distances.into_iter().chain([("a", Distance::Absolute)]) {
                let x = images(name);
                let expected = summed_by_hand(&*runner, &x, &members, distance);
                let found = runner.ensemble(&x, &members, distance).unwrap().unwrap();
                if matches!(&on, TestBackend::Device(device, _) if device.is_cuda()) {
                    let Sums { residuals, restorations } = found;
                    let name = format!("{distance:?} on {on}");
                    assert_close(&name, &residuals, &expected.residuals, 1e-6);
                    assert_close(&name, &restorations, &expected.restorations, 1e-6);
                } else {
                    assert!(found == expected, "{distance:?} on {on}");
                }
            }
        }
    }

    /// Restores three images, then the first two, then the first alone, each as it is and as an ensemble; returns the
    /// number of passes that wait afterwards.
    fn restore_smaller_batches<B: Backend>(make: impl Fn() -> Fused<B>) -> [usize; 2] {
        let (all, levels) = (images("x"), [0, 40, 99]);
        let lasting = make();
        for count in [3, 3, 3, 2, 1, 2, 3] {
            let [_, c, y, x] = all.shape;
            let values = all.values[..count * c * y * x].to_vec();
            let images = ImageBatch { values, shape: [count, c, y, x] };
            let conditioning = Conditioning::from_levels(levels[..count].to_vec());
            let [found, expected] =
                [&lasting, &make()].map(|fused| fused.forward(&images, &conditioning).unwrap());
            assert!(found == expected, "{count} images");
            let members = [conditioning.clone(), Conditioning::from_levels(vec![7; count])];
            let [found, expected] = [&lasting, &make()]
                .map(|fused| fused.ensemble(&images, &members, Distance::Absolute).unwrap());
            assert!(found == expected, "an ensemble of {count} images");
        }
        [lasting.restorations.lock().unwrap().len(), lasting.ensembles.lock().unwrap().len()]
    }

    #[test]
    fn a_smaller_batch_needs_no_further_pass_where_graphs_are_replayed() {
        let parameters = Parameters::seeded(&network(), Key::new(4)).unwrap();
        let compute = disyre_kernels::Compute::new(Precision::F32);
        let on_cpu = || Fused::new(&parameters, disyre_kernels::Cpu::new(compute)).unwrap();
        assert_eq!(restore_smaller_batches(on_cpu), [3, 3]);
        #[cfg(feature = "cuda-emulation")]
        for precision in [Precision::F32, Precision::Bf16] {
            let backend = || disyre_cuda::Cuda::emulated_graphs(Default::default(), precision);
            let emulated = || Fused::new(&parameters, backend()).unwrap();
            assert_eq!(restore_smaller_batches(emulated), [1, 1]);
        }
    }

    #[test]
    fn a_wide_image_is_restored_as_published_on_every_backend() {
        let golden = Golden::load("unet_small_formula.safetensors");
        let (parameters, x) = (small_parameters(), batch(&golden, "x_48x40"));
        for on in test_backends() {
            let fused = on.runner(&parameters);
            let y = fused.forward(&x, &Conditioning::from_levels(vec![12])).unwrap();
            let expected = golden.floats("y_48x40").1;
            assert_close(&format!("y on {on}"), &y, &expected, tolerance(&on));
        }
    }

    // The emulator would take a minute; it runs the small published network above.
    #[test]
    fn the_default_network_equals_the_published_one_on_every_backend_but_the_emulator() {
        let golden = Golden::load("unet_default_formula.safetensors");
        let network = UNetConfig::default();
        let parameters = formula(&network);
        let x = batch(&golden, "x");
        for on in test_backends().into_iter().filter(|on| !on.is_emulated()) {
            let fused = on.runner(&parameters);
            let y = fused.forward(&x, &conditioning(&golden)).unwrap();
            let expected = golden.floats("y").1;
            assert_close(&format!("y on {on}"), &y, &expected, tolerance(&on));
        }
    }

    /// The published network with one channel and one level, every parameter set here.
    fn by_hand() -> Parameters {
        let network = UNetConfig {
            channels: vec![1],
            resnets_per_level: 1,
            attention_levels: vec![],
            middle_attention: false,
            head_channels: 1,
            groups: 1,
            norm_epsilon: 1.0,
            sinusoid_channels: 2,
            embedding_channels: 1,
            ..UNetConfig::default()
        };
        let mut parameters = Parameters::seeded(&network, Key::new(0)).unwrap();
        let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
        for name in &names {
            let is_scale = name.contains("norm") && name.ends_with(".weight");
            parameters.get_mut(name).unwrap().fill(if is_scale { 1.0 } else { 0.0 });
        }
        let mut set = |name: &str, index: &[usize], value: f32| {
            parameters.get_mut(name).unwrap()[index] = value;
        };
        // (output, input, y, x): twice the pixel itself and once its left neighbour.
        set("conv_in.weight", &[0, 0, 1, 1], 2.0);
        set("conv_in.weight", &[0, 0, 1, 0], 1.0);
        set("conv_in.bias", &[0], 1.0);
        set("down_blocks.0.resnets.0.conv1.weight", &[0, 0, 1, 1], 1.0);
        set("down_blocks.0.resnets.0.conv2.weight", &[0, 0, 1, 1], 2.0);
        set("down_blocks.0.resnets.0.conv2.bias", &[0], 0.5);
        set("mid_block.resnets.0.conv2.bias", &[0], 1.0);
        set("mid_block.resnets.1.conv2.bias", &[0], 1.0);
        set("up_blocks.0.resnets.0.conv_shortcut.weight", &[0, 0, 0, 0], 1.0);
        set("up_blocks.0.resnets.0.conv_shortcut.weight", &[0, 1, 0, 0], -0.5);
        set("up_blocks.0.resnets.1.conv_shortcut.weight", &[0, 0, 0, 0], 0.5);
        set("up_blocks.0.resnets.1.conv_shortcut.weight", &[0, 1, 0, 0], 1.0);
        set("conv_norm_out.weight", &[0], 3.0);
        set("conv_norm_out.bias", &[0], 0.25);
        set("conv_out.weight", &[0, 0, 1, 1], -1.0);
        set("conv_out.bias", &[0], 0.125);
        parameters
    }

    #[test]
    fn a_network_of_one_channel_gives_the_two_pixels_computed_by_hand() {
        let silu = |z: f64| z / (1.0 + (-z).exp());
        // Two pixels p and q have mean (p + q)/2 and variance d² with d = (p − q)/2; epsilon is 1.
        let norm = |[p, q]: [f64; 2]| {
            let d = (p - q) / 2.0;
            [1.0, -1.0].map(|sign| sign * d / (d * d + 1.0).sqrt())
        };
        // x = (1, −1): conv_in gives 2 · 1 + 1 = 3 and 2 · (−1) + 1 + 1 = 0.
        let first = [3.0, 0.0];
        // The block down: the first convolution copies, the second doubles and adds 0.5, and x is added.
        let within = norm(norm(first).map(silu)).map(silu);
        let down = [0, 1].map(|i| first[i] + 2.0 * within[i] + 0.5);
        // The blocks of the middle add 1 each; those up weigh what comes from below and the skip.
        let up = down.map(|value| (value + 2.0) - 0.5 * value);
        let last = [0, 1].map(|i| 0.5 * up[i] + first[i]);
        let expected = norm(last).map(|z| (0.125 - silu(3.0 * z + 0.25)) as f32);
        let x = ImageBatch { values: vec![1.0, -1.0], shape: [1, 1, 1, 2] };
        let parameters = by_hand();
        for on in test_backends() {
            let y = on.runner(&parameters).forward(&x, &Conditioning::from_levels(vec![3]));
            assert_close(&format!("y on {on}"), &y.unwrap(), &expected, tolerance(&on));
        }
    }
}
