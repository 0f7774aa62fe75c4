//! The error of this crate.

use std::path::{Path, PathBuf};

use disyre_core::{PairError, RestoreError, ShapeError};
use disyre_kernels::backend::BackendError;

/// Why a schedule, a network, a checkpoint or a training run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffusionError {
    /// A field of a configuration holds a value that cannot work.
    #[error("{field} is {got}, expected {expected}")]
    Config {
        /// Which field, as in the configuration file.
        field: &'static str,
        /// Values that would be right.
        expected: String,
        /// Value that came.
        got: String,
    },
    /// An image cannot be halved as often as the network does it.
    #[error(
        "the image is {height} x {width}, but a network of {levels} levels needs multiples of {factor}; cut it into windows of such a size"
    )]
    Indivisible {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Levels of the network.
        levels: usize,
        /// Both must be multiples of this.
        factor: usize,
    },
    /// Arrays do not fit each other, or hold what they must not.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// candle failed.
    #[cfg(feature = "candle")]
    #[error("candle failed")]
    Tensor(#[from] candle_core::Error),
    /// A device was asked for that is not there.
    #[error(
        "device {requested} cannot be used: {reason}; ask for the CPU or leave the choice open"
    )]
    Device {
        /// The device that was asked for.
        requested: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The device that runs the network failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The device has too little memory for a batch.
    #[error(
        "{device} has too little memory for a batch of {batch} images of {height} x {width}; {fits} would fit"
    )]
    Memory {
        /// Which device.
        device: String,
        /// Images of the batch.
        batch: usize,
        /// Their rows.
        height: usize,
        /// Their columns.
        width: usize,
        /// Images that would fit, by an estimate from the network's layers.
        fits: usize,
    },
    /// A file could not be read or written.
    #[error("{} could not be read or written", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A configuration file holds something else.
    #[error("{} does not hold the expected settings", path.display())]
    Settings {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A file is not in the safetensors format, or is cut short.
    #[error("{} is not a whole safetensors file; copy it again, or restore it", path.display())]
    Weights {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A file's tensors are not those that were written.
    #[error("{} is damaged: its tensors are not those that were written; take a copy, or train again", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The weights are those of another network.
    #[error("tensor {name} of {} {problem}; the weights and the network's configuration belong to different models", path.display())]
    OtherNetwork {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        name: String,
        /// The problem with it.
        problem: String,
    },
    /// A model that a training was to start from has another network.
    #[error(
        "{} cannot start this training: its {field} is {found}, and {expected} here; make them equal, or start from another model", path.display()
    )]
    OtherStart {
        /// The model's `config.json`.
        path: Box<Path>,
        /// The first field that differs.
        field: Box<str>,
        /// Its value there.
        found: Box<str>,
        /// Its value in the training.
        expected: Box<str>,
    },
    /// A folder already holds a run that was not asked to go on.
    #[error("{} already holds a training run; resume it or choose another folder", dir.display())]
    AlreadyTrained {
        /// Which folder.
        dir: PathBuf,
    },
    /// A run was to go on under other settings.
    #[error(
        "cannot resume: {field} was {saved} and is now {requested}; ask for the same or start afresh in another folder"
    )]
    ResumeMismatch {
        /// The first field that differs.
        field: String,
        /// Its value in the checkpoint.
        saved: String,
        /// Its value now.
        requested: String,
    },
    /// Training went astray.
    #[error(
        "{what} is not finite at step {step}; the last checkpoint is kept, try a lower learning rate"
    )]
    NotFinite {
        /// The number that became infinite or not-a-number.
        what: &'static str,
        /// At which step, counted from 1.
        step: u64,
    },
    /// The source of training pairs failed.
    #[error(transparent)]
    Pair(#[from] PairError),
}

impl DiffusionError {
    pub(crate) fn config(
        field: &'static str,
        expected: impl Into<String>,
        got: impl std::fmt::Debug,
    ) -> Self {
        Self::Config { field, expected: expected.into(), got: format!("{got:?}") }
    }

    pub(crate) fn file(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |source| Self::File { path: path.to_path_buf(), source }
    }
}

impl From<DiffusionError> for RestoreError {
    fn from(error: DiffusionError) -> Self {
        match error {
            DiffusionError::Shape(shape) => Self::Shape(shape),
            other => Self::Backend(Box::new(other)),
        }
    }
}
