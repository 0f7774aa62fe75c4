//! [`Plan`]: every run of an experiment, its settings checked, before any work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use disyre::{Measure, ModelFolder, RunConfig};
use serde::{Deserialize, Serialize};

use crate::grid::changed;
use crate::measures::TAKEN;
use crate::provenance::{Hashes, hash_of_cases};
use crate::{Base, Data, ExperimentError, ExperimentFile, HealthyScans, Provenance, Row};

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
    /// The finished model of the base; `None` where models are trained, or each row has its own.
    pub model: Option<FinishedModel>,
    /// The finished model of each row that has one of its own.
    pub row_models: Vec<Option<FinishedModel>>,
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
    /// Healthy scans that train its model; none for a finished one.
    pub healthy: Vec<PathBuf>,
    /// Its calibration; `None`: its score is the published one.
    pub calibration: Option<CalibrationRun>,
    /// All that its measures depend on.
    pub provenance: Provenance,
}

/// Calibration of a run's model, done once for all runs that differ in no more than the weights of the score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalibrationRun {
    /// Its name in the folder of calibrations.
    pub id: String,
    /// Healthy scans.
    pub healthy: Vec<PathBuf>,
}

/// Model of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// Trained by the experiment, once for all runs that train alike; under this name in the folder of models.
    Trained(String),
    /// Finished before.
    Finished(PathBuf),
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
        ensure_sets_differ(&file)?;
        let models = Models::open(&rows, &file.base)?;
        let configs = rows.iter().map(|row| models.config(row, &file.base));
        let configs: Vec<RunConfig> = configs.collect::<Result<_, _>>()?;
        let seeds = seeds(&file, &models, configs[0].seed)?;
        let reference = reference(&file, &rows)?;
        let data = Data::read(&file.data)?;
        let runs = runs(&file, &data, &models, &rows, &configs, &seeds)?;
        let model = file.base.model.as_ref().map(|folder| models.facts(folder)).transpose()?;
        let own = |row: &Row| row.model.clone().filter(|own| file.base.model.as_ref() != Some(own));
        let row_models = rows.iter().map(|row| own(row).map(|own| models.facts(&own)).transpose());
        let row_models = row_models.collect::<Result<_, _>>()?;
        Ok(Self { file, data, rows, reference, model, row_models, seeds, runs })
    }
}

/// All runs, by seed and then by row.
fn runs(
    file: &ExperimentFile,
    data: &Data,
    models: &Models,
    rows: &[Row],
    configs: &[RunConfig],
    seeds: &[u64],
) -> Result<Vec<Run>, ExperimentError> {
    let cases = hash_of_cases(&data.test_sets);
    let mut runs = Vec::with_capacity(rows.len() * seeds.len());
    for &seed in seeds {
        for (index, (row, config)) in rows.iter().zip(configs).enumerate() {
            let healthy = data.healthy_of(row)?;
            ensure_trainable(row, &healthy)?;
            let finished = row.model.as_ref().and_then(|folder| models.finished.get(folder));
            let calibration = match data.calibration.is_empty() {
                true => healthy.clone(),
                false => data.calibration.iter().collect(),
            };
            ensure_calibratable(config, &calibration)?;
            let hashes = Hashes { healthy: &healthy, finished, calibration, cases: &cases };
            runs.push(hashes.run(index, row, seed, config, file.keep_maps)?);
        }
    }
    Ok(runs)
}

/// The finished models of an experiment, each opened once, and the settings of trained ones.
struct Models {
    preset: RunConfig,
    finished: BTreeMap<PathBuf, ModelFolder>,
}

impl Models {
    /// Opens the models of all rows: all are finished, or none.
    fn open(rows: &[Row], base: &Base) -> Result<Self, ExperimentError> {
        if base.model.is_some() && base.preset.is_some() {
            return Err(key("base", "a preset or a model, not both"));
        }
        let folders: BTreeSet<&PathBuf> =
            rows.iter().filter_map(|row| row.model.as_ref()).chain(&base.model).collect();
        if !folders.is_empty() && rows.iter().any(|row| row.model.is_none()) {
            return Err(key("rows: model", "given for all rows or for none"));
        }
        let open = |folder: &PathBuf| Ok((folder.clone(), ModelFolder::open(folder)?));
        let finished = folders.into_iter().map(open).collect::<Result<_, ExperimentError>>()?;
        Ok(Self { preset: base.preset.unwrap_or_default().config(), finished })
    }

    /// The settings of a row, in range and such that its finished model may have them.
    fn config(&self, row: &Row, base: &Base) -> Result<RunConfig, ExperimentError> {
        let trained = row.model.as_ref().and_then(|folder| self.finished.get(folder));
        let start = trained.map_or(&self.preset, ModelFolder::config);
        let config = row.config(&changed("base", start, &base.settings, &base.unset)?)?;
        let wrong = |error: disyre::Error| ExperimentError::Settings {
            row: row.label.clone(),
            source: error.into(),
        };
        config.check().map_err(wrong)?;
        if let Some(model) = trained {
            let trained = RunConfig { detect: config.detect.clone(), ..model.config().clone() };
            if let Some(key) = config.first_difference(&trained) {
                return Err(ExperimentError::DetectionOnly { row: row.label.clone(), key });
            }
        }
        Ok(config)
    }

    fn facts(&self, folder: &Path) -> Result<FinishedModel, ExperimentError> {
        match self.finished.get(folder) {
            Some(model) => FinishedModel::of(model),
            None => FinishedModel::of(&ModelFolder::open(folder)?),
        }
    }
}

impl FinishedModel {
    fn of(model: &ModelFolder) -> Result<Self, ExperimentError> {
        Ok(Self {
            weights_sha256: model.weights_sha256().to_owned(),
            steps: model.report()?.map(|report| report.steps),
            steps_asked: model.config().train.steps,
        })
    }
}

fn seeds(
    file: &ExperimentFile,
    models: &Models,
    of_base: u64,
) -> Result<Vec<u64>, ExperimentError> {
    let mut sorted = file.seeds.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(key("seeds", "different numbers"));
    }
    match (file.seeds.is_empty(), models.finished.is_empty()) {
        (true, _) => Ok(vec![of_base]),
        (false, false) => Err(key(
            "seeds",
            "left out where the model is finished: detection draws nothing at random",
        )),
        (false, true) => Ok(file.seeds.clone()),
    }
}

fn ensure_trainable(row: &Row, healthy: &[&HealthyScans]) -> Result<(), ExperimentError> {
    let scans: usize = healthy.iter().map(|folder| folder.scans.len()).sum();
    match (&row.model, scans) {
        (None, 0 | 1) => Err(key("data.healthy", "folders with at least 2 scans to train on")),
        (Some(_), 1..) => {
            Err(key("data.healthy", "left out where the model is finished: nothing is trained"))
        }
        _ => Ok(()),
    }
}

fn ensure_calibratable(
    config: &RunConfig,
    healthy: &[&HealthyScans],
) -> Result<(), ExperimentError> {
    let scans: usize = healthy.iter().map(|folder| folder.scans.len()).sum();
    match config.detect.calibrated.is_some() && scans < 2 {
        true => {
            Err(key("data.calibration", "folders with at least 2 healthy scans to calibrate by"))
        }
        false => Ok(()),
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

/// Greatest length in bytes of a row's and of a set's folder: what is added to them stays below 255.
const LONGEST_ROW: usize = 200;
const LONGEST_SET: usize = 100;

/// The label of a row, or the name of a set, as a name of a folder.
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
    let labels: Vec<&String> = rows.iter().map(|row| &row.label).collect();
    match same_folder("the row", &labels, LONGEST_ROW)? {
        None => Ok(()),
        Some([first, second]) => {
            let name = folder_name(&second);
            Err(ExperimentError::SameRow { first, second, name })
        }
    }
}

fn ensure_sets_differ(file: &ExperimentFile) -> Result<(), ExperimentError> {
    let names: Vec<&String> = file.data.test_sets.keys().collect();
    match same_folder("the test set", &names, LONGEST_SET)? {
        None => Ok(()),
        Some([first, second]) => {
            let name = folder_name(&second);
            Err(ExperimentError::SameSet { first, second, name })
        }
    }
}

/// Two names that would have one folder.
///
/// # Errors
/// [`ExperimentError::Name`] for one that has none.
fn same_folder(
    what: &'static str,
    names: &[&String],
    most: usize,
) -> Result<Option<[String; 2]>, ExperimentError> {
    for (index, &name) in names.iter().enumerate() {
        let folder = folder_name(name);
        if folder.is_empty() || folder.len() > most {
            return Err(ExperimentError::Name { what, name: name.clone(), most });
        }
        // Folders that differ by case alone are one on some systems.
        let same = |other: &&&String| folder_name(other).to_lowercase() == folder.to_lowercase();
        if let Some(&other) = names[..index].iter().find(same) {
            return Ok(Some([other.clone(), name.clone()]));
        }
    }
    Ok(None)
}

fn key(key: &str, expected: &'static str) -> ExperimentError {
    ExperimentError::Key { key: key.to_owned(), expected }
}
