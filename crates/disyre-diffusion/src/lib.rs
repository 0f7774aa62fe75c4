//! Cold diffusion: a network that takes a corruption of known severity away in one pass, and its training.
//!
//! Take this crate to train the network on pairs of your own, or to run a trained one batch by batch; take `disyre`
//! for scans in and anomaly maps out.
//!
//! ```
//! use disyre_core::{Key, Restorer, Severity, ndarray::Array5};
//! use disyre_diffusion::{ColdRestorer, Device, ModelConfig, Parameters, UNetConfig};
//!
//! let network = UNetConfig { channels: vec![32, 64], attention_levels: vec![1], ..UNetConfig::default() };
//! let model = ModelConfig { network, patch: [1, 16, 16], ..ModelConfig::default() };
//! let untrained = Parameters::seeded(&model.network, Key::new(1))?;
//! let restorer = ColdRestorer::new(model, &untrained, &Device::cpu())?;
//! let batch = Array5::zeros((2, 1, 1, 16, 16)); // (n, c, z, y, x)
//! let mut restored = batch.clone();
//! restorer.restore(batch.view(), &[Severity::CLEAN, Severity::FULL], restored.view_mut())?;
//! assert!(restored.iter().all(|value| value.is_finite()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Schedule`]: severity becomes what the network is told, here and nowhere else;
//! - [`UNetConfig`], [`Parameters`]: the network and its weights, with the tensor names of the diffusers library;
//! - [`train`], [`TrainConfig`], [`TrainEvent`]: training from any [`PairSource`](disyre_core::PairSource);
//! - [`Batches`]: pairs made ahead of their use, for a training of your own;
//! - [`ColdRestorer`], [`ModelConfig`]: a trained model's folder as a [`Restorer`](disyre_core::Restorer);
//! - [`Device`], [`weights_sha256`]: the device to compute on, and which weights it was.
//!
//! Features: `candle` (on by default) holds the plain network as the module `candle`, and `Engine::Plain`; `cuda` runs
//! networks on NVIDIA GPUs; `candle-cuda` runs the plain ones there too; `cuda-emulation` runs the CUDA kernels on the CPU,
//! for tests.
//!
//! It reads no images, makes no anomalies, cuts no windows and draws no progress bars.
#![forbid(unsafe_code)]

#[cfg(feature = "candle")]
pub mod candle;
mod corruption_map;
mod descent;
mod device;
mod difference;
mod engine;
mod error;
mod files;
mod initial;
mod model;
mod network;
mod parameters;
mod restorer;
mod schedule;
mod slices;
mod train;

/// The golden values are for tests within and outside the crate, which call it by this name.
#[cfg(test)]
extern crate self as disyre_diffusion;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod golden;

pub use corruption_map::CorruptionMapConfig;
pub use descent::{DescentConfig, DescentRule};
pub use device::{Device, DeviceRequest};
pub use disyre_kernels::{Compute, ConvKind, Convolution, Extent, Isa, Precision};
pub use engine::Engine;
pub use error::DiffusionError;
pub use files::weights_sha256;
pub use initial::{initial_parameters, initial_parameters_of};
pub use model::{CONFIG_FILE, EMA_FILE, MODEL_FILE, ModelConfig, TRAINING_FILE};
pub use network::{PassCost, UNetConfig};
pub use parameters::Parameters;
pub use restorer::{ColdRestorer, Weights};
pub use schedule::{Conditioning, ConditioningOrder, Schedule, ScheduleConfig};
pub use train::{
    Batch, BatchQueue, Batches, LOG_FILE, MapErrors, TrainConfig, TrainEvent, TrainRun,
    TrainSummary, ValidationErrors, train,
};
