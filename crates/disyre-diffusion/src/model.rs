//! The settings of a model and the names of the files in its folder.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::corruption_map::CorruptionMap;
use crate::files::write_json;
use crate::{CorruptionMapConfig, DiffusionError, ScheduleConfig, UNetConfig};

/// Name of the model's settings within its folder.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the weights as trained.
pub const MODEL_FILE: &str = "model.safetensors";
/// Name of the moving average of the weights.
pub const EMA_FILE: &str = "ema.safetensors";
/// Name of the file that a run resumes from.
pub const TRAINING_FILE: &str = "training.safetensors";

/// Greatest number of voxels of a patch: 8,000 times the published one.
const MOST_VOXELS: usize = 1 << 27;

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
    /// The network's second output; none: it restores only, as published. With it `network.out_channels` is
    /// `network.in_channels + 1`, see [`with_corruption_map`](Self::with_corruption_map).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corruption_map: Option<CorruptionMapConfig>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            version: this_version(),
            network: UNetConfig::default(),
            schedule: ScheduleConfig::default(),
            patch: [1, 128, 128],
            corruption_map: None,
        }
    }
}

fn this_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

impl ModelConfig {
    /// The same model with a second output: the network has one more channel for it.
    #[must_use]
    pub fn with_corruption_map(mut self, map: CorruptionMapConfig) -> Self {
        self.network.out_channels = self.network.in_channels + 1;
        self.corruption_map = Some(map);
        self
    }

    /// Checks network, schedule, patch and corruption map against each other.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] or [`DiffusionError::Indivisible`].
    pub fn ensure_valid(&self) -> Result<(), DiffusionError> {
        self.network.ensure_valid()?;
        self.schedule.build()?;
        let [z, y, x] = self.patch;
        let voxels = [z, y, x].into_iter().try_fold(1usize, usize::checked_mul);
        if z == 0 || voxels.is_none_or(|voxels| voxels > MOST_VOXELS) {
            let expected = format!("at least one voxel each way, and at most {MOST_VOXELS} in all");
            return Err(DiffusionError::config("patch", expected, self.patch));
        }
        let map = self.corruption_map()?;
        if self.network.out_channels != self.network.in_channels + usize::from(map.is_some()) {
            let expected = match map {
                None => "network.in_channels, since the output is the restored input",
                Some(_) => "network.in_channels + 1, for the restored input and its corruption map",
            };
            let got = self.network.out_channels;
            return Err(DiffusionError::config("network.out_channels", expected, got));
        }
        self.network.ensure_divisible(y, x)
    }

    /// The second output, if there is one.
    pub(crate) fn corruption_map(&self) -> Result<Option<CorruptionMap>, DiffusionError> {
        self.corruption_map.map(|map| map.build()).transpose()
    }

    /// Reads `config.json` of a model's folder.
    ///
    /// # Errors
    /// [`DiffusionError`] if it cannot be read, holds an unknown key, or cannot work.
    pub fn load(dir: &Path) -> Result<Self, DiffusionError> {
        let path = dir.join(CONFIG_FILE);
        Self::from_bytes(&fs::read(&path).map_err(DiffusionError::file(&path))?, &path)
    }

    /// Takes the bytes of a `config.json`, such as one that is part of the program; errors name `path`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, DiffusionError> {
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|source| DiffusionError::Settings { path: path.to_path_buf(), source })?;
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
    fn a_file_without_a_corruption_map_is_that_of_older_versions() {
        let text = serde_json::to_string(&ModelConfig::default()).unwrap();
        assert!(!text.contains("corruption"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let config = ModelConfig::default().with_corruption_map(CorruptionMapConfig::default());
        config.save(folder.path()).unwrap();
        assert_eq!(ModelConfig::load(folder.path()).unwrap(), config);
    }

    #[test]
    fn the_channels_that_go_out_are_those_of_the_outputs() {
        let mut config = ModelConfig::default().with_corruption_map(CorruptionMapConfig::default());
        config.ensure_valid().unwrap();
        config.network.out_channels = 1;
        let message = config.ensure_valid().unwrap_err().to_string();
        assert!(message.contains("network.out_channels is 1, expected network.in_channels + 1"));
        config.corruption_map = None;
        config.ensure_valid().unwrap();
        config.network.out_channels = 2;
        let message = config.ensure_valid().unwrap_err().to_string();
        assert!(message.contains("network.out_channels is 2, expected network.in_channels,"));
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
    fn a_patch_that_no_memory_holds_is_an_error() {
        for patch in [[1, 1 << 20, 1 << 20], [1 << 40, 1 << 40, 1 << 40], [0, 32, 32]] {
            let config = ModelConfig { patch, ..ModelConfig::default() };
            let message = config.ensure_valid().unwrap_err().to_string();
            assert!(message.starts_with("patch is"), "{message}");
        }
    }

    #[test]
    fn a_patch_that_the_network_cannot_halve_is_an_error() {
        let config = ModelConfig { patch: [1, 128, 48], ..ModelConfig::default() };
        assert!(matches!(config.ensure_valid(), Err(DiffusionError::Indivisible { .. })));
    }
}
