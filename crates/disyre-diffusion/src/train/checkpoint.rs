//! Checkpoints: writing a run's state and resuming from it.

use std::path::Path;

use disyre_core::ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use super::TrainConfig;
use super::trainer::Trainer;
use crate::difference::first_difference;
use crate::engine::State;
use crate::files::{Arrays, read_arrays, read_metadata, write_arrays};
use crate::model::{EMA_FILE, MODEL_FILE, TRAINING_FILE};
use crate::network::Entry;
use crate::parameters::array;
use crate::{Device, DiffusionError, ModelConfig, Parameters};

/// Key of the settings within the metadata of the file that a run resumes from.
const SETTINGS: &str = "disyre";
/// Prefixes of the tensors of that file, before the parameter's name.
const WEIGHT: &str = "weight.";
const MOMENT1: &str = "moment1.";
const MOMENT2: &str = "moment2.";
const AVERAGE: &str = "average.";
/// Fields that may change when a run resumes: they do not touch the weights.
const FREE: [&str; 5] = [
    "model.version",
    "train.checkpoint_every",
    "train.recompute",
    "train.validation_every",
    "train.validation_pairs",
];

/// Settings of a run, as kept beside its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) model: ModelConfig,
    pub(crate) train: TrainConfig,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    step: u64,
    #[serde(flatten)]
    settings: Settings,
}

impl Settings {
    /// Writes weights, their average and the whole state of a run, each file in one piece, the state last.
    pub(crate) fn save(&self, dir: &Path, trainer: &Trainer) -> Result<(), DiffusionError> {
        let (entries, kept) = (trainer.entries(), trainer.state()?);
        let format = || ("format", "pt".to_owned());
        write_arrays(&dir.join(MODEL_FILE), part(entries, "", &kept.weights), format())?;
        if let Some(average) = &kept.average {
            write_arrays(&dir.join(EMA_FILE), part(entries, "", average), format())?;
        }
        let mut state = part(entries, WEIGHT, &kept.weights);
        state.extend(part(entries, MOMENT1, &kept.moment1));
        state.extend(part(entries, MOMENT2, &kept.moment2));
        state.extend(kept.average.iter().flat_map(|average| part(entries, AVERAGE, average)));
        let path = dir.join(TRAINING_FILE);
        let saved = Saved { step: trainer.steps(), settings: self.clone() };
        let text = serde_json::to_string(&saved).map_err(broken_settings(&path))?;
        write_arrays(&path, state, (SETTINGS, text))
    }

    /// Reads the state of a run back.
    ///
    /// # Errors
    /// [`DiffusionError::ResumeMismatch`] if it was started under other settings.
    pub(crate) fn resume(&self, dir: &Path, device: &Device) -> Result<Trainer, DiffusionError> {
        let path = dir.join(TRAINING_FILE);
        let text = read_metadata(&path, SETTINGS)?.unwrap_or_default();
        let saved: Saved = serde_json::from_str(&text).map_err(broken_settings(&path))?;
        self.ensure_continues(&saved.settings, &path)?;
        let mut tensors = read_arrays(&path)?;
        let mut group = |prefix: &str| -> Arrays {
            let names = tensors.keys().filter(|name| name.starts_with(prefix)).cloned();
            let names: Vec<String> = names.collect();
            let taken = names.iter().filter_map(|name| tensors.remove_entry(name));
            taken.map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect()
        };
        let (weights, moment1, moment2) = (group(WEIGHT), group(MOMENT1), group(MOMENT2));
        let average = group(AVERAGE);
        let parameters = Parameters::from_arrays(&self.model.network, weights, &path)?;
        let mut trainer = Trainer::new(&parameters, self, device)?;
        let all = |group| joined(trainer.entries(), parameters.count(), group, &path);
        let state = State {
            weights: trainer.state()?.weights,
            moment1: all(moment1)?,
            moment2: all(moment2)?,
            average: (self.train.ema_decay > 0.0).then(|| all(average)).transpose()?,
        };
        trainer.continue_from(&state, saved.step)?;
        Ok(trainer)
    }

    fn ensure_continues(&self, saved: &Self, path: &Path) -> Result<(), DiffusionError> {
        let value = |settings| serde_json::to_value(settings).map_err(broken_settings(path));
        let (saved, requested) = (value(saved)?, value(self)?);
        match first_difference(&saved, &requested, &FREE) {
            Some((field, saved, requested)) => {
                Err(DiffusionError::ResumeMismatch { field, saved, requested })
            }
            None => Ok(()),
        }
    }
}

fn broken_settings(path: &Path) -> impl Fn(serde_json::Error) -> DiffusionError + '_ {
    move |source| DiffusionError::Settings { path: path.to_path_buf(), source }
}

/// Every parameter's share of `all`, under prefixed names.
fn part(entries: &[Entry], prefix: &str, all: &[f32]) -> Vec<(String, ArrayD<f32>)> {
    let named =
        |entry: &Entry| (format!("{prefix}{}", entry.name), array(&entry.shape, entry.read(all)));
    entries.iter().map(named).collect()
}

/// The reverse of [`part`].
fn joined(
    entries: &[Entry],
    len: usize,
    mut group: Arrays,
    path: &Path,
) -> Result<Vec<f32>, DiffusionError> {
    let mut all = vec![0.0; len];
    for entry in entries {
        match group.remove(&entry.name) {
            Some(array) if array.shape() == entry.shape => {
                entry.write(array.iter().copied(), &mut all);
            }
            _ => {
                return Err(DiffusionError::OtherNetwork {
                    path: path.to_path_buf(),
                    name: entry.name.clone(),
                    problem: "lacks a fitting state of the optimiser".into(),
                });
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { model: ModelConfig::default(), train: TrainConfig::default() }
    }

    fn difference(change: impl Fn(&mut Settings)) -> Option<String> {
        let mut other = settings();
        change(&mut other);
        let differs = other.ensure_continues(&settings(), Path::new("state"));
        differs.err().map(|error| error.to_string())
    }

    #[test]
    fn the_field_that_differs_is_named_with_both_values() {
        let message = difference(|other| other.train.batch = 7).unwrap();
        assert!(message.contains("train.batch was 96 and is now 7"), "{message}");
        let message = difference(|other| other.model.network.channels = vec![32]).unwrap();
        assert!(message.contains("model.network.channels was [32,64,"), "{message}");
    }

    #[test]
    fn how_often_to_look_may_change() {
        assert_eq!(difference(|_| ()), None);
        assert_eq!(difference(|other| other.train.checkpoint_every = 1), None);
        assert_eq!(difference(|other| other.train.validation_pairs = 1), None);
    }
}
