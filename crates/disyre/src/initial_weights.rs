//! [`InitialWeights`]: the weights of a trained model that another training starts from, and the record of that model.

use std::collections::BTreeSet;

use disyre_diffusion::{CONFIG_FILE, Parameters, initial_parameters_of};
use serde::{Deserialize, Serialize};

use crate::{Error, ModelFolder, RunConfig};

/// Weights that a training starts from in place of random ones: fine-tuning.
///
/// [`ModelFolder::initial_weights`] reads them.
#[derive(Debug, Clone)]
pub struct InitialWeights {
    pub(crate) parameters: Parameters,
    pub(crate) model: InitialModel,
}

/// A model whose weights a training started from: name, hash, and the scans that trained it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialModel {
    /// Name of its folder.
    pub name: String,
    /// SHA-256 of the file of its weights, hexadecimal.
    pub weights_sha256: String,
    /// Scans that trained it, and those that trained the models that it started from itself; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub training: Vec<String>,
}

impl InitialModel {
    fn of(model: &ModelFolder) -> Result<Self, Error> {
        let path = model.path().canonicalize().unwrap_or_else(|_| model.path().to_owned());
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let training: BTreeSet<String> = model.trained()?.into_iter().collect();
        let weights_sha256 = model.weights_sha256().to_owned();
        Ok(Self { name, weights_sha256, training: training.into_iter().collect() })
    }
}

impl ModelFolder {
    /// Reads the weights, as those that a training with these settings starts from: see
    /// [`Training::from`](crate::Training::from).
    ///
    /// # Errors
    /// [`Error::Diffusion`] naming the first field in which the networks differ; see
    /// [`initial_parameters`](disyre_diffusion::initial_parameters) for what may differ.
    pub fn initial_weights(&self, config: &RunConfig) -> Result<InitialWeights, Error> {
        let path = self.path().join(CONFIG_FILE);
        let parameters = self.parameters()?;
        let parameters = initial_parameters_of(&config.model(), self.network(), parameters, &path)?;
        Ok(InitialWeights { parameters, model: InitialModel::of(self)? })
    }

    /// Names of the scans that trained the network: those of its own training, and of the models that it started from.
    ///
    /// # Errors
    /// Those of [`report`](Self::report).
    pub fn trained(&self) -> Result<Vec<String>, Error> {
        let Some(report) = self.report()? else { return Ok(Vec::new()) };
        let before = report.from.map(|from| from.training).unwrap_or_default();
        Ok([report.training, before].concat())
    }
}
