//! [`Store`]: the folder of an experiment's results, of which every file is whole at any time.
//!
//! ```text
//! OUT/models/ID/                 trained models, each for all runs that train alike
//! OUT/models/ID.programs.json    the programs that trained it
//! OUT/calibrations/ID/           their calibrations, each for all runs that differ in the weights of the score alone
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
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::plan::folder_name;
use crate::{
    Change, ExperimentError, MeasuredCase, ModelSource, Program, Provenance, Run, RunMeasures,
};

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
#[expect(clippy::large_enum_variant, reason = "one at a time is looked at")]
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
        // Files of the version control are no results.
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

    /// Folder of a run's calibration; `None`: its score is the published one.
    pub fn calibration(&self, run: &Run) -> Option<PathBuf> {
        run.calibration.as_ref().map(|run| self.folder.join("calibrations").join(&run.id))
    }

    /// Folder for the maps of a set of cases.
    pub fn maps(&self, run: &Run, set: &str) -> PathBuf {
        self.run(run).join("maps").join(folder_name(set))
    }

    /// State of a run, before any work; nothing is written.
    ///
    /// # Errors
    /// [`ExperimentError::Changed`] if the folder holds measures of another run, [`ExperimentError::Damaged`],
    /// [`ExperimentError::Io`].
    pub fn state(&self, run: &Run) -> Result<RunState, ExperimentError> {
        let folder = self.run(run);
        if let Some(measures) = read_json::<RunMeasures>(&folder.join("measures.json"))? {
            ensure_same(&measures.provenance, run, &folder)?;
            return Ok(RunState::Finished(measures));
        }
        // A run that measured nothing yet may still change.
        if folder.join("cases").is_dir() {
            let earlier = read_json::<Provenance>(&folder.join("provenance.json"))?;
            earlier.map_or(Ok(()), |earlier| ensure_same(&earlier, run, &folder))?;
        }
        Ok(RunState::Open)
    }

    /// Begins the work of a run: its folder gets its settings and provenance. Returns the programs that measured its
    /// kept cases, with this one.
    ///
    /// # Errors
    /// [`ExperimentError::Damaged`], [`ExperimentError::Serialize`], [`ExperimentError::Io`].
    pub fn begin(&self, run: &Run, program: &Program) -> Result<Vec<Program>, ExperimentError> {
        let folder = self.run(run);
        let path = folder.join("provenance.json");
        let earlier = match folder.join("cases").is_dir() {
            true => read_json::<Provenance>(&path)?.map(|earlier| earlier.programs),
            false => Some(Vec::new()),
        };
        let programs = joined(earlier, program);
        create(&folder)?;
        let settings =
            toml::to_string(&run.config).map_err(ExperimentError::serialize("the settings"))?;
        write(&folder.join("settings.toml"), settings.as_bytes())?;
        write_json(&path, &Provenance { programs: programs.clone(), ..run.provenance.clone() })?;
        Ok(programs)
    }

    /// Notes that a program trains, or finished training, the model of a run, and returns all that did. A program that
    /// finds it finished did not.
    ///
    /// # Errors
    /// [`ExperimentError::Damaged`], [`ExperimentError::Io`].
    pub fn note_training(
        &self,
        id: &str,
        program: &Program,
        finished: bool,
    ) -> Result<Vec<Program>, ExperimentError> {
        let models = self.folder.join("models");
        let (folder, path) = (models.join(id), models.join(format!("{id}.programs.json")));
        let earlier = match folder.is_dir() {
            true => read_json::<TrainedBy>(&path)?,
            false => Some(TrainedBy::default()),
        };
        if let Some(earlier) = earlier.as_ref().filter(|earlier| earlier.finished) {
            return Ok(earlier.programs.clone());
        }
        let programs = joined(earlier.map(|earlier| earlier.programs), program);
        create(&models)?;
        write_json(&path, &TrainedBy { programs: programs.clone(), finished })?;
        Ok(programs)
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
        self.run(run).join("cases").join(folder_name(set)).join(format!("{case}.json"))
    }

    /// Removes the files of a folder below that of the experiment, but for some.
    ///
    /// # Errors
    /// [`ExperimentError::Io`].
    pub(crate) fn keep_only(
        &self,
        folder: &str,
        extension: &str,
        keep: &[String],
    ) -> Result<(), ExperimentError> {
        let folder = self.folder.join(folder);
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ours = path.extension().is_some_and(|end| end == extension);
            if ours && !keep.contains(&name) {
                fs::remove_file(&path).map_err(ExperimentError::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// The programs that trained a model.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainedBy {
    programs: Vec<Program>,
    finished: bool,
}

/// Earlier programs, `None` where they were not noted, and one more.
fn joined(earlier: Option<Vec<Program>>, program: &Program) -> Vec<Program> {
    let mut programs = earlier.unwrap_or_else(|| vec![Program::unknown()]);
    if !programs.contains(program) {
        programs.push(program.clone());
    }
    programs
}

/// Checks that what a folder holds belongs to this very run; the program may be another one, which results say.
fn ensure_same(earlier: &Provenance, run: &Run, folder: &Path) -> Result<(), ExperimentError> {
    let now = &run.provenance;
    let change = if earlier.version != now.version {
        Change::Version(earlier.version.clone())
    } else if earlier.settings_sha256 != now.settings_sha256 {
        let earlier = RunConfig::load(&folder.join("settings.toml")).ok();
        let key = earlier.and_then(|earlier| earlier.first_difference(&run.config));
        Change::Setting(key.unwrap_or_else(|| "a setting, or of the files of a folder".to_owned()))
    } else if earlier.model_sha256 != now.model_sha256 {
        Change::Model
    } else if earlier.cases_sha256 != now.cases_sha256 {
        Change::Cases
    } else if earlier.keep_maps != now.keep_maps {
        Change::Maps
    } else {
        return Ok(());
    };
    Err(ExperimentError::Changed { folder: folder.to_owned(), change })
}

fn create(folder: &Path) -> Result<(), ExperimentError> {
    fs::create_dir_all(folder).map_err(ExperimentError::io("create", folder))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ExperimentError> {
    write_whole(path, |file| file.write_all(bytes)).map_err(ExperimentError::io("write", path))
}

/// A value as indented JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, ExperimentError> {
    let json = serde_json::to_string_pretty(value);
    Ok(json.map_err(ExperimentError::serialize("the results"))? + "\n")
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ExperimentError> {
    let json = serde_json::to_vec(value).map_err(ExperimentError::serialize("a record"))?;
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
