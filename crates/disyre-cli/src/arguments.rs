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
        quieten_candle();
        let Some(threads) = self.threads.map(usize::from) else { return Ok(()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().map_err(|source| CliError::Threads { threads, source })
    }
}

/// Starts this program once more, in its own place, with candle's second pool of threads switched off.
///
/// That pool spins beside ours, which does the heavy work: 20 steps of the demo's training took 28 s of processor time
/// with it and 18 s without. Its size is read from the environment alone, which a program may not change safely once
/// it runs. Where a program cannot take its own place, or someone has set the variable, nothing happens.
#[cfg(unix)]
fn quieten_candle() {
    use std::os::unix::process::CommandExt;
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let arguments = std::env::args_os().skip(1);
        let failure = std::process::Command::new(program).args(arguments).env(VARIABLE, "1").exec();
        eprintln!(
            "warning: could not start anew with {VARIABLE}=1 ({failure}); going on more slowly"
        );
    }
}

#[cfg(not(unix))]
fn quieten_candle() {}

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
    engine: Option<Engine>,
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
