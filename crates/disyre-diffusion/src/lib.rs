//! Cold diffusion: placeholder.
#![forbid(unsafe_code)]

mod descent;
mod device;
mod error;
mod files;
mod model;
mod parameters;
mod restorer;
mod schedule;
mod slices;
mod train;
mod unet;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod golden;

pub use candle_core::Device;
pub use descent::{DescentConfig, DescentRule};
pub use device::{DeviceRequest, SelectedDevice, select_device};
pub use error::DiffusionError;
pub use files::weights_sha256;
pub use model::{CONFIG_FILE, EMA_FILE, MODEL_FILE, ModelConfig, TRAINING_FILE};
pub use parameters::Parameters;
pub use restorer::{ColdRestorer, Weights};
pub use schedule::{Conditioning, ConditioningOrder, Schedule, ScheduleConfig};
pub use train::{
    LOG_FILE, TrainConfig, TrainEvent, TrainRun, TrainSummary, ValidationErrors, train,
};
pub use unet::{UNet, UNetConfig};
