//! [`Plan`]: every run of an experiment, its settings checked, before any work.

use std::path::{Path, PathBuf};

use disyre::diffusion::sha256_of;
use disyre::{DetectConfig, HashedFile, HashedFolder, Measure, ModelFolder, RunConfig, TissueKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::grid::changed;
use crate::measures::TAKEN;
use crate::{Base, Data, ExperimentError, ExperimentFile, Row, TestSet};

/// All runs of an experiment: each row with each seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file.
    pub file: ExperimentFile,
    /// The scans.
    pub data: Data,
    /// The rows.
    pub rows: Vec<Row>,
    /// Index of the row that the others are compared with.
    pub reference: usize,
    /// The finished model of all rows; `None` where models are trained.
    pub model: Option<FinishedModel>,
    /// Seeds of each row.
    pub seeds: Vec<u64>,
    /// The runs, by seed and then by row: what all rows need of a seed is prepared once.
    pub runs: Vec<Run>,
}

/// A model that was trained before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishedModel {
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// Steps of its training so far; `None`: there is no record.
    pub steps: Option<u64>,
    /// Steps of its whole training.
    pub steps_asked: u64,
}

/// A row with a seed.
#[derive(Debug, Clone)]
pub struct Run {
    /// Name of its folder.
    pub name: String,
    /// Index of its row.
    pub row: usize,
    /// Its seed.
    pub seed: u64,
    /// Every setting.
    pub config: RunConfig,
    /// Its model.
    pub model: ModelSource,
    /// What its measures depend on.
    pub provenance: Provenance,
}

/// Model of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// Trained by the experiment, once for all runs that train alike; under this name in the folder of models.
    Trained(String),
    /// Finished before.
    Finished(PathBuf),
}

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
}

impl Plan {
    /// Reads a file, finds its scans and checks the settings of every row.
    ///
    /// # Errors
    /// Those of [`ExperimentFile::read`]; [`ExperimentError::Invalid`] naming the file, with the row and key that are
    /// wrong.
    pub fn read(path: &Path) -> Result<Self, ExperimentError> {
        let file = ExperimentFile::read(path)?;
        let invalid =
            |source| ExperimentError::Invalid { path: path.into(), source: Box::new(source) };
        Self::new(file).map_err(invalid)
    }

    /// Finds the scans of a file and checks the settings of every row.
    ///
    /// # Errors
    /// [`ExperimentError`] naming the key or the row.
    pub fn new(file: ExperimentFile) -> Result<Self, ExperimentError> {
        let rows = Row::all(&file)?;
        ensure_taken(&file.measures)?;
        ensure_folders_differ(&rows)?;
        let base = base_config(&file.base)?;
        let seeds = seeds(&file, base.seed)?;
        let configs: Vec<RunConfig> =
            rows.iter().map(|row| checked(row, &base, &file.base)).collect::<Result<_, _>>()?;
        let reference = reference(&file, &rows)?;
        let data = Data::read(&file.data)?;
        ensure_trainable(&file, &data)?;
        let hashes = Hashes::of(&file, &data)?;
        let mut runs = Vec::with_capacity(rows.len() * seeds.len());
        for &seed in &seeds {
            for (index, (row, config)) in rows.iter().zip(&configs).enumerate() {
                let config = RunConfig { seed, ..config.clone() };
                runs.push(hashes.run(index, &folder_name(&row.label), config)?);
            }
        }
        let model = file.base.model.as_deref().map(FinishedModel::of).transpose()?;
        Ok(Self { file, data, rows, reference, model, seeds, runs })
    }
}

impl FinishedModel {
    fn of(folder: &Path) -> Result<Self, ExperimentError> {
        let model = ModelFolder::open(folder)?;
        Ok(Self {
            weights_sha256: model.weights_sha256().to_owned(),
            steps: model.report()?.map(|report| report.steps),
            steps_asked: model.config().train.steps,
        })
    }
}

/// Settings that the rows change: of a preset or of a finished model, with those of the file.
fn base_config(base: &Base) -> Result<RunConfig, ExperimentError> {
    let start = match (&base.model, base.preset) {
        (Some(_), Some(_)) => return Err(key("base", "a preset or a model, not both")),
        (Some(folder), None) => ModelFolder::open(folder)?.config().clone(),
        (None, preset) => preset.unwrap_or_default().config(),
    };
    changed("base", &start, &base.settings, &base.unset)
}

fn seeds(file: &ExperimentFile, of_base: u64) -> Result<Vec<u64>, ExperimentError> {
    let mut sorted = file.seeds.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(key("seeds", "different numbers"));
    }
    match (file.seeds.is_empty(), &file.base.model) {
        (true, _) => Ok(vec![of_base]),
        (false, Some(_)) => Err(key(
            "seeds",
            "left out where base.model is given: detection draws nothing at random",
        )),
        (false, None) => Ok(file.seeds.clone()),
    }
}

/// The settings of a row, in range and such that the base's model may have them.
fn checked(row: &Row, base: &RunConfig, of: &Base) -> Result<RunConfig, ExperimentError> {
    let config = row.config(base)?;
    let wrong = |error: disyre::Error| ExperimentError::Settings {
        row: row.label.clone(),
        source: error.into(),
    };
    config.check().map_err(wrong)?;
    if let Some(folder) = &of.model {
        let trained = ModelFolder::open(folder)?.config().clone();
        let trained = RunConfig { detect: config.detect.clone(), ..trained };
        if let Some(key) = config.first_difference(&trained) {
            return Err(ExperimentError::DetectionOnly { row: row.label.clone(), key });
        }
    }
    Ok(config)
}

fn ensure_trainable(file: &ExperimentFile, data: &Data) -> Result<(), ExperimentError> {
    match (&file.base.model, data.healthy.len()) {
        (None, 0 | 1) => Err(key("data.healthy", "folders with at least 2 scans to train on")),
        (Some(_), 1..) => {
            Err(key("data.healthy", "left out where base.model is given: nothing is trained"))
        }
        _ => Ok(()),
    }
}

fn reference(file: &ExperimentFile, rows: &[Row]) -> Result<usize, ExperimentError> {
    let Some(reference) = &file.reference else { return Ok(0) };
    let missing = || ExperimentError::NoReference {
        reference: reference.clone(),
        rows: rows.iter().map(|row| format!("{:?}", row.label)).collect(),
    };
    rows.iter().position(|row| row.label == *reference).ok_or_else(missing)
}

/// The label of a row as a name of a folder.
pub(crate) fn folder_name(label: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || "=._+".contains(c) { c } else { '-' };
    let label = label.replace(" = ", "=");
    let mut name: String = label.chars().filter(|c| !"[](){}\"'".contains(*c)).map(keep).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    name.trim_matches(['-', '.']).to_owned()
}

fn ensure_taken(measures: &[Measure]) -> Result<(), ExperimentError> {
    match measures.iter().find(|measure| !TAKEN.contains(measure)) {
        None if measures.is_empty() => Err(key("measures", "at least one")),
        None => Ok(()),
        Some(measure) => {
            let (measure, taken) = (*measure, TAKEN.map(Measure::name).to_vec());
            Err(ExperimentError::NotTaken { measure, taken })
        }
    }
}

fn ensure_folders_differ(rows: &[Row]) -> Result<(), ExperimentError> {
    for (index, row) in rows.iter().enumerate() {
        let name = folder_name(&row.label);
        if name.is_empty() {
            return Err(key("rows: label", "a text with letters or digits"));
        }
        // Folders that differ by case alone are one on some systems.
        let same = |other: &&Row| folder_name(&other.label).to_lowercase() == name.to_lowercase();
        if let Some(other) = rows[..index].iter().find(same) {
            let (first, second) = (other.label.clone(), row.label.clone());
            return Err(ExperimentError::SameRow { first, second, name });
        }
    }
    Ok(())
}

/// What the runs of an experiment share of their provenance.
struct Hashes<'a> {
    file: &'a ExperimentFile,
    healthy: &'a [HashedFile],
    cases: String,
    /// Files of the finished model.
    model: Option<String>,
}

impl<'a> Hashes<'a> {
    fn of(file: &'a ExperimentFile, data: &'a Data) -> Result<Self, ExperimentError> {
        let model = file.base.model.as_deref().map(hash_of_model).transpose()?;
        Ok(Self {
            file,
            healthy: &data.healthy_hashes,
            cases: hash_of_cases(&data.test_sets),
            model,
        })
    }

    fn run(&self, row: usize, label: &str, config: RunConfig) -> Result<Run, ExperimentError> {
        let seed = config.seed;
        let beside = beside(&config)?;
        let settings = settings_text(&config);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let model_sha256 = match &self.model {
            Some(model) => model.clone(),
            None => {
                let config = RunConfig { detect: DetectConfig::default(), ..config.clone() };
                let settings = settings_text(&config);
                hash(&json!([version, settings, self.healthy, beside]))
            }
        };
        let model = match &self.file.base.model {
            Some(folder) => ModelSource::Finished(folder.clone()),
            None => ModelSource::Trained(model_sha256[..12].to_owned()),
        };
        let provenance = Provenance {
            settings_sha256: hash(&json!([settings, beside])),
            model_sha256,
            version,
            cases_sha256: self.cases.clone(),
            keep_maps: self.file.keep_maps,
        };
        Ok(Run { name: format!("{label}_seed-{seed}"), row, seed, config, model, provenance })
    }
}

/// The settings without paths, which count by the contents of their files.
fn settings_text(config: &RunConfig) -> String {
    let mut config = config.clone();
    (config.pairs.shape_masks, config.pairs.places) = (None, None);
    config.tissue.segmentations = None;
    toml::to_string(&config).unwrap_or_else(|_| format!("{config:?}"))
}

/// Files of the folders that settings name.
fn beside(config: &RunConfig) -> Result<Vec<(&'static str, Vec<HashedFile>)>, ExperimentError> {
    let segmentations = config.tissue.segmentations.as_deref();
    let folders = [
        ("shape_masks", config.pairs.shape_masks.as_deref()),
        ("places", config.pairs.places.as_deref()),
        ("segmentations", segmentations.filter(|_| config.tissue.model == TissueKind::LabelMaps)),
    ];
    let given = folders.into_iter().filter_map(|(name, folder)| Some((name, folder?)));
    given.map(|(name, folder)| Ok((name, HashedFolder::of(folder)?.sources))).collect()
}

fn hash_of_cases(sets: &[TestSet]) -> String {
    let of_set = |set: &TestSet| {
        let cases = set.cases.iter().map(|case| json!([case.name, case.hashes]));
        json!([set.name, cases.collect::<Vec<_>>()])
    };
    hash(&json!(sets.iter().map(of_set).collect::<Vec<_>>()))
}

/// Settings, network, preparation and weights of a model's folder.
fn hash_of_model(folder: &Path) -> Result<String, ExperimentError> {
    let weights = ModelFolder::open(folder)?.weights_sha256().to_owned();
    let files = ["run.toml", "config.json", "preparation.json"].map(|name| folder.join(name));
    let files = files.iter().filter(|path| path.is_file());
    let files: Vec<HashedFile> =
        files.map(|path| HashedFile::of(path)).collect::<Result<_, _>>()?;
    Ok(hash(&json!([weights, files])))
}

fn hash(value: &serde_json::Value) -> String {
    sha256_of(value.to_string().as_bytes())
}

fn key(key: &str, expected: &'static str) -> ExperimentError {
    ExperimentError::Key { key: key.to_owned(), expected }
}
