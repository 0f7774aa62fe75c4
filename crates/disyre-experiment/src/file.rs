//! [`ExperimentFile`]: the TOML file that says what is asked, on which data, and which settings vary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use disyre::{Measure, RunConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::ExperimentError;

/// The question of an experiment, its data, and the settings of its rows.
///
/// Paths are relative to the file; [`read`](Self::read) resolves them.
///
/// ```
/// use disyre_experiment::ExperimentFile;
///
/// let file = ExperimentFile::parse(
///     r#"
///     title = "Classes of the clustering"
///     question = "Does the number of tissue classes matter?"
///     seeds = [1, 2]
///     [data]
///     healthy = [{ folder = "healthy", hold_out_every = 4 }]
///     test_sets.real = "cases.csv"
///     [base.settings]
///     train.steps = 300
///     [[axes]]
///     key = "tissue.classes"
///     values = [3, 5, 8]
///     "#,
/// )?;
/// assert_eq!((file.seeds.len(), file.axes[0].values.len()), (2, 3));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentFile {
    /// Heading of the results.
    pub title: String,
    /// The question that it is to answer.
    pub question: String,
    /// Seeds that each row is run with; default: 0. A finished model has none.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// Measures of tables and plots; default: AP, ⌈Dice⌉ and AUROC. All others are kept too.
    #[serde(default = "default_measures")]
    pub measures: Vec<Measure>,
    /// Label of the row that the others are compared with; default: the first.
    #[serde(default)]
    pub reference: Option<String>,
    /// True to keep the maps of each run, which are large.
    #[serde(default)]
    pub keep_maps: bool,
    /// Scans.
    pub data: DataFiles,
    /// Settings that all rows share.
    #[serde(default)]
    pub base: Base,
    /// Settings that vary: the rows are all combinations of their values, the last axis fastest.
    #[serde(default)]
    pub axes: Vec<Axis>,
    /// Rows one by one, in place of axes.
    #[serde(default)]
    pub rows: Vec<RowSettings>,
}

/// Scans of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFiles {
    /// Healthy scans to train on; none for a finished model.
    #[serde(default)]
    pub healthy: Vec<HealthyFolder>,
    /// Healthy scans that calibrate models, for rows whose settings have `detect.calibrated`; default: those that train.
    #[serde(default)]
    pub calibration: Vec<HealthyFolder>,
    /// Each set of test cases by name: a CSV file with the columns `scan,label[,mask][,subject]`, paths relative to it;
    /// a column `score` is ignored. A case without a label is a healthy scan; without a brain mask, the brain is where
    /// the scan is not 0; without a subject, the name of the scan says whose it is.
    pub test_sets: BTreeMap<String, PathBuf>,
}

/// Healthy scans of a folder that train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthyFolder {
    /// The folder.
    pub folder: PathBuf,
    /// Name by which rows choose it.
    #[serde(default)]
    pub name: Option<String>,
    /// n ≥ 2: every n-th scan by name (the n-th, the 2n-th, …) is left out; default: all train.
    #[serde(default)]
    pub hold_out_every: Option<usize>,
    /// Names, without extensions, of scans that are left out too.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// Settings that all rows share: a preset with changes, or a finished model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Settings to start from; default: cpu-2mm.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Folder of a finished model in place of a preset: nothing is trained, rows differ in `detect` alone.
    #[serde(default)]
    pub model: Option<PathBuf>,
    /// Settings that differ from preset or model, as in `run.toml`.
    #[serde(default)]
    pub settings: Table,
    /// Dotted names of optional settings of the preset that are taken out.
    #[serde(default)]
    pub unset: Vec<String>,
}

/// Settings to start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preset {
    /// [`RunConfig::cpu_2mm`].
    #[default]
    #[serde(rename = "cpu-2mm")]
    Cpu2mm,
    /// [`RunConfig::reference`].
    #[serde(rename = "reference")]
    Reference,
}

/// A setting that varies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Dotted name of the setting, as in `run.toml`.
    pub key: String,
    /// Its values.
    pub values: Vec<Value>,
    /// Name of each value in labels of rows; default: the last part of the key, `=` and the value.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// A row of an experiment without axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowSettings {
    /// Name in tables and plots.
    pub label: String,
    /// Settings that differ from the base, as in `run.toml`.
    #[serde(default)]
    pub settings: Table,
    /// Dotted names of optional settings of the base that are taken out.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Names of the folders of [`DataFiles::healthy`] that it trains on; default: all.
    #[serde(default)]
    pub healthy: Vec<String>,
    /// Folder of a finished model, in place of the base's: a training at another step, or of another site.
    #[serde(default)]
    pub model: Option<PathBuf>,
}

fn default_measures() -> Vec<Measure> {
    vec![Measure::Ap, Measure::BestDice, Measure::Auroc]
}

impl ExperimentFile {
    /// Reads a file; paths are then relative to the current folder.
    ///
    /// # Errors
    /// [`ExperimentError::Io`]; [`ExperimentError::File`] naming the key.
    pub fn read(path: &Path) -> Result<Self, ExperimentError> {
        let text = std::fs::read_to_string(path).map_err(ExperimentError::io("read", path))?;
        let file = Self::parse(&text).map_err(|source| ExperimentError::File {
            path: path.into(),
            source: Box::new(source),
        })?;
        Ok(file.relative_to(path.parent().unwrap_or(Path::new(""))))
    }

    /// Understands a text; its paths stay as they are.
    ///
    /// # Errors
    /// Names the line, and the key that does not exist or the value of the wrong kind.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    fn relative_to(mut self, folder: &Path) -> Self {
        let DataFiles { healthy, calibration, test_sets } = &mut self.data;
        let healthy = healthy.iter_mut().chain(calibration).map(|healthy| &mut healthy.folder);
        let models =
            self.rows.iter_mut().flat_map(|row| &mut row.model).chain(&mut self.base.model);
        let paths = healthy.chain(test_sets.values_mut()).chain(models);
        paths.for_each(|path| *path = folder.join(&*path));
        let rows = self.rows.iter_mut().map(|row| &mut row.settings);
        for settings in rows.chain([&mut self.base.settings]) {
            for key in PATHS {
                find_mut(settings, key).into_iter().for_each(|value| join(folder, value));
            }
        }
        let axes = self.axes.iter_mut().filter(|axis| PATHS.contains(&axis.key.as_str()));
        axes.flat_map(|axis| &mut axis.values).for_each(|value| join(folder, value));
        self
    }
}

/// Settings of a run that are paths.
const PATHS: [&str; 3] = ["pairs.shape_masks", "pairs.places", "tissue.segmentations"];

/// The entry of a dotted name.
fn find_mut<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        None => table.get_mut(key),
        Some((first, rest)) => find_mut(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

/// Makes a path relative to a folder; what is no text is left for the check of settings to refuse.
fn join(folder: &Path, value: &mut Value) {
    if let Value::String(path) = value {
        *path = folder.join(&*path).display().to_string();
    }
}

impl Preset {
    /// Its settings.
    pub fn config(self) -> RunConfig {
        match self {
            Self::Cpu2mm => RunConfig::cpu_2mm(),
            Self::Reference => RunConfig::reference(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_named() {
        let text = "title = \"a\"\nquestion = \"b\"\nseedz = [1]\n[data]\ntest_sets = {}";
        let message = ExperimentFile::parse(text).unwrap_err().to_string();
        assert!(message.contains("seedz") && message.contains("seeds"), "{message}");
        let text = "title = \"a\"\nquestion = \"b\"\nmeasures = [\"dice\"]\n[data]\ntest_sets = {}";
        let message = ExperimentFile::parse(text).unwrap_err().to_string();
        assert!(message.contains("dice") && message.contains("best_dice"), "{message}");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let text = "title = \"a\"\nquestion = \"b\"\n[data]\nhealthy = [{ folder = \"h\" }]\n\
                    test_sets.real = \"../c.csv\"\n[base]\nmodel = \"/m\"\n\
                    settings.pairs.places = \"p\"\n[[axes]]\nkey = \"pairs.shape_masks\"\n\
                    values = [\"s\", 1]";
        std::fs::write(&path, text).unwrap();
        let file = ExperimentFile::read(&path).unwrap();
        assert_eq!(file.data.healthy[0].folder, folder.path().join("h"));
        assert_eq!(file.data.test_sets["real"], folder.path().join("../c.csv"));
        assert_eq!(file.base.model, Some("/m".into()));
        let below = |name: &str| Value::from(folder.path().join(name).to_str().unwrap());
        assert_eq!(file.base.settings["pairs"]["places"], below("p"));
        assert_eq!(file.axes[0].values, [below("s"), Value::from(1)]);
    }
}
