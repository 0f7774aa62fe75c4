//! [`Provenance`]: all that the measures of a run depend on, as hashes of settings and files.

use disyre::volume::sha256_of_bytes;
use disyre::{DetectConfig, HashedFile, HashedFolder, ModelFolder, RunConfig, TissueKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::plan::folder_name;
use crate::{
    CalibrationRun, ExperimentError, HealthyScans, ModelSource, Program, Row, Run, TestSet,
};

/// All that the measures of a run depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Version of the program.
    pub version: String,
    /// SHA-256 of the settings; files that they name count by their contents.
    pub settings_sha256: String,
    /// SHA-256 of settings and data of the training, or of the files of the finished model.
    pub model_sha256: String,
    /// SHA-256 of the test cases.
    pub cases_sha256: String,
    /// True if maps are kept.
    pub keep_maps: bool,
    /// The programs that trained and measured, in order; none in records of programs that did not note it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<Program>,
}

/// The files behind the runs of a row, by their hashes.
pub(crate) struct Hashes<'a> {
    pub(crate) healthy: &'a [&'a HealthyScans],
    /// The row's finished model.
    pub(crate) finished: Option<&'a ModelFolder>,
    /// Healthy scans of the calibration, where the row's settings ask for one.
    pub(crate) calibration: Vec<&'a HealthyScans>,
    pub(crate) cases: &'a str,
}

impl Hashes<'_> {
    /// A row with a seed.
    pub(crate) fn run(
        &self,
        index: usize,
        row: &Row,
        seed: u64,
        config: &RunConfig,
        keep_maps: bool,
    ) -> Result<Run, ExperimentError> {
        // A finished model keeps the seed that it was trained with.
        let seed_of_training = if self.finished.is_some() { config.seed } else { seed };
        let config = RunConfig { seed: seed_of_training, ..config.clone() };
        let (beside, settings) = (beside(&config)?, settings_text(&config)?);
        let (model, model_sha256) = self.model(&config, &beside)?;
        let calibration = self.calibration(&config, &model_sha256)?;
        let settings_sha256 = match &calibration {
            None => hash(&json!([settings, beside])),
            Some(calibration) => hash(&json!([settings, beside, calibration.id])),
        };
        let provenance = Provenance {
            settings_sha256,
            model_sha256,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cases_sha256: self.cases.to_owned(),
            keep_maps,
            programs: Vec::new(),
        };
        let healthy = self.healthy.iter().flat_map(|folder| folder.scans.clone()).collect();
        let name = format!("{}_seed-{seed}", folder_name(&row.label));
        Ok(Run { name, row: index, seed, config, model, healthy, calibration, provenance })
    }

    /// The calibration of a row's model, if its settings ask for one; its name is a hash of all that it depends on.
    fn calibration(
        &self,
        config: &RunConfig,
        model_sha256: &str,
    ) -> Result<Option<CalibrationRun>, ExperimentError> {
        let Some(score) = &config.detect.calibrated else { return Ok(None) };
        let DetectConfig { batch, foreground_weight, .. } = DetectConfig::default();
        let calibrated = Some(score.for_maps());
        let detect = DetectConfig { batch, foreground_weight, calibrated, ..config.detect.clone() };
        let detect =
            toml::to_string(&detect).map_err(ExperimentError::serialize("the settings"))?;
        let hashes: Vec<&HashedFile> =
            self.calibration.iter().flat_map(|folder| &folder.hashes).collect();
        let sha256 = hash(&json!([env!("CARGO_PKG_VERSION"), model_sha256, detect, hashes]));
        let healthy = self.calibration.iter().flat_map(|folder| folder.scans.clone()).collect();
        Ok(Some(CalibrationRun { id: sha256[..12].to_owned(), healthy }))
    }

    /// A row's model, and the hash of all that made it.
    fn model(
        &self,
        config: &RunConfig,
        beside: &[FilesBeside],
    ) -> Result<(ModelSource, String), ExperimentError> {
        if let Some(model) = self.finished {
            let source = ModelSource::Finished(model.path().to_owned());
            return Ok((source, hash_of_model(model)?));
        }
        let config = RunConfig { detect: DetectConfig::default(), ..config.clone() };
        let (version, settings) = (env!("CARGO_PKG_VERSION"), settings_text(&config)?);
        let healthy: Vec<&HashedFile> =
            self.healthy.iter().flat_map(|folder| &folder.hashes).collect();
        let sha256 = hash(&json!([version, settings, healthy, beside]));
        Ok((ModelSource::Trained(sha256[..12].to_owned()), sha256))
    }
}

/// The settings without paths, which count by the contents of their files.
fn settings_text(config: &RunConfig) -> Result<String, ExperimentError> {
    let mut config = config.clone();
    (config.pairs.shape_masks, config.pairs.places) = (None, None);
    config.tissue.segmentations = None;
    toml::to_string(&config).map_err(ExperimentError::serialize("the settings"))
}

/// A folder that settings name, and its files.
type FilesBeside = (&'static str, Vec<HashedFile>);

/// Files of the folders that settings name.
fn beside(config: &RunConfig) -> Result<Vec<FilesBeside>, ExperimentError> {
    let segmentations = config.tissue.segmentations.as_deref();
    let folders = [
        ("shape_masks", config.pairs.shape_masks.as_deref()),
        ("places", config.pairs.places.as_deref()),
        ("segmentations", segmentations.filter(|_| config.tissue.model == TissueKind::LabelMaps)),
    ];
    let given = folders.into_iter().filter_map(|(name, folder)| Some((name, folder?)));
    given
        .map(|(name, folder)| {
            let hashed = HashedFolder::of(folder).map_err(disyre::Error::from)?;
            Ok((name, hashed.sources))
        })
        .collect()
}

/// All files of all test cases.
pub(crate) fn hash_of_cases(sets: &[TestSet]) -> String {
    let of_set = |set: &TestSet| {
        let cases = set.cases.iter().map(|case| json!([case.name, case.hashes]));
        json!([set.name, cases.collect::<Vec<_>>()])
    };
    hash(&json!(sets.iter().map(of_set).collect::<Vec<_>>()))
}

/// Settings, network, preparation and weights of a model's folder.
fn hash_of_model(model: &ModelFolder) -> Result<String, ExperimentError> {
    let files = ["run.toml", "config.json", "preparation.json"].map(|name| model.path().join(name));
    let files = files.iter().filter(|path| path.is_file());
    let files: Vec<HashedFile> = files
        .map(|path| HashedFile::of(path))
        .collect::<Result<_, _>>()
        .map_err(disyre::Error::from)?;
    Ok(hash(&json!([model.weights_sha256(), files])))
}

fn hash(value: &serde_json::Value) -> String {
    sha256_of_bytes(value.to_string().as_bytes())
}
