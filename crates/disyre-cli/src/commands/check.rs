//! `disyre check`: what is wrong with the scans of a folder, and how to mend it.

use std::path::PathBuf;

use clap::Args;
use disyre::{CheckConfig, CheckLevel, check_folder};

use crate::arguments::{SkullArguments, ThreadArguments};
use crate::error::CliError;
use crate::output_files::to_json;
use crate::print;

const LEVELS: &str = "\
Every finding is a pass, a warning or a failure, with its fix:
  warn  the scan is used as it is, and somebody should look
  fail  `disyre train` and `disyre detect` refuse it under the same options, or would lose or misuse it
Exit status: 0 without failures, 1 with any.";

/// Arguments of `disyre check`.
#[derive(Debug, Args)]
#[command(after_help = LEVELS)]
pub(crate) struct Check {
    /// Folder of scans (.nii, .nii.gz), or one scan
    #[arg(value_name = "DIR|FILE")]
    input: PathBuf,
    /// A brain mask, or a folder with one for each scan, named as for `disyre detect`
    #[arg(long, value_name = "FILE|DIR")]
    mask: Option<PathBuf>,
    /// Look at names and headers alone, as training does before it reads a voxel
    #[arg(long)]
    headers: bool,
    /// Print JSON: all findings, passes too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    skull: SkullArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl Check {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        let config = CheckConfig {
            masks: self.mask.clone(),
            skull: self.skull.policy().unwrap_or_default(),
            headers_only: self.headers,
        };
        let report = check_folder(&self.input, &config)?;
        match self.json {
            true => print::result(&(to_json(&report)? + "\n"))?,
            false => print::result(&format!("{report}\n"))?,
        }
        let (failed, files) = (report.count(CheckLevel::Fail), report.files.len());
        match failed {
            0 => Ok(()),
            _ => Err(CliError::CheckFailed { folder: self.input.clone(), failed, files }),
        }
    }
}
