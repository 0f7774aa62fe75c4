use clap::Args;
use disyre::diffusion::{DeviceRequest, SelectedDevice, select_device};

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

fn parse_device(text: &str) -> Result<DeviceRequest, String> {
    text.parse().map_err(|error: disyre::diffusion::DiffusionError| error.to_string())
}
