//! The folder that training leaves: which files it has, and what they say. [`Model`](crate::Model) is loaded from it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use disyre_diffusion::{
    CONFIG_FILE, ColdRestorer, ModelConfig, Parameters, TRAINING_FILE, Weights,
};
use disyre_tissue::FittedTissues;
use disyre_volume::sha256_of_bytes;
use serde_json::Value;

use super::{LoadOptions, Model};
use crate::calibration::{CALIBRATION_FILE, CALIBRATION_FOLDER};
use crate::config::first_difference;
use crate::stored_files::StoredFiles;
use crate::train::{PREPARATION_FILE, RECORD_FILE, SETTINGS_FILE, TISSUE_FILE};
use crate::{Calibration, DetectOptions, Error, Preparation, RunConfig, TrainReport};

/// Folder of a trained model, its settings read, its weights not yet. With the feature `weights` one is part of the
/// program: `ModelFolder::embedded`.
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
    pub(super) files: StoredFiles,
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
        Self::of_files(StoredFiles::of_folder(folder.as_ref()))
    }

    /// The model that is part of the program: `disyre_weights`, with its model card.
    ///
    /// # Errors
    /// As [`open`](Self::open): none, unless the crate `disyre-weights` was damaged.
    #[cfg(feature = "weights")]
    pub fn embedded() -> Result<Self, Error> {
        Self::of_files(StoredFiles::embedded("disyre-weights/model", disyre_weights::FILES))
    }

    fn of_files(files: StoredFiles) -> Result<Self, Error> {
        let missing = |missing| Error::NotAModel { folder: files.folder().to_owned(), missing };
        if !files.has(SETTINGS_FILE) {
            return Err(missing(SETTINGS_FILE));
        }
        let weights = [Weights::Ema, Weights::Raw].into_iter().find(|w| files.has(w.file_name()));
        let weights = weights.ok_or_else(|| missing(Weights::Raw.file_name()))?;
        if !files.has(CONFIG_FILE) {
            return Err(missing(CONFIG_FILE));
        }
        let config =
            RunConfig::parse(&files.read_text(SETTINGS_FILE)?, &files.path(SETTINGS_FILE))?;
        let preparation = load_preparation(&files, &config)?;
        let network = ModelConfig::from_bytes(&files.read(CONFIG_FILE)?, &files.path(CONFIG_FILE))?;
        ensure_agree(files.folder(), &config, &network)?;
        let weights_sha256 = sha256_of_bytes(&files.read(weights.file_name())?);
        let folder = Self { files, config, preparation, network, weights, weights_sha256 };
        // A record that is empty or cut short is that of a damaged folder.
        folder.record()?;
        Ok(folder)
    }

    /// Path of the folder; a name for messages where the model is part of the program.
    pub fn path(&self) -> &Path {
        self.files.folder()
    }

    /// Whether the model is part of the program.
    pub fn is_embedded(&self) -> bool {
        self.files.are_embedded()
    }

    /// Name and version of the model that is part of the program, where this is that model.
    pub fn embedded_name(&self) -> Option<String> {
        #[cfg(feature = "weights")]
        if self.is_embedded() {
            return Some(format!("{} {}", disyre_weights::NAME, disyre_weights::VERSION));
        }
        None
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
        Calibration::find_in(&self.files, &self.weights_sha256)
    }

    /// Hashes of the files beside weights and settings that a detection depends on: the network's, that of the preparation,
    /// and the record of the calibration, which holds the hashes of its maps.
    pub(super) fn fitted_files_sha256(&self, calibrated: bool) -> Result<String, Error> {
        let calibration = self.files.subfolder(CALIBRATION_FOLDER);
        let of_model = [CONFIG_FILE, PREPARATION_FILE].map(|file| (&self.files, file));
        let of_calibration = calibrated.then_some((&calibration, CALIBRATION_FILE));
        let hash = |(files, file): (&StoredFiles, &str)| match files.has(file) {
            true => Ok(format!("{file} {}\n", sha256_of_bytes(&files.read(file)?))),
            false => Ok(String::new()),
        };
        of_model.into_iter().chain(of_calibration).map(hash).collect()
    }

    /// Reads the weights, puts the network on a device, and reads the calibration, if there is one.
    ///
    /// # Errors
    /// [`Error::Diffusion`] for weights of another network, and for a device that cannot be used; those of
    /// [`calibration`](Self::calibration).
    pub fn load(self, options: &LoadOptions) -> Result<Model, Error> {
        let engine = options.engine.unwrap_or(self.config.detect.engine);
        let device = &options.device;
        let restorer =
            ColdRestorer::with(self.network.clone(), &self.parameters()?, device, engine)?;
        let on_cpu = device.is_cpu();
        let device = format!("{}; {}", device.reason(), engine.describe(device)?);
        let calibration = if options.uncalibrated { None } else { self.calibration()? };
        Ok(Model { folder: self, restorer, calibration, engine, device, on_cpu })
    }

    /// Number of the network's weights, which are read for that.
    ///
    /// # Errors
    /// [`Error::Diffusion`] for weights of another network.
    pub fn parameter_count(&self) -> Result<usize, Error> {
        Ok(self.parameters()?.count())
    }

    /// Reads the weights; those of 16 bits become numbers of 32.
    pub(crate) fn parameters(&self) -> Result<Parameters, Error> {
        let file = self.weights.file_name();
        let (bytes, path) = (self.files.read(file)?, self.files.path(file));
        Ok(Parameters::from_bytes(&self.network.network, &bytes, &path)?)
    }

    /// Reads the classes of tissue that were fitted to its training scans; `None`: none were, or a copy was packed without.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Tissue`] naming the file.
    pub fn tissues(&self) -> Result<Option<FittedTissues>, Error> {
        if !self.files.has(TISSUE_FILE) {
            return Ok(None);
        }
        let text = self.files.read(TISSUE_FILE)?;
        Ok(Some(FittedTissues::parse(&text, &self.files.path(TISSUE_FILE))?))
    }

    /// The record of the training, with the step of the last checkpoint; `None` where `run.json` is missing.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Config`] naming the file.
    pub fn report(&self) -> Result<Option<TrainReport>, Error> {
        let Some(mut report) = self.record()? else { return Ok(None) };
        report.steps = self.checkpoint_step()?.unwrap_or(report.steps);
        Ok(Some(report))
    }

    /// Why this model is not to be trusted as a finished one, in words; `None`: its training is finished.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub fn unfinished(&self) -> Result<Option<String>, Error> {
        let of = self.config.train.steps;
        Ok(match self.report()? {
            Some(report) if report.finished => None,
            Some(report) => Some(format!(
                "its training is not finished: step {} of {of}; `disyre train --resume` goes on with it",
                report.steps
            )),
            None => {
                Some("run.json is missing, so nothing says whether its training is finished".into())
            }
        })
    }

    /// The record of the training as it is.
    fn record(&self) -> Result<Option<TrainReport>, Error> {
        if !self.files.has(RECORD_FILE) {
            return Ok(None);
        }
        let report = serde_json::from_str(&self.files.read_text(RECORD_FILE)?);
        report.map(Some).map_err(Error::config(&self.files.path(RECORD_FILE)))
    }

    /// The step of the last checkpoint, which a run that was killed could not put into its record.
    fn checkpoint_step(&self) -> Result<Option<u64>, Error> {
        // Checkpoints are never part of a program.
        if self.is_embedded() || !self.files.has(TRAINING_FILE) {
            return Ok(None);
        }
        let path = self.files.path(TRAINING_FILE);
        let mut file = File::open(&path).map_err(Error::io("read", &path))?;
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
fn load_preparation(files: &StoredFiles, config: &RunConfig) -> Result<Preparation, Error> {
    let unfitted = Preparation::unfitted(&config.prepare)?;
    if unfitted.is_fitted() {
        return Ok(unfitted);
    }
    let path = files.path(PREPARATION_FILE);
    if !files.has(PREPARATION_FILE) {
        let folder = files.folder().to_owned();
        return Err(Error::NotAModel { folder, missing: PREPARATION_FILE });
    }
    let preparation = Preparation::parse(&files.read_text(PREPARATION_FILE)?, &path)?;
    match *preparation.config() == config.prepare {
        true => Ok(preparation),
        false => Err(Error::Preparation { path, settings: files.path(SETTINGS_FILE) }),
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
