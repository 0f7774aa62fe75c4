use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use disyre_core::Key;
use disyre_diffusion::{Device, TrainConfig, TrainEvent, TrainRun, TrainSummary, ValidationErrors};
use disyre_tissue::{Codebook, KMeansConfig, sample_cohort};
use serde::{Deserialize, Serialize};

use crate::{Cohort, DagPairs, Error, RunConfig, Subject, TissueConfig};

/// Name of the settings in a model's folder.
const SETTINGS: &str = "run.toml";
/// Name of the tissue classes in a model's folder.
const TISSUE: &str = "tissue.json";
/// Name of the record of who trained and who validated.
const RECORD: &str = "run.json";

/// What a training run leaves beside the weights, as `run.json`.
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
    /// Whether that is all of them; if not, the run can be resumed.
    pub finished: bool,
    /// Errors on the validation pairs after the last step.
    pub errors: Option<ValidationErrors>,
}

/// Fits tissue classes on some subjects: the same number of brain voxels from each.
///
/// # Errors
/// [`Error::Tissue`] if there are fewer distinct intensities than classes.
pub fn fit_tissue(
    subjects: &[Subject],
    config: &TissueConfig,
    key: Key,
) -> Result<Codebook, Error> {
    let images: Vec<_> = subjects.iter().map(|subject| subject.image.view()).collect();
    let samples = sample_cohort(&images, config.voxels_per_scan, key.child("sample"))?;
    let fit = KMeansConfig { classes: config.classes, ..KMeansConfig::default() };
    Ok(fit.fit(samples.view(), key.child("fit"))?.codebook)
}

/// What to train, on whom, and where to leave it.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// Healthy subjects.
    pub cohort: &'a Cohort,
    /// Every setting.
    pub config: &'a RunConfig,
    /// Folder of the model; made if it is not there.
    pub folder: &'a Path,
    /// Whether to go on where the folder's last checkpoint stopped, if it has one.
    pub resume: bool,
    /// Set it to true, from anywhere, to end after the current step with a checkpoint.
    pub stop: Option<&'a AtomicBool>,
    /// Where to compute.
    pub device: &'a Device,
}

/// Trains a model on a cohort and leaves all that detection needs in its folder.
///
/// Writes `run.toml` (the settings), `tissue.json`, `run.json` (a [`TrainReport`]) beside the weights and logs of
/// [`disyre_diffusion::train`]. `observer` hears of every step.
///
/// # Errors
/// [`Error::Setting`]; [`Error::Resume`] if the folder was trained with other settings; errors of files and of training.
pub fn train(
    training: &Training<'_>,
    observer: &mut dyn FnMut(TrainEvent),
) -> Result<TrainReport, Error> {
    let Training { cohort, config, folder, resume, stop, device } = *training;
    config.check()?;
    let key = Key::new(config.seed);
    let tissues = fit_tissue(&cohort.training, &config.tissue, key.child("tissue"))?;
    prepare_folder(training, &tissues)?;
    let tissues = Arc::new(tissues);
    let pairs = DagPairs::new(&cohort.training, config, tissues.clone(), key.child("training"))?;
    let validation = DagPairs::new(&cohort.validation, config, tissues, key.child("validation"))?;
    let run = TrainRun {
        config: &TrainConfig { seed: config.seed, ..config.train.clone() },
        model: &config.model(),
        pairs: &pairs,
        validation: &validation,
        dir: folder,
        resume,
        stop,
        device,
    };
    let summary = disyre_diffusion::train(&run, observer)?;
    let report = TrainReport::new(cohort, config, &summary);
    let json = serde_json::to_string_pretty(&report).expect("a report is plain values");
    write_whole(&folder.join(RECORD), json.as_bytes())?;
    Ok(report)
}

fn prepare_folder(training: &Training<'_>, tissues: &Codebook) -> Result<(), Error> {
    let Training { config, folder, resume, .. } = *training;
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let settings = folder.join(SETTINGS);
    if resume && settings.exists() {
        config.ensure_continues(&RunConfig::load(&settings)?, &settings)?;
    }
    let text = toml::to_string(config).expect("settings are plain values");
    write_whole(&settings, text.as_bytes())?;
    Ok(tissues.save(&folder.join(TISSUE))?)
}

impl TrainReport {
    fn new(cohort: &Cohort, config: &RunConfig, summary: &TrainSummary) -> Self {
        let names = |subjects: &[Subject]| subjects.iter().map(|s| s.name.clone()).collect();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: config.seed,
            training: names(&cohort.training),
            validation: names(&cohort.validation),
            steps: summary.step,
            finished: summary.finished,
            errors: summary.validation,
        }
    }
}

/// Writes a file so that its final name never holds half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(Error::io("write", path))
}
