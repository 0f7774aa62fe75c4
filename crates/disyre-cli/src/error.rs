//! Errors of the commands, their messages and exit statuses.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use disyre::core::causes;
use disyre::diffusion::DiffusionError;
use disyre::implant::ImplantError;
use disyre::tissue::TissueError;
use disyre::volume::VolumeError;
use disyre_experiment::ExperimentError;

/// Exit status of a program that Ctrl-C ended, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// The pipeline failed.
    #[error(transparent)]
    Pipeline(#[from] disyre::Error),
    /// An experiment cannot be run, or was stopped.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// A result that is nowhere else could not be printed.
    #[error("cannot print the result to standard output")]
    Print(#[source] io::Error),
    /// A value has no JSON form.
    #[error("the result cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// A file that is not a scan could not be used.
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// A settings file holds an unknown key, or a value of the wrong kind.
    #[error("{} is not a valid settings file", path.display())]
    Settings { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    /// Settings of a calibration differ from those that the model was trained with.
    #[error("{} changes {key}, but a calibration can change settings of detect alone; take it out, or train another model", path.display())]
    NotOfDetection { path: PathBuf, key: String },
    /// No healthy scan is left for a calibration.
    #[error("all of the scans trained {}; give others, or leave out --held-out", model.display())]
    OnlyTrained { model: PathBuf },
    /// A model or a demo would be mixed with something else.
    #[error("{} is not empty; choose another folder, or {alternative}", folder.display())]
    NotEmpty { folder: PathBuf, alternative: &'static str },
    /// Two scans would write the same file.
    #[error("{} and {} would both write {}; rename one of them", first.display(), second.display(), output.display())]
    SameOutput { first: PathBuf, second: PathBuf, output: PathBuf },
    /// A result would replace what it was made from.
    #[error("the result {} would overwrite an input; choose another output folder", output.display())]
    Overwrites { output: PathBuf },
    /// A list of pairs could not be understood.
    #[error("{} is not a list of pairs; expected the columns score,label[,mask][,scan][,subject]", path.display())]
    Pairs { path: PathBuf, source: csv::Error },
    /// A list of pairs without pairs.
    #[error("{} lists no pair; expected a line score,label[,mask][,scan][,subject] for each case", path.display())]
    NoPairs { path: PathBuf },
    /// A list of pairs without the scans.
    #[error("{} does not name the scan of every case; it needs the columns scan and label, as in pairs.csv of `disyre implant`", path.display())]
    NoScanColumn { path: PathBuf },
    /// No anomaly map in a folder.
    #[error("{} holds no file named NAME_desc-anomalyscore….nii.gz; give the folder that `disyre detect` wrote", folder.display())]
    NoScores { folder: PathBuf },
    /// No detection in a folder.
    #[error("{} holds no file named NAME_desc-anomalyscore….json; give the folder that `disyre detect` wrote", folder.display())]
    NoDetections { folder: PathBuf },
    /// A lesion mask is of no map.
    #[error("no anomaly map in {} belongs to this lesion mask; map its scan too, or move it away", scores.display())]
    NoMap { scores: PathBuf },
    /// A file that only seems to be a map.
    #[error("it is not named like a map, NAME_desc-anomalyscore…; rename it, or move it away")]
    NotNamedLikeAMap,
    /// A second method lacks maps.
    #[error("{} holds no map of {} cases:{}", folder.display(), missing.len(), missing.iter().map(|map| format!("\n- {}", map.display())).collect::<String>())]
    NotCompared { folder: PathBuf, missing: Vec<PathBuf> },
    /// A map of a second method would stand for several cases.
    #[error("{} would be the map of {} cases; name each map after its scan:{}", map.display(), cases.len(), cases.iter().map(|case| format!("\n- {}", case.display())).collect::<String>())]
    SharedMap { map: PathBuf, cases: Vec<PathBuf> },
    /// The list or the folders leave nothing to measure.
    #[error("no map can be measured:\n{}", list(failed))]
    NothingToMeasure { failed: Vec<(PathBuf, CliError)> },
    /// A map lies elsewhere than its scan or the map that it is compared with.
    #[error("{} lies on another grid than {}: {difference}; resample it", file.display(), like.display())]
    OtherGrid { file: PathBuf, like: PathBuf, difference: String },
    /// A folder holds results of this program and masks, but no scan.
    #[error("{} holds no scan, only maps that disyre made or brain masks; give the folder of the scans", folder.display())]
    OnlyResults { folder: PathBuf },
    /// A record of a cohort is being kept by another run.
    #[error("another run keeps {}; wait for its end, or share the work with --shard K/N", manifest.display())]
    CohortInUse { manifest: PathBuf },
    /// A record of a session is being kept by another run.
    #[error("another run keeps {}; wait for its end", manifest.display())]
    RecordInUse { manifest: PathBuf },
    /// A folder is not in the layout of BIDS.
    #[error("{} holds no folder sub-LABEL; give the root of a BIDS dataset", folder.display())]
    NotBids { folder: PathBuf },
    /// A dataset lacks subjects that were asked for.
    #[error("{} has no subject {}; give labels of its folders sub-LABEL", dataset.display(), labels.join(", "))]
    NoParticipant { dataset: PathBuf, labels: Vec<String> },
    /// A subject lacks scans.
    #[error(
        "it has no scan anat/*_{suffix}.nii[.gz] in the sessions that were asked for; give another --suffix, or leave it out"
    )]
    NoBidsScan { suffix: String },
    /// No subject has a scan.
    #[error("no subject of {} has a scan anat/*_{suffix}.nii[.gz] in the sessions that were asked for; give another --suffix", dataset.display())]
    NoBidsScans { dataset: PathBuf, suffix: String },
    /// A scan lies in the folder of another subject or session.
    #[error("its name does not say that it is of {}, where it lies; rename or move it", folder.display())]
    Misplaced { folder: PathBuf },
    /// The outputs would be mixed with another dataset.
    #[error("{} holds a dataset that disyre did not write; choose another folder, such as derivatives/disyre in the dataset", folder.display())]
    ForeignDataset { folder: PathBuf },
    /// The outputs would lie among the scans of a dataset.
    #[error("{} lies within the dataset {}; choose a folder elsewhere, or one of its own below derivatives, such as {}", folder.display(), dataset.display(), dataset.join("derivatives/disyre").display())]
    InsideDataset { folder: PathBuf, dataset: PathBuf },
    /// An argument that the table of all subjects has no use for.
    #[error("{option} is for the level participant; {reason}")]
    NotOfGroup { option: &'static str, reason: &'static str },
    /// A case failed by the record of an earlier run.
    #[error("{error}")]
    FailedBefore { error: String },
    /// No record says that a case was worked on.
    #[error("nothing is recorded of it: not mapped yet, or stopped")]
    NotRecorded,
    /// A case is recorded as done, and its outputs are others.
    #[error(
        "its outputs are gone or are not those that were recorded; map it again with --continue"
    )]
    NotAsRecorded,
    /// The table of a group has rows without results.
    #[error("{} is written, and not whole: {failed} scans failed and {missing} are missing:{list}", table.display())]
    Group { table: PathBuf, failed: usize, missing: usize, list: String },
    /// One scan is no cohort.
    #[error("{} is one scan; {option} is for a folder of scans", scan.display())]
    NoCohort { scan: PathBuf, option: &'static str },
    /// Some files of a folder failed their check.
    #[error("{failed} of {files} files failed the check of {}; the fix of each is above, and a run is safe once none fails", folder.display())]
    CheckFailed { folder: PathBuf, failed: usize, files: usize },
    /// The pool of threads could not be set up.
    #[error("cannot run with {threads} threads")]
    Threads { threads: usize, source: rayon::ThreadPoolBuildError },
    /// No model is given, and the program has none.
    #[cfg(not(feature = "weights"))]
    #[error(
        "no model: this program was built without the feature `weights`; give the folder of a model that `disyre train` wrote (-m MODEL_DIR)"
    )]
    NoModel,
    /// No GPU although one is required.
    #[error("there is no GPU to check although DISYRE_REQUIRE_CUDA is 1")]
    NoGpu,
    /// A GPU computes something else than the CPU.
    #[error("the GPU does not compute what the CPU computes; see the lines that end in WRONG")]
    GpuDiffers,
    /// A GPU could not be checked.
    #[error("the GPU could not be checked")]
    GpuFailed(#[source] Box<dyn Error + Send + Sync>),
    /// Ctrl-C cannot be waited for.
    #[error("cannot listen to Ctrl-C")]
    Signals(#[source] Box<dyn Error + Send + Sync>),
    /// A folder that a training is to continue in has none.
    #[error("{} holds no training to resume; check its name, or leave out --resume to begin one there", folder.display())]
    NothingToResume { folder: PathBuf },
    /// Someone ended a training before its last step.
    #[error("stopped after step {step} with a checkpoint in {}; continue with --resume", folder.display())]
    Interrupted { folder: PathBuf, step: u64 },
    /// Some runs of an experiment failed.
    #[error("{} of {total} runs failed; go on with --continue once the causes are gone:{}", failed.len(), runs(failed))]
    Runs { total: usize, failed: Vec<(String, ExperimentError)> },
    /// A healthy scan cannot be brought to MNI space.
    #[error("its registration is {verdict}")]
    DoubtfulHost { verdict: String },
    /// Some of several cases failed.
    #[error("{} of {total} scans failed:\n{}", failed.len(), list(failed))]
    Cases { total: usize, failed: Vec<(PathBuf, CliError)> },
    /// Pages could not be made of maps that are saved.
    #[error("all maps are saved, but {} pages could not be made; once the causes are gone, `disyre report {}` makes them:\n{}", failed.len(), folder.display(), list(failed))]
    Pages { folder: PathBuf, failed: Vec<(PathBuf, CliError)> },
    /// Some of several implanted cases could not be made; a scan that fails stands for all of its cases.
    #[error("{count} of {total} cases were not made:\n{}", list(failed))]
    NotMade { count: usize, total: usize, failed: Vec<(PathBuf, CliError)> },
}

impl CliError {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// 3 if some cases, pages or runs failed, 130 after Ctrl-C, 4 if a required GPU is missing, 1 otherwise. (clap ends with 2 on
    /// wrong usage.)
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Cases { .. } | Self::NotMade { .. } | Self::Pages { .. } => 3,
            Self::Runs { .. } | Self::Group { .. } => 3,
            Self::Interrupted { .. } | Self::Experiment(ExperimentError::Stopped { .. }) => {
                INTERRUPTED
            }
            Self::NoGpu => 4,
            #[cfg(not(feature = "weights"))]
            Self::NoModel => 2,
            _ => 1,
        })
    }
}

impl From<VolumeError> for CliError {
    fn from(error: VolumeError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl From<ImplantError> for CliError {
    fn from(error: ImplantError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl From<TissueError> for CliError {
    fn from(error: TissueError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl From<DiffusionError> for CliError {
    fn from(error: DiffusionError) -> Self {
        Self::Pipeline(error.into())
    }
}

/// The message of an error and of everything that caused it, one per line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let causes = causes(error).map(|cause| {
        format!("\n  because: {}", cause.to_string().trim_end().replace('\n', "\n    "))
    });
    error.to_string() + &causes.collect::<String>()
}

fn list(failed: &[(PathBuf, CliError)]) -> String {
    let line = |(path, error): &(PathBuf, CliError)| {
        format!("- {}: {}", path.display(), with_causes(error).replace('\n', "\n  "))
    };
    failed.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn runs(failed: &[(String, ExperimentError)]) -> String {
    let line = |(run, error): &(String, ExperimentError)| {
        format!("\n- {run}: {}", with_causes(error).replace('\n', "\n  "))
    };
    failed.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_printed_on_its_own_line() {
        let missing = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = CliError::file("read", Path::new("a/b.csv"))(missing);
        assert_eq!(with_causes(&error), "cannot read a/b.csv\n  because: no such file");
    }

    #[test]
    fn failed_cases_are_listed_with_their_causes() {
        let missing = io::Error::new(io::ErrorKind::NotFound, "gone");
        let failed =
            vec![(PathBuf::from("x.nii"), CliError::file("read", Path::new("x.nii"))(missing))];
        let error = CliError::Cases { total: 3, failed };
        let expected = "1 of 3 scans failed:\n- x.nii: cannot read x.nii\n    because: gone";
        assert_eq!(with_causes(&error), expected);
    }
}
