//! Errors of experiments.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use disyre::core::causes;

/// Why an experiment cannot be run, or a run of it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// A run could not be trained, mapped or measured.
    #[error(transparent)]
    Pipeline(#[from] disyre::Error),
    /// Measures could not be summarised.
    #[error(transparent)]
    Score(#[from] disyre::score::ScoreError),
    /// A file could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file is not an experiment.
    #[error("{} is not an experiment", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The key and the reason.
        source: Box<toml::de::Error>,
    },
    /// An experiment asks for something that cannot be.
    #[error("{} cannot be run", path.display())]
    Invalid {
        /// Its file.
        path: PathBuf,
        /// The cause.
        source: Box<ExperimentError>,
    },
    /// A key of the file has a value that does not fit the others.
    #[error("{key} must be {expected}")]
    Key {
        /// The key, as in the file.
        key: String,
        /// Values that it may hold.
        expected: &'static str,
    },
    /// Settings of a row are not those of a run.
    #[error("row {row:?} has wrong settings")]
    Settings {
        /// Label of the row.
        row: String,
        /// The key and the reason.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A setting cannot be taken out.
    #[error("row {row:?}: unset names {key}, which is not set or not optional; remove it there")]
    Unset {
        /// Label of the row.
        row: String,
        /// The setting.
        key: String,
    },
    /// A row of a finished model changes what was trained.
    #[error(
        "row {row:?} changes {key}, but the model is trained already: only `detect` may differ; give a preset in place of base.model"
    )]
    DetectionOnly {
        /// Label of the row.
        row: String,
        /// The setting.
        key: String,
    },
    /// Two rows would have one folder.
    #[error("rows {first:?} and {second:?} would share the folder {name}; give them other labels")]
    SameRow {
        /// Label of the first.
        first: String,
        /// Label of the second.
        second: String,
        /// Name of the folder.
        name: String,
    },
    /// Two test sets would have one folder.
    #[error(
        "the test sets {first:?} and {second:?} would share the folder {name}; give them other names"
    )]
    SameSet {
        /// Name of the first.
        first: String,
        /// Name of the second.
        second: String,
        /// Name of the folder.
        name: String,
    },
    /// A name of the file cannot become the name of a folder or file.
    #[error(
        "{what} {name:?} gives no name of a folder; it needs letters or digits, and {most} bytes at most"
    )]
    Name {
        /// The kind of name.
        what: &'static str,
        /// The name.
        name: String,
        /// Greatest length of the folder's name.
        most: usize,
    },
    /// A row trains on folders that are not there.
    #[error(
        "row {row:?} trains on {name:?}, which is no name of a folder of data.healthy; give one of them that name"
    )]
    NoHealthy {
        /// Label of the row.
        row: String,
        /// The name.
        name: String,
    },
    /// The reference is no row.
    #[error("reference is {reference:?}, which is no row; the rows are {}", rows.join(", "))]
    NoReference {
        /// Its label.
        reference: String,
        /// Labels of the rows.
        rows: Vec<String>,
    },
    /// A measure that experiments do not take.
    #[error("measures has {measure}, which experiments do not take; choose among {}", taken.join(", "))]
    NotTaken {
        /// The measure.
        measure: disyre::Measure,
        /// Names of those that are taken.
        taken: Vec<&'static str>,
    },
    /// A list of cases could not be understood.
    #[error("{} is not a list of cases; expected the columns scan,label and perhaps mask,subject", path.display())]
    Cases {
        /// The file.
        path: PathBuf,
        /// The line and the reason.
        source: csv::Error,
    },
    /// A list of cases without cases.
    #[error("{} lists no case; expected a line scan,label[,mask] for each", path.display())]
    NoCases {
        /// The file.
        path: PathBuf,
    },
    /// Two cases of a set have one name.
    #[error("{} lists two scans called {name}; rename one of them", path.display())]
    SameCase {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A scan that is to be left out is not there.
    #[error("data.healthy excludes {name}, but {} holds no scan of that name; correct it or remove it", folder.display())]
    NotExcluded {
        /// The name.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A folder of results would be mixed with other results.
    #[error("{} holds files already; go on with --continue, or choose another folder", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// Another program works in the folder.
    #[error("another program is working in {}; wait for it or end it", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// A run that was begun or finished was another one.
    #[error(
        "{} was made with {change}; restore that, remove the folder to make the run again, or choose another folder for the results", folder.display()
    )]
    Changed {
        /// Folder of the run.
        folder: PathBuf,
        /// The difference.
        change: Change,
    },
    /// A file of the store is damaged.
    #[error("{} is damaged; remove it, it will be made again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Somebody asked for the end.
    #[error("stopped in run {run}: {progress}; go on with --continue")]
    Stopped {
        /// Name of the run.
        run: String,
        /// How far it came.
        progress: Progress,
    },
    /// The training that a run shares with another failed there.
    #[error("its training failed in run {run}")]
    SharedTraining {
        /// Name of the other run.
        run: String,
    },
    /// A record or a result cannot be written as text.
    #[error("cannot write {what} as text")]
    Serialize {
        /// The record.
        what: &'static str,
        /// The reason.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A plot could not be drawn.
    #[error("cannot draw {}", path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Difference between a run in the store and one of the same name in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The version of the program, in the store.
    Version(String),
    /// The first setting.
    Setting(String),
    /// Healthy scans, files beside them, or the finished model.
    Model,
    /// Test cases.
    Cases,
    /// Whether maps are kept.
    Maps,
}

/// How far a run came before somebody stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Steps of training, which a checkpoint keeps.
    Steps(u64),
    /// Cases measured, which are kept.
    Cases(usize),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version} of the program"),
            Self::Setting(key) => write!(f, "another value of {key}"),
            Self::Model => write!(f, "other healthy scans, or another model"),
            Self::Cases => write!(f, "other test cases"),
            Self::Maps => write!(f, "another value of keep_maps"),
        }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "a checkpoint holds {steps} steps"),
            Self::Cases(cases) => write!(f, "{cases} cases are measured"),
        }
    }
}

impl ExperimentError {
    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err` on records that become text.
    pub(crate) fn serialize<E: StdError + Send + Sync + 'static>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Serialize { what, source: Box::new(source) }
    }

    /// For `map_err` on the contents of files of the store.
    pub(crate) fn damaged<E: StdError + Send + Sync + 'static>(
        path: &Path,
    ) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        move |source| Self::Damaged { path, source: Box::new(source) }
    }
}

/// An error with its causes, in one line.
pub(crate) fn with_causes(error: &ExperimentError) -> String {
    error.to_string() + &causes(error).map(|cause| format!(": {cause}")).collect::<String>()
}
