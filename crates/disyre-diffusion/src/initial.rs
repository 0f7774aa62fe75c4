//! The weights that a training starts from where they are those of another model.

use std::path::Path;

use serde_json::json;

use crate::difference::first_difference;
use crate::model::CONFIG_FILE;
use crate::{DiffusionError, ModelConfig, Parameters, Weights};

/// Reads a trained model's weights for a training of `model` to start from: [`TrainRun::initial`](crate::TrainRun).
///
/// Both have the same network and schedule; patches may differ. `model` may have a corruption map where the other has
/// none: the weights of that output are then 0, so that the restoration is the other model's at first. Where both have
/// one, its settings may differ.
///
/// # Errors
/// [`DiffusionError::OtherStart`] naming the first field that differs, and errors of reading the folder.
///
/// # Source
/// Ours: fine-tuning, for example on the scans of one's own scanner.
pub fn initial_parameters(
    model: &ModelConfig,
    folder: &Path,
    weights: Weights,
) -> Result<Parameters, DiffusionError> {
    model.ensure_valid()?;
    let other = ModelConfig::load(folder)?;
    let parameters = Parameters::load(&other.network, &folder.join(weights.file_name()))?;
    initial_parameters_of(model, &other, parameters, &folder.join(CONFIG_FILE))
}

/// The same of a model that is in memory; errors name `path` as its `config.json`.
///
/// # Errors
/// [`DiffusionError::OtherStart`] naming the first field that differs.
pub fn initial_parameters_of(
    model: &ModelConfig,
    other: &ModelConfig,
    parameters: Parameters,
    path: &Path,
) -> Result<Parameters, DiffusionError> {
    model.ensure_valid()?;
    ensure_same_network(model, other, path)?;
    Ok(match other.network == model.network {
        true => parameters,
        false => parameters.with_outputs(model.network.out_channels),
    })
}

/// Checks that the two differ at most in the corruption map that `model` has and the other has not.
fn ensure_same_network(
    model: &ModelConfig,
    other: &ModelConfig,
    path: &Path,
) -> Result<(), DiffusionError> {
    let (mut grown, mut ours) = (other.clone(), model.clone());
    match (other.corruption_map, model.corruption_map) {
        (None, Some(map)) => grown = grown.with_corruption_map(map),
        (Some(map), Some(_)) => ours.corruption_map = Some(map),
        _ => {}
    }
    let compared = |model: &ModelConfig| {
        let ModelConfig { network, schedule, corruption_map, .. } = model;
        json!({ "network": network, "schedule": schedule, "corruption_map": corruption_map })
    };
    match first_difference(&compared(&grown), &compared(&ours), &[]) {
        None => Ok(()),
        Some((field, found, expected)) => {
            let [field, found, expected] = [field, found, expected].map(String::into_boxed_str);
            Err(DiffusionError::OtherStart { path: path.into(), field, found, expected })
        }
    }
}
