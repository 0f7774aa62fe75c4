//! Errors of the façade.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use disyre_core::causes;

use crate::HealthyFolder;

/// Errors of the pipeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A scan could not be read, written or resampled.
    #[error(transparent)]
    Volume(#[from] disyre_volume::VolumeError),
    /// Tissue classes could not be fitted or read.
    #[error(transparent)]
    Tissue(#[from] disyre_tissue::TissueError),
    /// A bias field could not be estimated.
    #[error(transparent)]
    N4(#[from] disyre_n4::N4Error),
    /// Settings of the correction of the bias field are out of range.
    #[error("prepare.bias.n4: {0}")]
    BiasSettings(disyre_n4::N4Error),
    /// No scan counts by which weights could be fitted.
    #[error(
        "no scan with lesions counts: {doubtful} have a doubtful registration, {too_small} have lesions of fewer than 10 voxels of 2 mm; give scans of whole brains with larger lesions"
    )]
    NoLesionCase {
        /// Scans with a doubtful registration.
        doubtful: usize,
        /// Scans with small lesions.
        too_small: usize,
    },
    /// A scan by which weights are fitted is of a person who has another part in the calibration.
    #[error(
        "{}: a scan of this person, {person}, trained the model or is among the healthy ones; give scans of others with lesions",
        scan.display()
    )]
    PersonInUse {
        /// The scan with lesions.
        scan: PathBuf,
        /// The person.
        person: String,
    },
    /// A healthy scan is given twice, where each may count once and for one purpose.
    #[error("{second} is {first} again (the same file); give each healthy scan once")]
    SameScan {
        /// Name of the scan.
        first: String,
        /// The other name of it, or the same.
        second: String,
    },
    /// A scan that trained the network is given where only new ones serve.
    #[error(
        "{name} trained the network, so that it cannot set a threshold; give other healthy scans"
    )]
    TrainedScan {
        /// Name of the scan.
        name: String,
    },
    /// A scan could not be registered.
    #[error(transparent)]
    Register(#[from] disyre_register::RegisterError),
    /// Statistics of lesions, shapes or implants failed.
    #[error(transparent)]
    Implant(#[from] disyre_implant::ImplantError),
    /// A corruption could not be set up or applied.
    #[error(transparent)]
    Dag(#[from] disyre_dag::DagError),
    /// A brain could not be extracted.
    #[error(transparent)]
    Brain(#[from] disyre_brain::BrainError),
    /// A scan is a whole head where a stripped one is expected.
    #[error(
        "the scan holds a head and not a stripped brain: {nonzero_ml:.0} ml are not 0{}; strip it (--strip), give a brain mask where the command takes one (--mask), or say that it is stripped (--stripped)", brain_text(*.brain_share)
    )]
    Head {
        /// Volume that is not 0, in millilitres.
        nonzero_ml: f64,
        /// Share of it that looks like brain, if that had to be asked.
        brain_share: Option<f64>,
    },
    /// Patches could not be augmented.
    #[error(transparent)]
    Augment(#[from] disyre_augment::AugmentError),
    /// A scan could not be tiled.
    #[error(transparent)]
    Patch(#[from] disyre_patch::PatchError),
    /// Scores or measures could not be computed.
    #[error(transparent)]
    Score(#[from] disyre_score::ScoreError),
    /// The model could not be built, trained or read.
    #[error(transparent)]
    Diffusion(#[from] disyre_diffusion::DiffusionError),
    /// Two arrays do not fit.
    #[error(transparent)]
    Shape(#[from] disyre_core::ShapeError),
    /// A file of another kind than a scan could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A configuration could not be understood.
    #[error("{} is not a valid configuration; correct it, or restore the file", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key and the reason.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A folder holds no model.
    #[error("{} holds no trained model: {missing} is missing; give the folder that `disyre train` wrote", folder.display())]
    NotAModel {
        /// The folder.
        folder: PathBuf,
        /// The missing file.
        missing: &'static str,
    },
    /// A folder holds no atlas, or no calibration.
    #[error("{} holds no {kind}: {missing} is missing; give the folder that `{}` wrote, or make it anew", folder.display(), kind.program())]
    NotHealthyMaps {
        /// The kind of folder.
        kind: HealthyFolder,
        /// The folder.
        folder: PathBuf,
        /// The missing file.
        missing: String,
    },
    /// A file of an atlas or a calibration is not what was written with it.
    #[error("{} is damaged: its SHA-256 is {got}, expected {expected}; restore the file, or make the {kind} anew (`{}`)", path.display(), kind.program())]
    DamagedMaps {
        /// The kind of folder.
        kind: HealthyFolder,
        /// The file.
        path: PathBuf,
        /// SHA-256 in the record.
        expected: String,
        /// SHA-256 of the file.
        got: String,
    },
    /// Files of an atlas or a calibration contradict each other, or the template.
    #[error("{} contradicts the rest of the {kind}: {reason}; make the {kind} anew (`{}`)", path.display(), kind.program())]
    MapsContradiction {
        /// The kind of folder.
        kind: HealthyFolder,
        /// The file.
        path: PathBuf,
        /// The contradiction.
        reason: &'static str,
    },
    /// Too few healthy scans have a registration that can be trusted.
    #[error("the {kind} needs 2 healthy scans, but only {good} can be registered well; look at {}, and give others", doubtful.join(", "))]
    TooFewHealthy {
        /// The kind of folder.
        kind: HealthyFolder,
        /// Number of scans with a good registration.
        good: usize,
        /// Names of the others.
        doubtful: Vec<String>,
    },
    /// Maps of an atlas or a calibration have another shape than this version's template.
    #[error("{} has shape {got:?}, expected the template's {expected:?}; make the {kind} anew (`{}`)", path.display(), kind.program())]
    MapsGrid {
        /// The kind of folder.
        kind: HealthyFolder,
        /// The file.
        path: PathBuf,
        /// Shape of the template.
        expected: [usize; 3],
        /// Shape of the map.
        got: [usize; 3],
    },
    /// A calibration was fitted with other weights than those of its model.
    #[error("{} belongs to other weights: SHA-256 {expected}, but the model has {got}; calibrate the model anew (`disyre calibrate`), or delete the folder", folder.display())]
    CalibrationOfOtherWeights {
        /// Folder of the calibration.
        folder: PathBuf,
        /// SHA-256 of the weights that it was fitted with.
        expected: String,
        /// SHA-256 of the model's weights.
        got: String,
    },
    /// A detection is to be calibrated by maps that were fitted with other settings.
    #[error(
        "the model was calibrated with another {field}; leave it as it was, calibrate anew (`disyre calibrate`), or ask for the published score (--score published)"
    )]
    OtherCalibration {
        /// The setting, as in `detect`.
        field: &'static str,
    },
    /// A calibrated score was asked for and the model has no calibration.
    #[error("{} holds no calibration; make one (`disyre calibrate --healthy DIR -m {}`), or ask for the published score (--score published)", model.display(), model.display())]
    NotCalibrated {
        /// Folder of the model.
        model: PathBuf,
    },
    /// No copy of a healthy scan has an anomaly that a threshold could find.
    #[error(
        "no threshold finds the synthetic anomalies of any copy: the score is 0 there, or they are all smaller than 1 ml; calibrate with scans of whole brains"
    )]
    NoAnomaly,
    /// Two files of a model's folder describe different networks.
    #[error("{} and {} differ in {field}; restore the file that was changed, the weights fit only one of them", settings.display(), network.display())]
    Disagreement {
        /// The settings of training.
        settings: PathBuf,
        /// The description of the network.
        network: PathBuf,
        /// The first field that differs, as in the settings.
        field: String,
    },
    /// A reference that was fitted to a cohort belongs to another preparation.
    #[error("{} was fitted for another preparation than that of {}; restore the file that was changed, or train anew", path.display(), settings.display())]
    Preparation {
        /// The reference.
        path: PathBuf,
        /// The settings of the run.
        settings: PathBuf,
    },
    /// A picture could not be encoded.
    #[error("cannot encode {} as PNG", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A setting is out of its range.
    #[error("setting {field} must be {expected}")]
    Setting {
        /// The field, as in a run's TOML file.
        field: &'static str,
        /// Values that it may hold.
        expected: &'static str,
    },
    /// Scores whose order 32 bits do not hold.
    #[error(
        "{} holds {tied} of {voxels} scores that differ in 64 bits and are ranked as equal in 32; subtract their offset or rank them, and save them as float32",
        path.display()
    )]
    NarrowScores {
        /// The file.
        path: PathBuf,
        /// Voxels that tie with the next in order.
        tied: usize,
        /// Voxels that count.
        voxels: usize,
    },
    /// A brain mask leaves nothing to measure.
    #[error("mask {} is 0 everywhere; a brain mask is not 0 inside the brain", path.display())]
    EmptyMask {
        /// The file.
        path: PathBuf,
    },
    /// A segmentation holds something else than codes.
    #[error("segmentation {} holds {value}, expected whole numbers; give label maps, not probabilities", path.display())]
    Codes {
        /// The file.
        path: PathBuf,
        /// The first such value.
        value: f32,
    },
    /// A location map holds something else than weights.
    #[error("location map {} holds {value}, expected finite weights ≥ 0; give a mask or a map of probabilities", path.display())]
    Weight {
        /// The file.
        path: PathBuf,
        /// The first such value.
        value: f32,
    },
    /// A location map leaves none.
    #[error("location map {} is 0 in the whole brain of its scan, expected a weight above 0; widen the map", path.display())]
    NoLocation {
        /// The file.
        path: PathBuf,
    },
    /// Tissues are told by segmentations, and a scan has none.
    #[error(
        "{name} has no segmentation, which tissue.model = \"label-maps\" needs; set tissue.segmentations"
    )]
    Unsegmented {
        /// The scan.
        name: String,
    },
    /// A file holds no recipe.
    #[error("{} is not a recipe; give a NAME_recipe.json that `disyre synth` wrote", path.display())]
    Recipe {
        /// The file.
        path: PathBuf,
        /// The key and the reason.
        source: serde_json::Error,
    },
    /// A recipe gave another sample than the one that it records.
    #[error(
        "the recipe of sample {index} of {name}, written by version {version}, gives another {field} than it records; replay it with that version"
    )]
    NotReplayed {
        /// The corrupted scan.
        name: String,
        /// Index of the sample in its run.
        index: u64,
        /// Version that wrote the recipe.
        version: String,
        /// The part that differs.
        field: &'static str,
    },
    /// A run cannot be continued with other settings.
    #[error("{} differs from the settings of this run in {field}; resume without changing it, or start a new folder", path.display())]
    Resume {
        /// The earlier settings.
        path: PathBuf,
        /// The first key that differs.
        field: String,
    },
    /// A folder lacks what a training would continue from.
    #[error("{} cannot be resumed: {missing}", folder.display())]
    NotResumable {
        /// The folder.
        folder: PathBuf,
        /// The part that is missing, and the way to go on.
        missing: &'static str,
    },
    /// Another training runs in a folder.
    #[error("another training runs in {}; wait for its end, or choose another folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A scan with nothing in it.
    #[error("{name} has no voxel inside the brain; give a brain mask or a skull-stripped scan")]
    EmptyBrain {
        /// The scan.
        name: String,
    },
    /// Intensities that are no magnitudes.
    #[error(
        "{percent:.0} % of the brain is negative: the scan looks standardised (z-scored), and scaling would cut all of that to 0; give the scan before standardisation, or shift it above 0 inside the brain"
    )]
    NegativeBrain {
        /// Share of the brain's voxels below 0.
        percent: f64,
    },
    /// Two scans of a cohort have one name, so one subject might both train and validate.
    #[error(
        "two healthy scans are called {name} (one .nii, one .nii.gz?); keep one of them or rename it"
    )]
    SameName {
        /// The name.
        name: String,
    },
    /// Too few healthy scans.
    #[error(
        "healthy scans of {got} persons are too few: those of at least {needed} are needed, one of them for validation; all scans of one person train, or all validate"
    )]
    CohortTooSmall {
        /// Number of persons.
        got: usize,
        /// Number needed.
        needed: usize,
    },
    /// Some of several scans can't be used.
    #[error("{} of {total} scans cannot be used:{}", failed.len(), list(failed))]
    Scans {
        /// Number of scans.
        total: usize,
        /// Their errors, which name them.
        failed: Vec<Error>,
    },
    /// A sidecar is not one that a page can be made of.
    #[error("{} is no sidecar of this version's `disyre detect`; detect on its scan again", path.display())]
    Sidecar {
        /// The file.
        path: PathBuf,
        /// The field and the reason.
        source: serde_json::Error,
    },
    /// The scan of a sidecar is not where the sidecar says.
    #[error("{}: its field source names the scan {scan}, which is not there{}; give the folder of the scans (--scans DIR)", sidecar.display(), looked(scans))]
    ScanMoved {
        /// The sidecar.
        sidecar: PathBuf,
        /// The scan as the sidecar names it.
        scan: String,
        /// The folder that was looked in.
        scans: Option<PathBuf>,
    },
    /// A file of a detection lies on another grid than its scan.
    #[error("{} is of another scan than {}; give the scan that it was made of (--scans DIR), or detect on this one again", file.display(), scan.display())]
    OtherScan {
        /// The file.
        file: PathBuf,
        /// The scan.
        scan: PathBuf,
        /// The difference.
        source: Box<disyre_volume::VolumeError>,
    },
    /// A file is not the one that a detection was made of.
    #[error("{} is another file than the scan that {} was made of: its SHA-256 is {got}, expected {expected}; give the folder of that scan (--scans DIR), or detect on this one again", scan.display(), sidecar.display())]
    ScanChanged {
        /// The file.
        scan: PathBuf,
        /// The sidecar.
        sidecar: PathBuf,
        /// SHA-256 in the sidecar.
        expected: String,
        /// SHA-256 of the file.
        got: String,
    },
    /// A page could not be made.
    #[cfg(feature = "pictures")]
    #[error("cannot make the page {}", path.display())]
    Page {
        /// The page.
        path: PathBuf,
        /// The cause.
        source: disyre_report::ReportError,
    },
    /// One of several cases failed.
    #[error("{case} failed")]
    Case {
        /// The case.
        case: String,
        /// The cause.
        source: Box<Error>,
    },
}

impl Error {
    pub(crate) fn head(content: disyre_brain::Content) -> Self {
        let disyre_brain::Content { nonzero_ml, brain_share, .. } = content;
        Self::Head { nonzero_ml, brain_share }
    }

    /// The errors of some of so many scans as one: a single one as it is, several in a list.
    pub(crate) fn all_of(mut failed: Vec<Self>, total: usize) -> Result<(), Self> {
        match failed.len() {
            0 => Ok(()),
            1 => Err(failed.remove(0)),
            _ => Err(Self::Scans { total, failed }),
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err` on files of settings and records.
    pub(crate) fn config<E: StdError + Send + Sync + 'static>(
        path: &Path,
    ) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_path_buf();
        move |source| Self::Config { path, source: Box::new(source) }
    }

    /// For `map_err` on the work of one case.
    pub(crate) fn case(name: &str) -> impl FnOnce(Self) -> Self + use<> {
        let case = name.to_owned();
        move |source| Self::Case { case, source: Box::new(source) }
    }
}

/// A line for each error, with its causes.
fn list(failed: &[Error]) -> String {
    let line = |error: &Error| {
        let causes = causes(error).map(|cause| format!("\n    because: {cause}"));
        format!("\n- {error}") + &causes.collect::<String>()
    };
    failed.iter().map(line).collect()
}

/// For the message of a scan that moved.
fn looked(scans: &Option<PathBuf>) -> String {
    scans.as_ref().map_or_else(String::new, |folder| format!(", nor in {}", folder.display()))
}

/// For the message of a head.
fn brain_text(share: Option<f64>) -> String {
    share.map_or_else(String::new, |share| {
        format!(", {:.0} % of them look like brain", 100.0 * share)
    })
}
