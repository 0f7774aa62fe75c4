//! [`Store`]: the folder of an experiment's results, of which every file is whole at any time.
//!
//! ```text
//! OUT/models/ID/                 trained models, each for all runs that train alike
//! OUT/runs/NAME/settings.toml    every setting of a run
//! OUT/runs/NAME/provenance.json  what its measures depend on
//! OUT/runs/NAME/cases/SET/CASE.json   one case measured, until the run is finished
//! OUT/runs/NAME/measures.json    all of them; written last: where it is, the run is finished
//! OUT/runs/NAME/maps/SET/        maps, if they are kept
//! OUT/results.{md,json}, OUT/plots/   after each run
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use disyre::{RunConfig, core::write_whole};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Change, ExperimentError, MeasuredCase, ModelSource, Provenance, Run, RunMeasures};

/// Name of the file that one program at a time holds locked.
const LOCK_FILE: &str = ".lock";

/// Folder of an experiment's results, locked while this value lives.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    _lock: File,
}

/// State of a run's folder.
#[derive(Debug, Clone, PartialEq)]
pub enum RunState {
    /// Measured in whole.
    Finished(RunMeasures),
    /// New, or begun.
    Open,
}

impl Store {
    /// Opens a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`ExperimentError::NotEmpty`] for a folder with files unless it is to be continued, [`ExperimentError::Locked`],
    /// [`ExperimentError::Io`].
    pub fn open(folder: &Path, go_on: bool) -> Result<Self, ExperimentError> {
        fs::create_dir_all(folder).map_err(ExperimentError::io("create", folder))?;
        let mut entries = fs::read_dir(folder).map_err(ExperimentError::io("read", folder))?;
        // What a version control ignores there is no result.
        let counts = |name: &std::ffi::OsStr| name != LOCK_FILE && name != ".gitignore";
        if !go_on && entries.any(|entry| entry.is_ok_and(|entry| counts(&entry.file_name()))) {
            return Err(ExperimentError::NotEmpty { folder: folder.to_owned() });
        }
        let path = folder.join(LOCK_FILE);
        let lock = File::create(&path).map_err(ExperimentError::io("create", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(ExperimentError::Locked { folder: folder.to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(ExperimentError::io("lock", &path)(source)),
        }
    }

    /// Path of the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder of a run's model.
    pub fn model(&self, run: &Run) -> PathBuf {
        match &run.model {
            ModelSource::Trained(id) => self.folder.join("models").join(id),
            ModelSource::Finished(folder) => folder.clone(),
        }
    }

    /// Folder for the maps of a set of cases.
    pub fn maps(&self, run: &Run, set: &str) -> PathBuf {
        self.run(run).join("maps").join(set)
    }

    /// Opens the folder of a run; a new one gets the run's settings.
    ///
    /// # Errors
    /// [`ExperimentError::Changed`] if the folder was made for another run, [`ExperimentError::Damaged`],
    /// [`ExperimentError::Io`].
    pub fn begin(&self, run: &Run) -> Result<RunState, ExperimentError> {
        let folder = self.run(run);
        self.ensure_same(run, &folder)?;
        if let Some(measures) = read_json(&folder.join("measures.json"))? {
            return Ok(RunState::Finished(measures));
        }
        create(&folder)?;
        let settings = toml::to_string(&run.config).unwrap_or_default();
        write(&folder.join("settings.toml"), settings.as_bytes())?;
        write_json(&folder.join("provenance.json"), &run.provenance)?;
        Ok(RunState::Open)
    }

    /// The measures of a case that an earlier call kept.
    ///
    /// # Errors
    /// [`ExperimentError::Damaged`], [`ExperimentError::Io`].
    pub fn case(
        &self,
        run: &Run,
        set: &str,
        case: &str,
    ) -> Result<Option<MeasuredCase>, ExperimentError> {
        read_json(&self.case_file(run, set, case))
    }

    /// Keeps the measures of a case.
    ///
    /// # Errors
    /// [`ExperimentError::Io`].
    pub fn keep_case(
        &self,
        run: &Run,
        set: &str,
        case: &MeasuredCase,
    ) -> Result<(), ExperimentError> {
        let path = self.case_file(run, set, &case.report.name);
        create(path.parent().unwrap_or(&self.folder))?;
        write_json(&path, case)
    }

    /// Finishes a run: all measures in one file, in place of one for each case.
    ///
    /// # Errors
    /// [`ExperimentError::Io`].
    pub fn finish(&self, run: &Run, measures: &RunMeasures) -> Result<(), ExperimentError> {
        write_json(&self.run(run).join("measures.json"), measures)?;
        let cases = self.run(run).join("cases");
        match fs::remove_dir_all(&cases) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(ExperimentError::io("remove", &cases)(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes a file of the results.
    ///
    /// # Errors
    /// [`ExperimentError::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ExperimentError> {
        let path = self.folder.join(name);
        create(path.parent().unwrap_or(&self.folder))?;
        write(&path, bytes)
    }

    fn run(&self, run: &Run) -> PathBuf {
        self.folder.join("runs").join(&run.name)
    }

    fn case_file(&self, run: &Run, set: &str, case: &str) -> PathBuf {
        self.run(run).join("cases").join(set).join(format!("{case}.json"))
    }

    /// Checks that a folder is new or belongs to this very run.
    fn ensure_same(&self, run: &Run, folder: &Path) -> Result<(), ExperimentError> {
        let path = folder.join("provenance.json");
        let Some(earlier) = read_json::<Provenance>(&path)? else { return Ok(()) };
        let now = &run.provenance;
        let change = if earlier == *now {
            return Ok(());
        } else if earlier.version != now.version {
            Change::Version(earlier.version)
        } else if earlier.settings_sha256 != now.settings_sha256 {
            let earlier = RunConfig::load(&folder.join("settings.toml"))?;
            let key = earlier.first_difference(&run.config);
            Change::Setting(key.unwrap_or_else(|| "a folder's files".to_owned()))
        } else if earlier.model_sha256 != now.model_sha256 {
            Change::Model
        } else if earlier.cases_sha256 != now.cases_sha256 {
            Change::Cases
        } else {
            Change::Maps
        };
        Err(ExperimentError::Changed { folder: folder.to_owned(), change })
    }
}

fn create(folder: &Path) -> Result<(), ExperimentError> {
    fs::create_dir_all(folder).map_err(ExperimentError::io("create", folder))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ExperimentError> {
    write_whole(path, |file| file.write_all(bytes)).map_err(ExperimentError::io("write", path))
}

/// A value as indented JSON.
///
/// # Panics
/// Never for the plain values of results: numbers, texts, lists, and maps with text keys.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("results are plain values") + "\n"
}

/// # Panics
/// As [`to_json`].
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ExperimentError> {
    let json = serde_json::to_vec(value).expect("measures are plain values");
    write(path, &json)
}

/// A file's value; `None` where there is no file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ExperimentError> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ExperimentError::io("read", path)(error)),
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(ExperimentError::damaged(path))
        }
    }
}
