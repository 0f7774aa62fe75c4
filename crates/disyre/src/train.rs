//! Training on a cohort: pairs, the folder and its records, and the loop of the diffusion crate.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use disyre_core::Key;
use disyre_diffusion::{
    Device, DiffusionError, EMA_FILE, MODEL_FILE, TRAINING_FILE, TrainConfig, TrainEvent, TrainRun,
    ValidationErrors,
};
use disyre_volume::VolumeError;
use serde::{Deserialize, Serialize};

use crate::write_files::write_bytes;
use crate::{
    Cohort, DagPairs, Error, InitialModel, InitialWeights, Preparation, RunConfig, Subject,
    Tissues, TrainingFolder,
};

/// Name of the settings in a model's folder.
pub(crate) const SETTINGS_FILE: &str = "run.toml";
/// Name of the tissue classes in a model's folder.
pub(crate) const TISSUE_FILE: &str = "tissue.json";
/// Name of what the preparation fitted to the cohort, in a model's folder.
pub(crate) const PREPARATION_FILE: &str = "preparation.json";
/// Name of the record of who trained and who validated.
pub(crate) const RECORD_FILE: &str = "run.json";

/// Record of a training beside the weights, `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Version of disyre.
    pub version: String,
    /// Seed of the run.
    pub seed: u64,
    /// Subjects that trained.
    pub training: Vec<String>,
    /// Subjects that validated.
    pub validation: Vec<String>,
    /// Steps gone.
    pub steps: u64,
    /// True if that is all of them; if not, the training can be resumed.
    pub finished: bool,
    /// Errors on the validation pairs after the last step.
    pub errors: Option<ValidationErrors>,
    /// SHA-256 of the files of each subject, by name: its scan, its segmentation and its location map, those that there are.
    /// Records of earlier versions have none, nor have scans that were not read from files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, Vec<String>>,
    /// The model whose weights it started from; none: from random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<InitialModel>,
}

/// A training: cohort, settings and folder.
#[derive(Debug, Clone)]
pub struct Training<'a> {
    /// Healthy subjects.
    pub cohort: &'a Cohort,
    /// Every setting.
    pub config: &'a RunConfig,
    /// Folder of the model; made if it is not there.
    pub folder: &'a Path,
    /// Weights of a trained model (their moving average, if it has one) that replace random ones at the start: fine-tuning.
    /// [`ModelFolder::initial_weights`](crate::ModelFolder::initial_weights) reads them. A training that continues needs
    /// them only before its first checkpoint, and refuses others.
    pub from: Option<&'a InitialWeights>,
    /// True to continue from the folder's last checkpoint, if it has one.
    pub resume: bool,
    /// The folder, if it was claimed already; none: the training claims it.
    pub claim: Option<&'a TrainingFolder>,
    /// Set to true from another thread, it ends the training after the current step with a checkpoint.
    pub stop: Option<&'a AtomicBool>,
    /// Device of the network.
    pub device: Device,
}

impl<'a> Training<'a> {
    /// A new training on the CPU that nobody stops.
    pub fn new(cohort: &'a Cohort, config: &'a RunConfig, folder: &'a Path) -> Self {
        let device = Device::cpu();
        Self { cohort, config, folder, from: None, resume: false, claim: None, stop: None, device }
    }
}

/// Trains a model on a cohort and leaves all that detection needs in its folder.
///
/// Writes `run.toml` (the settings), `tissue.json` (classes, if any were fitted), `preparation.json` (what the preparation fitted to
/// the cohort, if anything), `run.json` (a [`TrainReport`]) beside the weights and logs of
/// [`disyre_diffusion::train`]. `observer` is called with every event.
///
/// # Errors
/// [`Error::Setting`]; [`Error::Volume`] for a cohort without the reference that the scaling needs; [`Error::Resume`] if the
/// folder was trained with other settings, subjects or scans; [`Error::NotResumable`] if it lacks what a training continues
/// from; [`Error::InUse`] if another training runs there; errors of files and of training, among them a folder that holds a
/// training, without `resume`.
pub fn train(
    training: &Training<'_>,
    observer: &mut dyn FnMut(TrainEvent),
) -> Result<TrainReport, Error> {
    let Training { cohort, config, folder, from, resume, claim, stop, ref device } = *training;
    config.check()?;
    let claimed = claim.is_none().then(|| TrainingFolder::claim(folder)).transpose()?;
    ensure_memory_for_steps(config, device)?;
    let preparation = config.prepare.with_reference(cohort.reference.clone())?;
    let key = Key::new(config.seed);
    let tissues = Tissues::of(config, &cohort.training, &cohort.validation, key.child("tissue"))?;
    let pairs_of = |subjects: &[Subject], purpose: &str| {
        DagPairs::new(subjects, config, tissues.as_ref(), key.child(purpose))
    };
    let pairs = pairs_of(&cohort.training, "training")?;
    let validation = pairs_of(&cohort.validation, "validation")?;
    let begun = prepare_folder(training, &preparation, tissues.as_ref())?;
    let run = TrainRun {
        config: &TrainConfig { seed: config.seed, ..config.train.clone() },
        model: &config.model(),
        pairs: &pairs,
        validation: &validation,
        dir: folder,
        initial: from.map(|from| &from.parameters),
        resume,
        stop,
        device: device.clone(),
    };
    let summary = disyre_diffusion::train(&run, observer)?;
    let report = TrainReport {
        steps: summary.step,
        finished: summary.finished,
        errors: summary.validation.or(begun.errors),
        ..begun
    };
    report.save(folder)?;
    drop(claimed);
    Ok(report)
}

/// Compares the memory of a training step on the CPU with what is left. A GPU says so itself.
fn ensure_memory_for_steps(config: &RunConfig, device: &Device) -> Result<(), Error> {
    if !device.is_cpu() {
        return Ok(());
    }
    let TrainConfig { batch, recompute, .. } = config.train;
    let [z, y, x] = config.pairs.patch;
    let network = config.model().network;
    let bytes = network.training_bytes(batch.saturating_mul(z), [y, x], recompute);
    Ok(VolumeError::ensure_memory("a training step of these settings", bytes)?)
}

/// Writes all but the weights, and returns the record of the training so far.
fn prepare_folder(
    training: &Training<'_>,
    preparation: &Preparation,
    tissues: Option<&Tissues>,
) -> Result<TrainReport, Error> {
    let Training { config, folder, resume, .. } = *training;
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let settings = folder.join(SETTINGS_FILE);
    match (settings.exists(), resume) {
        (true, true) => config.ensure_continues(&RunConfig::load(&settings)?, &settings)?,
        (true, false) => return Err(DiffusionError::AlreadyTrained { dir: folder.into() }.into()),
        (false, _) => {}
    }
    let mut begun = TrainReport::begun(training);
    let earlier = if resume { TrainReport::load(folder)? } else { None };
    ensure_resumable(folder, earlier.as_ref(), resume)?;
    match earlier {
        Some(earlier) => {
            begun.ensure_continues(&earlier, folder)?;
            (begun.errors, begun.from) = (earlier.errors, earlier.from);
        }
        None => begun.save(folder)?,
    }
    let text = toml::to_string(config).map_err(Error::config(&settings))?;
    write_bytes(&settings, text.as_bytes())?;
    if preparation.reference().is_some() {
        keep_preparation(preparation, &folder.join(PREPARATION_FILE), resume)?;
    }
    if let Some(Tissues::Fitted(tissues)) = tissues {
        tissues.save(&folder.join(TISSUE_FILE))?;
    }
    Ok(begun)
}

/// Checks that a folder to resume has either what a training continues from, or nothing but what it wrote before its first
/// checkpoint was whole.
fn ensure_resumable(
    folder: &Path,
    earlier: Option<&TrainReport>,
    resume: bool,
) -> Result<(), Error> {
    let has = |file: &str| folder.join(file).exists();
    let begins = earlier.is_some_and(|earlier| earlier.steps == 0 && !earlier.finished);
    let missing = if has(TRAINING_FILE) && !(has(RECORD_FILE) && has(SETTINGS_FILE)) {
        "run.toml or run.json is missing, so nothing says how its checkpoint was trained; train in another folder"
    } else if !has(TRAINING_FILE) && (has(MODEL_FILE) || has(EMA_FILE)) && !begins {
        "it holds weights without their checkpoint, training.safetensors; train in another folder, with --from"
    } else {
        return Ok(());
    };
    match resume {
        true => Err(Error::NotResumable { folder: folder.to_owned(), missing }),
        false => Ok(()),
    }
}

/// Writes the preparation; a run that is continued has to have the same.
fn keep_preparation(preparation: &Preparation, path: &Path, resume: bool) -> Result<(), Error> {
    if resume && path.is_file() {
        let same = Preparation::load(path)?.reference() == preparation.reference();
        let field = || "what was fitted to the intensities of the cohort".to_owned();
        return if same {
            Ok(())
        } else {
            Err(Error::Resume { path: path.into(), field: field() })
        };
    }
    preparation.save(path)
}

impl TrainReport {
    fn begun(training: &Training<'_>) -> Self {
        let Training { cohort, config, from, .. } = *training;
        let names = |subjects: &[Subject]| subjects.iter().map(|s| s.name.clone()).collect();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: config.seed,
            training: names(&cohort.training),
            validation: names(&cohort.validation),
            steps: 0,
            finished: false,
            errors: None,
            sha256: sha256_of(cohort.training.iter().chain(&cohort.validation)),
            from: from.map(|from| from.model.clone()),
        }
    }

    /// The record of an earlier run; `None` where there is no file.
    fn load(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(RECORD_FILE);
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(Error::config(&path)),
        }
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD_FILE);
        let json = serde_json::to_vec_pretty(self).map_err(Error::config(&path))?;
        write_bytes(&path, &json)
    }

    /// Checks that this training may continue an earlier one: it has the same subjects with the same files, and the same
    /// initial weights where they are given or still needed.
    fn ensure_continues(&self, earlier: &Self, folder: &Path) -> Result<(), Error> {
        let sha256 = |report: &Self| report.from.as_ref().map(|from| from.weights_sha256.clone());
        let needed = self.from.is_some() || !folder.join(TRAINING_FILE).exists();
        let pairs = [
            (self.training == earlier.training, "the subjects that train"),
            (self.validation == earlier.validation, "the subjects that validate"),
            (
                !needed || sha256(self) == sha256(earlier),
                "the weights that it starts from (--from)",
            ),
        ];
        let field = match pairs.into_iter().find(|(same, _)| !same) {
            Some((_, field)) => field.to_owned(),
            None => match self.changed_subject(earlier) {
                Some(name) => format!("the contents of {name}, whose file has changed since"),
                None => return Ok(()),
            },
        };
        Err(Error::Resume { path: folder.join(RECORD_FILE), field })
    }

    /// The first subject whose files are not those of an earlier run, which may not have recorded them.
    fn changed_subject(&self, earlier: &Self) -> Option<&str> {
        let known = self
            .sha256
            .iter()
            .filter_map(|(name, now)| Some((name, now, earlier.sha256.get(name)?)));
        known.into_iter().find(|(_, now, then)| now != then).map(|(name, ..)| name.as_str())
    }
}

/// Hashes of the files of subjects, those that were read from files.
fn sha256_of<'a>(subjects: impl Iterator<Item = &'a Subject>) -> BTreeMap<String, Vec<String>> {
    let read = subjects.filter(|subject| !subject.sha256.is_empty());
    read.map(|subject| (subject.name.clone(), subject.sha256.clone())).collect()
}
