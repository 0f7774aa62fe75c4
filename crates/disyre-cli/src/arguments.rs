use clap::Args;
use disyre::diffusion::{DeviceRequest, Engine, SelectedDevice, select_device};

use crate::error::CliError;

/// How many threads work.
#[derive(Debug, Clone, Args)]
pub(crate) struct ThreadArguments {
    /// Threads to compute with [default: one per core]; results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl ThreadArguments {
    /// Sizes the pool that all stages share; call it once, before any work.
    pub(crate) fn apply(&self) -> Result<(), CliError> {
        let Some(threads) = self.threads.map(usize::from) else { return Ok(()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().map_err(|source| CliError::Threads { threads, source })
    }
}

/// Where the network runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceArguments {
    /// Where the network runs: auto, cpu, or cuda:NUMBER
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = parse_device)]
    device: DeviceRequest,
}

impl DeviceArguments {
    /// Finds the device and says which.
    pub(crate) fn select(&self) -> Result<SelectedDevice, CliError> {
        let selected = select_device(self.device)?;
        eprintln!("device: {}", selected.reason);
        Ok(selected)
    }
}

/// How the processor computes.
#[derive(Debug, Clone, Args)]
pub(crate) struct EngineArguments {
    /// How the processor computes: f32, bf16x3 (nearly as exact), bf16 (faster where there are instructions for it), or
    /// plain [default: the settings', f32 unless they say otherwise]
    #[arg(long, value_name = "ENGINE", value_parser = parse_engine)]
    pub(crate) engine: Option<Engine>,
}

impl EngineArguments {
    /// The engine that was asked for, or that of the settings.
    pub(crate) fn over(&self, settings: Engine) -> Engine {
        self.engine.unwrap_or(settings)
    }
}

fn parse_engine(text: &str) -> Result<Engine, String> {
    text.parse().map_err(|error: disyre::diffusion::DiffusionError| error.to_string())
}

fn parse_device(text: &str) -> Result<DeviceRequest, String> {
    text.parse().map_err(|error: disyre::diffusion::DiffusionError| error.to_string())
}
