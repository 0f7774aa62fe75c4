//! `disyre gpu-check`: whether a GPU computes what the CPU computes, and how fast.

mod comparison;
mod speed;

use std::path::PathBuf;

use clap::Args;
use disyre::diffusion::{Device, DeviceRequest, Engine, Precision};

use crate::arguments::parse_device;
use crate::error::CliError;
use crate::output_files::create_folder;
use comparison::{Bench, Outcome};

const VERDICT: &str = "\
First ensembles and steps of training are compared, then the published network is timed, and a whole scan is scored.
The last line is the verdict. Exit status: 0, all is equal, or there is no device to check; 1, something differs or
failed; 4, there is no device although the environment variable DISYRE_REQUIRE_CUDA is 1.";

/// Arguments of `disyre gpu-check`.
#[derive(Debug, Args)]
#[command(after_help = VERDICT)]
pub(crate) struct GpuCheck {
    /// Folder in which models are trained for a moment and removed; made if it is not there
    /// [default: the system's folder of temporary files]
    #[arg(value_name = "DIR", default_value_os_t = std::env::temp_dir(), hide_default_value = true)]
    folder: PathBuf,
    /// Device to check
    #[arg(value_name = "DEVICE", default_value = "cuda:0", value_parser = parse_device)]
    device: DeviceRequest,
    /// Batch that is timed, or the largest that fits; published: 96
    #[arg(value_name = "N", default_value_t = 96)]
    batch: usize,
}

impl GpuCheck {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        let selected = match Device::open(self.device) {
            Ok(selected) => selected,
            Err(error) => {
                print_line!("verdict: nothing was checked: {error}");
                let required = std::env::var_os("DISYRE_REQUIRE_CUDA").is_some_and(|v| v == "1");
                return if required { Err(CliError::NoGpu) } else { Ok(()) };
            }
        };
        print_line!("device: {}", selected.reason());
        create_folder(&self.folder)?;
        match self.check(&selected) {
            Ok(true) => {
                print_line!("verdict: it computes what the CPU computes");
                Ok(())
            }
            Ok(false) => {
                print_line!("verdict: it does NOT compute what the CPU computes");
                Err(CliError::GpuDiffers)
            }
            Err(source) => {
                print_line!("verdict: it FAILED: {source}");
                Err(CliError::GpuFailed(source))
            }
        }
    }

    /// Tells whether all comparisons hold; prints them, and the times if they do.
    fn check(&self, device: &Device) -> Outcome<bool> {
        let (folder, mut equal) = (self.folder.as_path(), true);
        for (precision, tolerance) in [(Precision::F32, 2e-4), (Precision::Bf16, 0.1)] {
            let bench = Bench { device, engine: Engine::Fused(precision), folder, batch: 4 };
            print_line!("correctness, {}", bench.engine.describe(device)?);
            for (what, difference) in bench.differences()? {
                let holds = difference <= tolerance;
                let word = if holds { "ok" } else { "WRONG" };
                print_line!("  {what:20} off by {difference:.1e}, allowed {tolerance:.0e}: {word}");
                equal &= holds;
            }
        }
        if equal {
            // What cannot be timed is no less right.
            speed::measure(device, folder, self.batch)
                .unwrap_or_else(|error| print_line!("not timed: {error}"));
        }
        Ok(equal)
    }
}
