//! `disyre pack`: the copy of a model that one hands on.

use std::path::PathBuf;

use clap::Args;
use disyre::ModelFolder;

use crate::arguments::ModelArguments;
use crate::error::CliError;
use crate::output_files::{ensure_writable, holds_files};

const OUTPUTS: &str = "\
The folder is a model like the one it was made of, for every command (the model within this program can be calibrated so): ema.safetensors (16 bits; 11 of them significant),
config.json, preparation.json, tissue.json, run.toml, run.json and its calibration. Maps differ slightly from those of the weights of 32 bits.";

/// Arguments of `disyre pack`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Pack {
    #[command(flatten)]
    model: ModelArguments,
    /// Folder of the copy; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

impl Pack {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        let model = self.model.open()?;
        if holds_files(&self.output) {
            let (folder, alternative) = (self.output.clone(), "empty it");
            return Err(CliError::NotEmpty { folder, alternative });
        }
        ensure_writable(&self.output)?;
        model.pack(&self.output)?;
        let packed = ModelFolder::open(&self.output)?;
        print_line!("{}: weights SHA-256 {}", self.output.display(), packed.weights_sha256());
        Ok(())
    }
}
