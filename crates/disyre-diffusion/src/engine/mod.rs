//! Runs and trains the network on a device: on fused operations in a chosen precision, or plainly on candle.

mod backend;
mod fused;
mod graph_cache;
mod optimiser;
#[cfg(test)]
mod test_backends;

use std::fmt::{self, Debug};
use std::str::FromStr;

use disyre_core::Distance;
use disyre_kernels::backend::Backend;
use disyre_kernels::{AdamW, Precision};
use serde::{Deserialize, Serialize};

use crate::network::Entry;
use crate::slices::ImageBatch;
use crate::{Conditioning, Device, DiffusionError, Parameters};
use backend::{OnBackend, on_backend};
use fused::{Fused, FusedTrainable};
#[cfg(feature = "candle")]
pub(crate) use optimiser::Optimiser;

/// Operations and precision of the network.
///
/// As text: `f32`, `bf16x3`, `bf16`, and with feature `candle` also `plain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Engine {
    /// Fused operations, with products of this precision; where the device has no instructions for it, the next more
    /// exact one.
    Fused(Precision),
    /// candle's own operations: slow, and what the fused ones are tested against.
    #[cfg(feature = "candle")]
    Plain,
}

impl Default for Engine {
    fn default() -> Self {
        Self::Fused(Precision::F32)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fused(precision) => write!(f, "{precision}"),
            #[cfg(feature = "candle")]
            Self::Plain => f.write_str("plain"),
        }
    }
}

impl From<Engine> for String {
    fn from(engine: Engine) -> Self {
        engine.to_string()
    }
}

impl TryFrom<String> for Engine {
    type Error = DiffusionError;

    fn try_from(text: String) -> Result<Self, DiffusionError> {
        text.parse()
    }
}

impl FromStr for Engine {
    type Err = DiffusionError;

    fn from_str(text: &str) -> Result<Self, DiffusionError> {
        match (text, text.parse()) {
            #[cfg(feature = "candle")]
            ("plain", _) => Ok(Self::Plain),
            #[cfg(not(feature = "candle"))]
            ("plain", _) => {
                let expected = "f32, bf16x3 or bf16, since this program was built without candle";
                Err(DiffusionError::config("engine", expected, text))
            }
            (_, Ok(precision)) => Ok(Self::Fused(precision)),
            _ => Err(DiffusionError::config("engine", "f32, bf16x3 or bf16", text)),
        }
    }
}

impl Engine {
    /// The precision in effect on a device, in words.
    ///
    /// # Errors
    /// [`DiffusionError`] if the device cannot be opened.
    pub fn describe(self, device: &Device) -> Result<String, DiffusionError> {
        match self {
            Self::Fused(precision) => on_backend(Describe, device, precision),
            #[cfg(feature = "candle")]
            Self::Plain => Ok("plain tensor operations".into()),
        }
    }

    /// The network of `parameters`, ready to run.
    pub(crate) fn runner(
        self,
        parameters: &Parameters,
        device: &Device,
    ) -> Result<Box<dyn Runner>, DiffusionError> {
        match self {
            Self::Fused(precision) => on_backend(MakeRunner(parameters), device, precision),
            #[cfg(feature = "candle")]
            Self::Plain => {
                let device = backend::candle_device(device)?;
                Ok(Box::new(crate::candle::Plain::new(parameters, &device)?))
            }
        }
    }

    /// The network of `parameters`, ready to learn.
    pub(crate) fn trainable(
        self,
        parameters: &Parameters,
        device: &Device,
        training: TrainOptions,
    ) -> Result<Box<dyn Trainable>, DiffusionError> {
        match self {
            Self::Fused(precision) => {
                on_backend(MakeTrainable(parameters, training), device, precision)
            }
            #[cfg(feature = "candle")]
            Self::Plain => {
                let device = backend::candle_device(device)?;
                Ok(Box::new(crate::candle::PlainTrainable::new(parameters, &device, training)?))
            }
        }
    }
}

struct Describe;

impl OnBackend for Describe {
    type Made = String;

    fn on<B: Backend>(self, backend: B) -> Result<String, DiffusionError> {
        Ok(backend.describe())
    }
}

struct MakeRunner<'a>(&'a Parameters);

impl OnBackend for MakeRunner<'_> {
    type Made = Box<dyn Runner>;

    fn on<B: Backend>(self, backend: B) -> Result<Box<dyn Runner>, DiffusionError> {
        Ok(Box::new(Fused::new(self.0, backend)?))
    }
}

struct MakeTrainable<'a>(&'a Parameters, TrainOptions);

impl OnBackend for MakeTrainable<'_> {
    type Made = Box<dyn Trainable>;

    fn on<B: Backend>(self, backend: B) -> Result<Box<dyn Trainable>, DiffusionError> {
        Ok(Box::new(FusedTrainable::new(self.0, backend, self.1)?))
    }
}

/// A network over parameters in one run of numbers.
pub(crate) trait Runner: Debug + Send + Sync {
    /// Names, shapes and places of the parameters in the run.
    fn entries(&self) -> &[Entry];

    /// Restores images `(n, c, h, w)`.
    fn forward(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Vec<f32>, DiffusionError>;

    /// Restores images under each of several conditionings, at least one, and sums over these restorations how far they
    /// are from the images, and themselves. None where that would be no gain over [`forward`](Self::forward).
    fn ensemble(
        &self,
        images: &ImageBatch,
        conditionings: &[Conditioning],
        distance: Distance,
    ) -> Result<Option<Sums>, DiffusionError> {
        let _ = (images, conditionings, distance);
        Ok(None)
    }
}

/// Sums over an ensemble, images `(n, c, h, w)`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sums {
    pub(crate) residuals: Vec<f32>,
    pub(crate) restorations: Vec<f32>,
}

/// A network with its optimiser. Weights, gradients and the optimiser's state stay on its device.
pub(crate) trait Trainable: Runner {
    /// One step of gradient descent on the mean squared error. Where that or the gradient is not finite, the weights
    /// stay as they were.
    fn step(&mut self, example: &Example<'_>, update: &AdamW)
    -> Result<StepResult, DiffusionError>;

    /// Restores images by the moving average of the weights; none if no average is kept.
    fn forward_average(
        &self,
        images: &ImageBatch,
        conditioning: &Conditioning,
    ) -> Result<Option<Vec<f32>>, DiffusionError>;

    /// A copy of weights and the optimiser's state.
    fn state(&self) -> Result<State, DiffusionError>;

    /// Puts both back.
    fn continue_from(&mut self, state: &State) -> Result<(), DiffusionError>;
}

/// Options of a network that learns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrainOptions {
    /// A moving average of the weights.
    pub(crate) averaged: bool,
    /// Fewer results for the gradient, some are computed anew.
    pub(crate) recompute: bool,
}

/// The batch of one step, images `(n, c, h, w)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Example<'a> {
    pub(crate) images: &'a ImageBatch,
    pub(crate) conditioning: &'a Conditioning,
    /// All channels that the network should answer.
    pub(crate) target: &'a ImageBatch,
}

/// Loss and norm of the gradient of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepResult {
    pub(crate) loss: f64,
    pub(crate) grad_norm: f64,
}

/// Weights and what the optimiser keeps for each, in the order of the network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) weights: Vec<f32>,
    pub(crate) moment1: Vec<f32>,
    pub(crate) moment2: Vec<f32>,
    pub(crate) average: Option<Vec<f32>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UNetConfig;
    use crate::golden::devices;
    use crate::network::Layout;
    use disyre_core::{Key, rand::RngExt};

    pub(super) fn network() -> UNetConfig {
        UNetConfig {
            channels: vec![8, 24],
            groups: 4,
            attention_levels: vec![1],
            in_channels: 2,
            out_channels: 2,
            ..UNetConfig::default()
        }
    }

    pub(super) fn images(name: &str) -> ImageBatch {
        some_images(name, 2)
    }

    fn some_images(name: &str, channels: usize) -> ImageBatch {
        let mut rng = Key::new(8).child(name).rng();
        let shape = [3, channels, 12, 8];
        ImageBatch { values: (0..shape.iter().product()).map(|_| rng.random()).collect(), shape }
    }

    /// An update that goes nowhere and whose first moment is the gradient itself.
    pub(super) fn forgetful() -> AdamW {
        AdamW {
            clip_norm: 0.0,
            keep: 1.0,
            betas: [0.0; 2],
            step_size: 0.0,
            correction: 1.0,
            epsilon: 1e-8,
            average: 0.0,
        }
    }

    /// Gradients by name.
    type Named = Vec<(String, Vec<f32>)>;

    /// Restoration, loss and gradients of a network with so many channels that go out.
    fn run(
        engine: Engine,
        device: &Device,
        recompute: bool,
        out_channels: usize,
    ) -> (Vec<f32>, f64, Named) {
        let network = UNetConfig { out_channels, ..network() };
        let parameters = Parameters::seeded(&network, Key::new(4)).unwrap();
        let training = TrainOptions { averaged: false, recompute };
        let mut trainable = engine.trainable(&parameters, device, training).unwrap();
        let conditioning = Conditioning::from_levels(vec![0, 40, 99]);
        let (x, target) = (images("x"), some_images("clean", out_channels));
        let restored = trainable.forward(&x, &conditioning).unwrap();
        let example = Example { images: &x, conditioning: &conditioning, target: &target };
        let loss = trainable.step(&example, &forgetful()).unwrap().loss;
        let all = trainable.state().unwrap().moment1;
        let gradients = trainable.entries().iter().map(|e| (e.name.clone(), e.read(&all)));
        let mut gradients: Vec<_> = gradients.collect();
        gradients.sort_by(|a, b| a.0.cmp(&b.0));
        (restored, loss, gradients)
    }

    #[cfg(feature = "candle")]
    fn worst(a: &[f32], b: &[f32]) -> f32 {
        assert!(a.len() == b.len() && a.iter().chain(b).all(|value| value.is_finite()));
        let greatest = b.iter().fold(1e-7f32, |max, b| max.max(b.abs()));
        a.iter().zip(b).fold(0.0f32, |max, (a, b)| max.max((a - b).abs())) / greatest
    }

    #[cfg(feature = "candle")]
    #[test]
    fn fused_and_plain_restorations_and_gradients_agree() {
        // With as many channels as come in, and with one more.
        [2, 3].into_iter().for_each(fused_and_plain_agree);
    }

    #[cfg(feature = "candle")]
    fn fused_and_plain_agree(outputs: usize) {
        let (restored, loss, gradients) = run(Engine::Plain, &Device::cpu(), false, outputs);
        let tolerances =
            [(Precision::F32, 2e-4), (Precision::Bf16x3, 2e-3), (Precision::Bf16, 0.3)];
        let everywhere =
            devices().into_iter().flat_map(|device| tolerances.map(|t| (device.clone(), t)));
        for (device, (precision, tolerance)) in everywhere {
            let engine = Engine::Fused(precision);
            let (ours, our_loss, ours_gradients) = run(engine, &device, false, outputs);
            assert!(worst(&ours, &restored) < tolerance, "{precision}");
            assert!((our_loss / loss - 1.0).abs() < f64::from(tolerance), "{precision}");
            for ((name, ours), (plain_name, plain)) in ours_gradients.iter().zip(&gradients) {
                assert_eq!(name, plain_name);
                // Softmax ignores what all keys share, so this gradient is 0 up to rounding.
                if !name.ends_with("to_k.bias") {
                    let error = worst(ours, plain);
                    assert!(error < tolerance, "{name} in {precision}: {error}");
                }
            }
        }
    }

    #[test]
    fn recomputed_results_give_the_same_gradient() {
        for device in devices() {
            let [anew, kept] = [true, false].map(|again| run(Engine::default(), &device, again, 2));
            assert_eq!(anew, kept, "{device}");
        }
    }

    #[test]
    fn the_second_and_third_steps_on_a_batch_go_where_fresh_ones_go() {
        // A device with graphs records the second and replays it in the third.
        let (x, clean) = (images("x"), images("clean"));
        let conditioning = Conditioning::from_levels(vec![0, 40, 99]);
        let example = Example { images: &x, conditioning: &conditioning, target: &clean };
        let training = TrainOptions { averaged: true, recompute: false };
        let update = AdamW { step_size: 1e-3, betas: [0.5, 0.75], average: 0.5, ..forgetful() };
        for device in devices() {
            let parameters = Parameters::seeded(&network(), Key::new(4)).unwrap();
            let make = || Engine::default().trainable(&parameters, &device, training).unwrap();
            let mut lasting = make();
            let mut state = lasting.state().unwrap();
            for step in 0..3 {
                let mut fresh = make();
                fresh.continue_from(&state).unwrap();
                let expected = fresh.step(&example, &update).unwrap();
                let found = lasting.step(&example, &update).unwrap();
                assert_eq!(found, expected, "step {step} on {device}");
                state = lasting.state().unwrap();
                assert!(state == fresh.state().unwrap(), "step {step} on {device}");
                let restored = lasting.forward(&x, &conditioning).unwrap();
                assert!(restored == fresh.forward(&x, &conditioning).unwrap(), "{device}");
                assert_ne!(lasting.forward_average(&x, &conditioning).unwrap(), Some(restored));
            }
        }
    }

    #[test]
    fn threads_may_restore_at_once() {
        let conditioning = Conditioning::from_levels(vec![0, 40, 99]);
        let names = ["a", "b", "c"];
        for device in devices() {
            let parameters = Parameters::seeded(&network(), Key::new(4)).unwrap();
            let make = || Engine::default().runner(&parameters, &device).unwrap();
            let expected = names.map(|name| make().forward(&images(name), &conditioning).unwrap());
            let shared = make();
            std::thread::scope(|scope| {
                for (name, expected) in names.iter().zip(&expected) {
                    let (shared, conditioning, device) = (&shared, &conditioning, &device);
                    scope.spawn(move || {
                        for run in 0..6 {
                            let found = shared.forward(&images(name), conditioning).unwrap();
                            assert!(found == *expected, "{name}, run {run} on {device}");
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_leaves_the_weights_as_they_were() {
        let (mut x, clean) = (images("x"), images("clean"));
        x.values[7] = f32::INFINITY;
        let conditioning = Conditioning::from_levels(vec![0, 40, 99]);
        let example = Example { images: &x, conditioning: &conditioning, target: &clean };
        let training = TrainOptions { averaged: true, recompute: false };
        for device in devices() {
            let parameters = Parameters::seeded(&network(), Key::new(4)).unwrap();
            let mut trainable =
                Engine::default().trainable(&parameters, &device, training).unwrap();
            let before = trainable.state().unwrap();
            let update = AdamW { step_size: 1e-3, average: 0.5, ..forgetful() };
            let found = trainable.step(&example, &update).unwrap();
            assert!(!found.loss.is_finite() || !found.grad_norm.is_finite(), "{device}");
            assert!(trainable.state().unwrap() == before, "{device}");
        }
    }

    #[test]
    fn an_engine_survives_its_text() {
        let engines = Precision::ALL.map(Engine::Fused).into_iter();
        #[cfg(feature = "candle")]
        let engines = engines.chain([Engine::Plain]);
        for engine in engines {
            assert_eq!(engine.to_string().parse::<Engine>().unwrap(), engine);
        }
        let error = "fast".parse::<Engine>().unwrap_err().to_string();
        assert!(error.contains("bf16x3"), "{error}");
    }

    #[test]
    fn the_fused_network_has_the_published_parameters() {
        let layout: Layout = crate::network::Network::new(&UNetConfig::default()).layout().clone();
        assert_eq!(layout.len(), 26_296_929);
        let parameters = Parameters::seeded(&UNetConfig::default(), Key::new(0)).unwrap();
        let mut ours: Vec<_> =
            layout.entries().iter().map(|e| (e.name.as_str(), &e.shape[..])).collect();
        ours.sort_unstable();
        let declared: Vec<_> = parameters
            .iter()
            .map(|(name, array)| (name.to_owned(), array.shape().to_vec()))
            .collect();
        let declared: Vec<_> =
            declared.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
        assert_eq!(ours, declared);
    }
}
