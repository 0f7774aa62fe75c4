use std::path::{Path, PathBuf};

use disyre::RunConfig;
use disyre::diffusion::{ColdRestorer, Device, Engine, Weights, weights_sha256};

use crate::error::CliError;

/// Name of the settings in a model's folder.
pub(crate) const SETTINGS: &str = "run.toml";

/// A trained model's folder.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) folder: PathBuf,
    /// Its settings.
    pub(crate) config: RunConfig,
    /// The moving average of the weights where there is one, else those of the last step.
    pub(crate) weights: Weights,
    pub(crate) weights_sha256: String,
}

impl Model {
    /// Reads the folder's settings and finds its weights.
    ///
    /// # Errors
    /// [`CliError::NotAModel`] naming the missing file, and those of reading.
    pub(crate) fn open(folder: &Path) -> Result<Self, CliError> {
        let missing = |missing| CliError::NotAModel { folder: folder.to_owned(), missing };
        if !folder.join(SETTINGS).is_file() {
            return Err(missing(SETTINGS));
        }
        let has = |weights: &Weights| folder.join(weights.file_name()).is_file();
        let weights = [Weights::Ema, Weights::Raw].into_iter().find(has);
        let weights = weights.ok_or_else(|| missing(Weights::Raw.file_name()))?;
        Ok(Self {
            folder: folder.to_owned(),
            config: RunConfig::load(&folder.join(SETTINGS))?,
            weights,
            weights_sha256: weights_sha256(&folder.join(weights.file_name()))?,
        })
    }

    /// Builds the network on a device.
    ///
    /// # Errors
    /// Those of [`ColdRestorer::load_with`].
    pub(crate) fn restorer(
        &self,
        device: Device,
        engine: Engine,
    ) -> Result<ColdRestorer, CliError> {
        Ok(ColdRestorer::load_with(&self.folder, self.weights, device, engine)?)
    }
}
