//! [`Worker`]: what a run does, apart from when it is done; [`Pipeline`](crate::Pipeline) trains and detects, tests
//! have quicker ones.

use std::path::{Path, PathBuf};

use disyre::RunConfig;
use disyre::diffusion::TrainEvent;

use crate::{ExperimentError, MeasuredCase, TestCase};

/// The work of runs.
pub trait Worker {
    /// Trains a model into a folder, or goes on from the folder's checkpoint; returns at once where it is finished.
    ///
    /// # Errors
    /// [`ExperimentError`] of scans, settings or files; the run is then done without, and the others go on.
    fn train(
        &mut self,
        task: &TrainingTask<'_>,
        observer: &mut dyn FnMut(&TrainEvent),
    ) -> Result<TrainingEnd, ExperimentError>;

    /// Calibrates a model into a folder; returns at once where it is done.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    fn calibrate(&mut self, task: &CalibrationTask<'_>) -> Result<(), ExperimentError>;

    /// Maps and measures one case.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    fn measure(&mut self, task: &CaseTask<'_>) -> Result<MeasuredCase, ExperimentError>;
}

/// A training.
#[derive(Debug, Clone, Copy)]
pub struct TrainingTask<'a> {
    /// Every setting.
    pub config: &'a RunConfig,
    /// Healthy scans.
    pub healthy: &'a [PathBuf],
    /// Folder of the model.
    pub folder: &'a Path,
}

/// A calibration.
#[derive(Debug, Clone, Copy)]
pub struct CalibrationTask<'a> {
    /// Every setting.
    pub config: &'a RunConfig,
    /// Folder of the model.
    pub model: &'a Path,
    /// Healthy scans.
    pub healthy: &'a [PathBuf],
    /// Folder of the calibration.
    pub folder: &'a Path,
}

/// A case to map and measure.
#[derive(Debug, Clone, Copy)]
pub struct CaseTask<'a> {
    /// Every setting.
    pub config: &'a RunConfig,
    /// Folder of the model.
    pub model: &'a Path,
    /// Folder of the model's calibration; `None`: the score is the published one.
    pub calibration: Option<&'a Path>,
    /// The case.
    pub case: &'a TestCase,
    /// Folder for the maps; `None`: they are not kept.
    pub maps: Option<&'a Path>,
}

/// End of a call of [`Worker::train`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingEnd {
    /// All steps are done.
    Finished,
    /// Somebody asked for the end; a checkpoint holds this many steps.
    Stopped {
        /// Steps.
        step: u64,
    },
}
