//! `disyre pack`: the copy of a model that one hands on.

use std::path::PathBuf;

use clap::Args;
use disyre::ModelFolder;

use crate::error::CliError;
use crate::output_files::holds_files;

const OUTPUTS: &str = "\
The folder is a model like the one it was made of, for every command: ema.safetensors (16 bits; 11 of them significant),
config.json, preparation.json, run.toml, run.json and its calibration. Maps differ slightly from those of the weights of 32 bits.";

/// Arguments of `disyre pack`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Pack {
    /// Folder of a trained model
    #[arg(short, long, value_name = "MODEL_DIR")]
    model: PathBuf,
    /// Folder of the copy; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

impl Pack {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        let model = ModelFolder::open(&self.model)?;
        if holds_files(&self.output) {
            let (folder, alternative) = (self.output.clone(), "empty it");
            return Err(CliError::NotEmpty { folder, alternative });
        }
        model.pack(&self.output)?;
        let packed = ModelFolder::open(&self.output)?;
        println!("{}: weights SHA-256 {}", self.output.display(), packed.weights_sha256());
        Ok(())
    }
}
