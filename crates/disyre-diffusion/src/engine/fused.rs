use std::sync::{Mutex, PoisonError};

use disyre_core::Distance;
use disyre_kernels::AdamW;
use disyre_kernels::backend::{Backend, BackendError, Ensemble, FeatureMaps};

use super::optimiser::Optimiser;
use super::repeated::Repeated;
use super::{Example, Runner, State, StepResult, Sums, Trainee, Training};
use crate::network::{Entry, Inputs, Network, Purpose, replace_maps, to_maps, transposed};
use crate::slices::ImageBatch;
use crate::{Conditioning, DiffusionError, Parameters};

/// The network on the fused operations of a machine.
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

type Waiting<B, Found> = Mutex<Vec<Pass<B, Found>>>;

/// The same images under one conditioning or several.
#[derive(Debug)]
struct Pass<B: Backend, Found> {
    kind: Kind,
    image: FeatureMaps<B>,
    sinusoids: Vec<FeatureMaps<B>>,
    run: Repeated<B, Found>,
}

/// What passes have in common that are repetitions of each other.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    shape: [usize; 4],
    conditionings: usize,
    distance: Option<Distance>,
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

    /// Restores images that are on the machine.
    fn restored(
        &self,
        weights: &B::Values,
        image: &FeatureMaps<B>,
        sinusoid: &FeatureMaps<B>,
    ) -> FeatureMaps<B> {
        let inputs = Inputs { image, sinusoid, identity: &self.identity };
        self.network.forward(&self.backend, weights, &inputs)
    }

    fn download(&self, restored: &FeatureMaps<B>) -> Result<Vec<f32>, DiffusionError> {
        let values = self.backend.download_maps(restored)?;
        let pixels = restored.extent().height * restored.extent().width;
        Ok(transposed(&values, [pixels, restored.channels()]).into_owned())
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
    fn pass<Found>(
        &self,
        waiting: &Waiting<B, Found>,
        kind: Kind,
        images: &ImageBatch,
        conditionings: &[Conditioning],
    ) -> Pass<B, Found> {
        let Self { network, backend, .. } = self;
        let mut passes = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let found = passes.iter().position(|pass| pass.kind == kind);
        let found = found.map(|index| passes.swap_remove(index));
        drop(passes);
        let Some(mut pass) = found else {
            let sinusoids = conditionings.iter().map(|each| network.sinusoids(backend, each));
            let (image, sinusoids) = (to_maps(backend, images), sinusoids.collect());
            return Pass { kind, image, sinusoids, run: Repeated::default() };
        };
        replace_maps(backend, images, &mut pass.image);
        for (conditioning, sinusoids) in conditionings.iter().zip(&mut pass.sinusoids) {
            network.replace_sinusoids(backend, conditioning, sinusoids);
        }
        pass
    }

    /// Puts images and conditionings on the machine, does `work` there and reads what it found.
    fn run<Found, R>(
        &self,
        waiting: &Waiting<B, Found>,
        (images, conditionings): (&ImageBatch, &[Conditioning]),
        distance: Option<Distance>,
        work: impl FnOnce(&FeatureMaps<B>, &[FeatureMaps<B>]) -> Found,
        read: impl FnOnce(&Found) -> Result<R, DiffusionError>,
    ) -> Result<R, DiffusionError> {
        let _lock = self.backend.lock();
        let kind = Kind { shape: images.shape, conditionings: conditionings.len(), distance };
        let Pass { image, sinusoids, mut run, .. } =
            self.pass(waiting, kind, images, conditionings);
        let found = run.run(&self.backend, || work(&image, &sinusoids), read);
        let found = found.map_err(|error| self.explain(error, images.shape, Purpose::Restore))?;
        let pass = Pass { kind, image, sinusoids, run };
        waiting.lock().unwrap_or_else(PoisonError::into_inner).push(pass);
        Ok(found)
    }

    /// Sums over restorations of images that are on the machine.
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
        self.run(&self.restorations, given, None, work, |restored| self.download(restored))
    }

    fn ensemble(
        &self,
        images: &ImageBatch,
        conditionings: &[Conditioning],
        distance: Distance,
    ) -> Result<Option<Sums>, DiffusionError> {
        let work = |image: &_, sinusoids: &[_]| self.summed(distance, image, sinusoids);
        let read = |sums: &Ensemble<B>| {
            let residuals = self.download(&sums.distances)?;
            Ok(Sums { residuals, restorations: self.download(&sums.members)? })
        };
        self.run(&self.ensembles, (images, conditionings), Some(distance), work, read).map(Some)
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

/// A step of training on pairs of one shape; it finds the loss and the norm of the gradient.
#[derive(Debug)]
struct Step<B: Backend> {
    shape: [usize; 4],
    corrupted: FeatureMaps<B>,
    clean: FeatureMaps<B>,
    sinusoid: FeatureMaps<B>,
    run: Repeated<B, [B::Scalar; 2]>,
}

/// What a step reads and writes beside its pairs.
struct Parts<'a, B: Backend> {
    network: &'a Network,
    backend: &'a B,
    identity: &'a B::Normalised,
    weights: &'a mut B::Values,
    optimiser: &'a mut Optimiser<B>,
    recompute: bool,
}

impl<B: Backend> Parts<'_, B> {
    /// The operations of a step.
    fn descend(
        self,
        image: &FeatureMaps<B>,
        sinusoid: &FeatureMaps<B>,
        clean: &FeatureMaps<B>,
    ) -> [B::Scalar; 2] {
        let Self { network, backend, identity, weights, optimiser, recompute } = self;
        let inputs = Inputs { image, sinusoid, identity };
        let (restored, tape) = network.forward_taped(backend, weights, &inputs, recompute);
        let (loss, slope) = backend.squared_error(&restored, clean);
        network.backward(backend, weights, tape, &slope, optimiser.gradient());
        let norm = optimiser.update(backend, weights, &loss);
        [loss, norm]
    }
}

impl<B: Backend> FusedTrainee<B> {
    pub(super) fn new(
        parameters: &Parameters,
        backend: B,
        training: Training,
    ) -> Result<Self, DiffusionError> {
        let network = Network::new(parameters.network());
        let weights = network.laid_out(parameters);
        let optimiser = Optimiser::new(&backend, &weights, training.averaged);
        let weights = backend.upload(&weights);
        let (fused, recompute) = (Fused::over(network, backend, weights)?, training.recompute);
        Ok(Self { fused, optimiser, recompute, step: None })
    }

    /// The step of this batch, its images on the machine.
    fn prepare(&mut self, example: &Example<'_>) -> Step<B> {
        let Fused { network, backend, .. } = &self.fused;
        let Example { images, conditioning, clean } = *example;
        if let Some(mut step) = self.step.take().filter(|step| step.shape == images.shape) {
            replace_maps(backend, images, &mut step.corrupted);
            replace_maps(backend, clean, &mut step.clean);
            network.replace_sinusoids(backend, conditioning, &mut step.sinusoid);
            return step;
        }
        Step {
            shape: images.shape,
            corrupted: to_maps(backend, images),
            clean: to_maps(backend, clean),
            sinusoid: network.sinusoids(backend, conditioning),
            run: Repeated::default(),
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
        let mut step = self.prepare(example);
        let Self { fused, optimiser, recompute, .. } = self;
        let Fused { network, backend, weights, identity, .. } = fused;
        let (backend, recompute) = (&*backend, *recompute);
        optimiser.prepare(backend, update);
        let parts = Parts { network, backend, identity, weights, optimiser, recompute };
        let Step { shape, corrupted, clean, sinusoid, run } = &mut step;
        let work = || parts.descend(corrupted, sinusoid, clean);
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
        self.fused.download(&self.fused.restored(average, &image, &sinusoid)).map(Some)
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
        // What was recorded works on the memory of before.
        self.step = None;
        Ok(self.fused.backend.take_error()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::everywhere::{Way, ways};
    use super::super::tests::{forgetful, images, network};
    use super::*;
    use crate::golden::{Golden, assert_close, formula};
    use crate::{Parameters, UNetConfig};
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
        golden.parameters(&network)
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
    fn an_ensemble_is_the_sum_over_its_members_in_every_way_to_compute() {
        let parameters = Parameters::seeded(&network(), Key::new(4)).unwrap();
        let members = [[0, 40, 99], [7; 3]];
        let members = members.map(|levels| Conditioning::from_levels(levels.to_vec()));
        for way in ways() {
            let runner = way.runner(&parameters);
            // A machine that records operations records the second and repeats it in the third.
            let distances = ["a", "b", "c"].map(|name| (name, Distance::Squared));
            for (name, distance) in distances.into_iter().chain([("a", Distance::Absolute)]) {
                let x = images(name);
                let expected = summed_by_hand(&*runner, &x, &members, distance);
                let found = runner.ensemble(&x, &members, distance).unwrap().unwrap();
                if matches!(&way, Way::Device(device, _) if device.is_cuda()) {
                    let Sums { residuals, restorations } = found;
                    let name = format!("{distance:?} in {way}");
                    assert_close(&name, &residuals, &expected.residuals, 1e-6);
                    assert_close(&name, &restorations, &expected.restorations, 1e-6);
                } else {
                    assert!(found == expected, "{distance:?} in {way}");
                }
            }
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

    /// The network of the published size, in the ways that are asked for.
    fn assert_default_network(mut asked: impl FnMut(&Way) -> bool) {
        let Some(golden) = Golden::load("unet_default_formula.safetensors") else { return };
        let network = UNetConfig::default();
        let parameters = formula(&network);
        let x = batch(&golden, "x");
        for way in ways().into_iter().filter(|way| asked(way)) {
            let fused = way.runner(&parameters);
            let y = fused.forward(&x, &conditioning(&golden)).unwrap();
            let expected = golden.floats("y").1;
            assert_close(&format!("y in {way}"), &y, &expected, tolerance(&way));
        }
    }

    #[test]
    fn the_default_network_equals_the_published_one_in_every_quick_way_to_compute() {
        assert_default_network(|way| {
            if way.is_slow() {
                println!("left to the ignored test: the default network in {way}");
            }
            !way.is_slow()
        });
    }

    #[cfg(feature = "cuda-emulation")]
    #[test]
    #[ignore = "takes a minute"]
    fn the_default_network_equals_the_published_one_in_the_emulator() {
        assert_default_network(Way::is_slow);
    }
}
