//! The settings of a model and the names of the files in its folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{read_json, write_json};
use crate::{DiffusionError, ScheduleConfig, UNetConfig};

/// Name of the model's settings within its folder.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the weights as trained.
pub const MODEL_FILE: &str = "model.safetensors";
/// Name of the moving average of the weights.
pub const EMA_FILE: &str = "ema.safetensors";
/// Name of the file that a run resumes from.
pub const TRAINING_FILE: &str = "training.safetensors";

/// All that is needed to use a set of weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Version of the crate that wrote the file.
    #[serde(default = "this_version")]
    pub version: String,
    /// The network.
    #[serde(default)]
    pub network: UNetConfig,
    /// The levels of severity that it knows.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// Shape `(z, y, x)` of the images that it was trained on, in voxels. Published: 1, 128, 128.
    pub patch: [usize; 3],
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            version: this_version(),
            network: UNetConfig::default(),
            schedule: ScheduleConfig::default(),
            patch: [1, 128, 128],
        }
    }
}

fn this_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

impl ModelConfig {
    /// Checks network, schedule and patch against each other.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] or [`DiffusionError::Indivisible`].
    pub fn ensure_valid(&self) -> Result<(), DiffusionError> {
        self.network.ensure_valid()?;
        self.schedule.build()?;
        let [z, y, x] = self.patch;
        if z == 0 {
            return Err(DiffusionError::config("patch", "at least one voxel each way", self.patch));
        }
        if self.network.in_channels != self.network.out_channels {
            let expected = "network.in_channels, since the output is the restored input";
            let got = self.network.out_channels;
            return Err(DiffusionError::config("network.out_channels", expected, got));
        }
        self.network.ensure_divisible(y, x)
    }

    /// Reads `config.json` of a model's folder.
    ///
    /// # Errors
    /// [`DiffusionError`] if it cannot be read, holds an unknown key, or cannot work.
    pub fn load(dir: &Path) -> Result<Self, DiffusionError> {
        let config: Self = read_json(&dir.join(CONFIG_FILE))?;
        config.ensure_valid()?;
        Ok(config)
    }

    /// Writes `config.json` of a model's folder.
    ///
    /// # Errors
    /// [`DiffusionError::File`].
    pub fn save(&self, dir: &Path) -> Result<(), DiffusionError> {
        write_json(&dir.join(CONFIG_FILE), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_from_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let config = ModelConfig { patch: [1, 64, 96], ..ModelConfig::default() };
        config.save(folder.path()).unwrap();
        assert_eq!(ModelConfig::load(folder.path()).unwrap(), config);
    }

    #[test]
    fn a_misspelt_key_stops_the_load_and_the_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG_FILE);
        std::fs::write(path, r#"{"patch": [1, 64, 64], "shedule": {}}"#).unwrap();
        let error = ModelConfig::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("config.json does not hold"), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("unknown field `shedule`"), "{source}");
    }

    #[test]
    fn a_patch_that_the_network_cannot_halve_is_an_error() {
        let config = ModelConfig { patch: [1, 128, 48], ..ModelConfig::default() };
        assert!(matches!(config.ensure_valid(), Err(DiffusionError::Indivisible { .. })));
    }
}
