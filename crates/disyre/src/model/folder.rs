//! The folder that training leaves: which files it has, and what they say. [`Model`](crate::Model) is loaded from it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use disyre_diffusion::{
    CONFIG_FILE, ColdRestorer, ModelConfig, Parameters, TRAINING_FILE, Weights, weights_sha256,
};
use serde_json::Value;

use super::{LoadOptions, Model};
use crate::config::first_difference;
use crate::train::{PREPARATION_FILE, RECORD_FILE, SETTINGS_FILE};
use crate::{Calibration, DetectOptions, Error, Preparation, RunConfig, TrainReport};

/// Folder of a trained model, its settings read, its weights not yet.
///
/// The network is described by `config.json`; `run.toml` keeps the settings of training and has to agree with it.
///
/// ```
#[doc = include_str!("doctest_model.txt")]
/// use disyre::{LoadOptions, ModelFolder};
///
/// let folder = ModelFolder::open("model")?;
/// assert_eq!((folder.network().patch, folder.weights_sha256().len()), ([1, 16, 16], 64));
/// let model = folder.load(&LoadOptions::default())?; // the CPU, and the precision of the settings
/// assert_eq!(model.folder().config().train.steps, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ModelFolder {
    path: PathBuf,
    config: RunConfig,
    preparation: Preparation,
    network: ModelConfig,
    weights: Weights,
    weights_sha256: String,
}

impl ModelFolder {
    /// Reads a folder's settings and finds its weights: the moving average where there is one, else those of the last
    /// step.
    ///
    /// # Errors
    /// [`Error::NotAModel`] naming the missing file, [`Error::Disagreement`] where `run.toml` and `config.json` describe
    /// different networks, [`Error::Preparation`] where `preparation.json` has other settings, and those of reading.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let missing = |missing| Error::NotAModel { folder: folder.to_owned(), missing };
        let has = |file: &str| folder.join(file).is_file();
        if !has(SETTINGS_FILE) {
            return Err(missing(SETTINGS_FILE));
        }
        let weights = [Weights::Ema, Weights::Raw].into_iter().find(|w| has(w.file_name()));
        let weights = weights.ok_or_else(|| missing(Weights::Raw.file_name()))?;
        if !has(CONFIG_FILE) {
            return Err(missing(CONFIG_FILE));
        }
        let config = RunConfig::load(&folder.join(SETTINGS_FILE))?;
        let preparation = load_preparation(folder, &config)?;
        let network = ModelConfig::load(folder)?;
        ensure_agree(folder, &config, &network)?;
        let weights_sha256 = weights_sha256(&folder.join(weights.file_name()))?;
        Ok(Self { path: folder.to_owned(), config, preparation, network, weights, weights_sha256 })
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings that it was trained with: `run.toml`.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The preparation of scans: that of the cohort.
    pub fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// The network, the levels of severity that it knows and the size of its patches: `config.json`.
    pub fn network(&self) -> &ModelConfig {
        &self.network
    }

    /// The weights in use.
    pub fn weights(&self) -> Weights {
        self.weights
    }

    /// SHA-256 of the file of these weights, hexadecimal.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// The settings of detection that it was trained with; those of a calibration are
    /// [`Calibration::detect_options`](crate::Calibration::detect_options).
    pub fn detect_options(&self) -> DetectOptions {
        self.config.detect_options()
    }

    /// Reads its calibration; `None`: it has none.
    ///
    /// # Errors
    /// [`Error::CalibrationOfOtherWeights`], and those of [`Calibration::load`].
    pub fn calibration(&self) -> Result<Option<Calibration>, Error> {
        Calibration::find_in(&self.path, &self.weights_sha256)
    }

    /// Reads the weights, puts the network on a device, and reads the calibration, if there is one.
    ///
    /// # Errors
    /// [`Error::Diffusion`] for weights of another network, and for a device that cannot be used; those of
    /// [`calibration`](Self::calibration).
    pub fn load(self, options: &LoadOptions) -> Result<Model, Error> {
        let engine = options.engine.unwrap_or(self.config.detect.engine);
        let device = &options.device;
        let restorer = ColdRestorer::load_with(&self.path, self.weights, device, engine)?;
        let device = format!("{}; {}", device.reason(), engine.describe(device)?);
        let calibration = if options.uncalibrated { None } else { self.calibration()? };
        Ok(Model { folder: self, restorer, calibration, engine, device })
    }

    /// Number of the network's weights, which are read for that.
    ///
    /// # Errors
    /// [`Error::Diffusion`] for weights of another network.
    pub fn parameter_count(&self) -> Result<usize, Error> {
        let weights = self.path.join(self.weights.file_name());
        Ok(Parameters::load(&self.network.network, &weights)?.count())
    }

    /// The record of the training, with the step of the last checkpoint; `None` where `run.json` is missing.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Config`] naming the file.
    pub fn report(&self) -> Result<Option<TrainReport>, Error> {
        let path = self.path.join(RECORD_FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Error::io("read", &path))?,
        };
        let report: Result<TrainReport, _> = serde_json::from_str(&text);
        let mut report = report.map_err(Error::config(&path))?;
        report.steps = self.checkpoint_step()?.unwrap_or(report.steps);
        Ok(Some(report))
    }

    /// The step of the last checkpoint, which a run that was killed could not put into its record.
    fn checkpoint_step(&self) -> Result<Option<u64>, Error> {
        let path = self.path.join(TRAINING_FILE);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(Error::io("read", &path))?,
        };
        // A safetensors file begins with the length of its JSON header.
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(Error::io("read", &path))?;
        let mut header = String::new();
        file.take(u64::from_le_bytes(length))
            .read_to_string(&mut header)
            .map_err(Error::io("read", &path))?;
        let json = |text: &str| serde_json::from_str::<Value>(text).map_err(Error::config(&path));
        let header = json(&header)?;
        let saved = header["__metadata__"]["disyre"].as_str().unwrap_or("{}");
        Ok(json(saved)?["step"].as_u64())
    }
}

/// The preparation of a folder's settings, with what was fitted to the cohort.
fn load_preparation(folder: &Path, config: &RunConfig) -> Result<Preparation, Error> {
    let unfitted = Preparation::unfitted(&config.prepare)?;
    if unfitted.is_fitted() {
        return Ok(unfitted);
    }
    let path = folder.join(PREPARATION_FILE);
    if !path.is_file() {
        return Err(Error::NotAModel { folder: folder.to_owned(), missing: PREPARATION_FILE });
    }
    let preparation = Preparation::load(&path)?;
    match *preparation.config() == config.prepare {
        true => Ok(preparation),
        false => Err(Error::Preparation { path, settings: folder.join(SETTINGS_FILE) }),
    }
}

/// Checks that both files of a folder describe one network.
fn ensure_agree(folder: &Path, config: &RunConfig, network: &ModelConfig) -> Result<(), Error> {
    let of_run = config.model();
    let field = if of_run.patch != network.patch {
        "pairs.patch".to_owned()
    } else if of_run.network != network.network {
        let field = first_difference(&of_run.network, &network.network);
        field.map_or("network".to_owned(), |field| format!("network.{field}"))
    } else if of_run.corruption_map != network.corruption_map {
        "corruption_map".to_owned()
    } else {
        return Ok(());
    };
    let [settings, network] = [SETTINGS_FILE, CONFIG_FILE].map(|file| folder.join(file));
    Err(Error::Disagreement { settings, network, field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_with_numbers_that_toml_cannot_hold_are_compared_too() {
        let mut config = RunConfig::cpu_2mm();
        config.network.groups = 1 << 63;
        let mut network = config.model();
        ensure_agree(Path::new("model"), &config, &network).unwrap();
        network.network.groups += 1;
        let error = ensure_agree(Path::new("model"), &config, &network).unwrap_err();
        assert!(matches!(error, Error::Disagreement { field, .. } if field.starts_with("network")));
    }
}
