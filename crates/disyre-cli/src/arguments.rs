//! Arguments that several commands share: model, threads, skulls, device, precision.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use disyre::diffusion::{Device, DeviceRequest, Engine, Precision};
use disyre::volume::MemoryLeft;
use disyre::{ModelFolder, RunConfig, SkullPolicy};

use crate::error::CliError;

/// A trained model that is only read.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArguments {
    #[cfg_attr(
        feature = "weights",
        doc = "Folder of a trained model [default: the model within this program, for T1-weighted scans of adult \
               brains; its card: `disyre info --card`]"
    )]
    #[cfg_attr(
        not(feature = "weights"),
        doc = "Folder of a trained model (this program was built without one of its own)"
    )]
    #[arg(short, long, value_name = "MODEL_DIR")]
    model: Option<PathBuf>,
}

impl ModelArguments {
    /// The folder that was given.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    /// Reads the settings of the model; where none is given, takes the one within the program and says so.
    ///
    /// # Errors
    /// Those of [`ModelFolder::open`]; [`CliError::NoModel`] where the program has none.
    pub(crate) fn open(&self) -> Result<ModelFolder, CliError> {
        let Some(path) = &self.model else {
            let model = embedded_model()?;
            note!(
                "model: {}, part of this program; weights SHA-256 {}; research use only, not for diagnosis; \
                 card: disyre info --card",
                model.embedded_name().unwrap_or_default(),
                model.weights_sha256()
            );
            return Ok(model);
        };
        open_model(path)
    }
}

/// Reads the settings of a model, and warns of one whose training is not finished.
///
/// # Errors
/// Those of [`ModelFolder::open`].
pub(crate) fn open_model(path: &Path) -> Result<ModelFolder, CliError> {
    let model = ModelFolder::open(path)?;
    if let Some(reason) = model.unfinished()? {
        note!("warning: the model {}: {reason}", path.display());
    }
    Ok(model)
}

/// The model within the program.
#[cfg(feature = "weights")]
pub(crate) fn embedded_model() -> Result<ModelFolder, CliError> {
    Ok(ModelFolder::embedded()?)
}

/// The error of a program without a model.
#[cfg(not(feature = "weights"))]
pub(crate) fn embedded_model() -> Result<ModelFolder, CliError> {
    Err(CliError::NoModel)
}

/// Greatest number of threads for each core: thousands spend their time waking each other.
const MOST_THREADS_PER_CORE: usize = 16;

/// Number of threads.
#[derive(Debug, Clone, Args)]
pub(crate) struct ThreadArguments {
    /// Threads to compute with [default: one per core]; results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl ThreadArguments {
    /// The number that was asked for.
    pub(crate) fn asked(&self) -> Option<u16> {
        self.threads
    }

    /// Sizes the pool that all stages share; call it once, before any work.
    pub(crate) fn apply(&self) -> Result<(), CliError> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let most = MOST_THREADS_PER_CORE * cores;
        let asked = self.threads.map(usize::from).or_else(threads_of_environment).unwrap_or(cores);
        if asked > most {
            note!("{asked} threads are more than {cores} cores can use: computing with {most}");
        }
        let threads = asked.min(most);
        // Also where nothing is asked for: a pool that rayon makes by itself panics where the system gives no threads.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().map_err(|source| CliError::Threads { threads, source })
    }
}

/// Bound of the program's memory.
#[derive(Debug, Clone, Args)]
pub(crate) struct MemoryArguments {
    /// Memory that the program may take, such as 4G or 512M (powers of 1024). What needs more by its forecast, as scans with
    /// wrong voxel sizes do, is refused with both numbers [default: what the machine and its container or job have free]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
}

impl MemoryArguments {
    /// Sets the bound; call it before any work.
    pub(crate) fn apply(&self) {
        if let Some(bytes) = self.max_memory {
            MemoryLeft::allow(bytes);
        }
    }
}

/// Bytes from a number with a unit: none, K, M, G or T, alone or as in GB and GiB.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(format!("{unit:?} is none of K, M, G and T")),
    };
    let number: f64 =
        number.parse().map_err(|_| "not a number with a unit, such as 4G".to_owned())?;
    let bytes = number * 1024f64.powi(power);
    // A bound that no work fits under is a slip: a number without its unit.
    match bytes >= 1048576.0 {
        true => Ok(bytes as u64),
        false => Err("less than 1M: is the unit missing, as in 4G?".to_owned()),
    }
}

/// Number of threads in the variable that rayon reads.
fn threads_of_environment() -> Option<usize> {
    let threads: usize = std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok()?;
    Some(threads).filter(|&threads| threads > 0)
}

/// Treatment of scans with a skull.
#[derive(Debug, Clone, Args)]
pub(crate) struct SkullArguments {
    /// Find the brain of scans that hold a whole head; those that are stripped are left alone [default: a head is an error; `disyre bids` strips it]
    #[arg(long)]
    strip: bool,
    /// The scans are stripped: do not look whether they hold a head
    #[arg(long, conflicts_with = "strip")]
    stripped: bool,
}

impl SkullArguments {
    /// The policy that was asked for.
    pub(crate) fn policy(&self) -> Option<SkullPolicy> {
        match (self.strip, self.stripped) {
            (true, _) => Some(SkullPolicy::Strip),
            (_, true) => Some(SkullPolicy::Ignore),
            _ => None,
        }
    }

    /// The flag that was given.
    pub(crate) fn flag(&self) -> Option<&'static str> {
        match (self.strip, self.stripped) {
            (true, _) => Some("--strip"),
            (_, true) => Some("--stripped"),
            _ => None,
        }
    }

    /// Puts the policy into the settings of scans that are read from files.
    pub(crate) fn over(&self, config: &mut RunConfig) {
        config.prepare.skull = self.policy().unwrap_or(config.prepare.skull);
    }
}

/// Device of the network.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceArguments {
    /// Device of the network: auto, cpu, or cuda:NUMBER
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = parse_device)]
    device: DeviceRequest,
}

impl DeviceArguments {
    /// The device as it is written.
    pub(crate) fn name(&self) -> String {
        self.device.to_string()
    }

    /// Finds the device and says which.
    pub(crate) fn select(&self) -> Result<Device, CliError> {
        let device = Device::open(self.device)?;
        note!("device: {}", device.reason());
        Ok(device)
    }
}

/// Precision of the network's products.
#[derive(Debug, Clone, Args)]
pub(crate) struct PrecisionArguments {
    /// Precision of the network's products: f32, bf16x3 (nearly as exact), or bf16 (faster where there are instructions
    /// for it) [default: the settings', f32 unless they say otherwise]
    #[arg(long, alias = "engine", value_name = "PRECISION", value_parser = parse_precision)]
    precision: Option<Precision>,
}

impl PrecisionArguments {
    /// The precision as it is written.
    pub(crate) fn name(&self) -> Option<String> {
        self.precision.map(|precision| precision.to_string())
    }

    /// The engine of the precision that was asked for.
    pub(crate) fn engine(&self) -> Option<Engine> {
        self.precision.map(Engine::Fused)
    }
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    text.parse::<Precision>().map_err(|error| error.to_string())
}

pub(crate) fn parse_device(text: &str) -> Result<DeviceRequest, String> {
    text.parse().map_err(|error: disyre::diffusion::DiffusionError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_powers_of_1024() {
        for text in ["4G", "4g", "4 GiB", "4GB", "4096M", "4294967296"] {
            assert_eq!(parse_size(text), Ok(4 << 30), "{text}");
        }
        assert_eq!(parse_size("1.5M"), Ok(3 << 19));
        for text in ["4", "G", "4X", "-1G", "", "1.2.3G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
