//! Experiments: a grid of settings of disyre, each row trained, mapped and measured with each seed, and compared with a
//! reference on the same cases.
//!
//! Take this crate to decide by experiment which settings find lesions; `disyre experiment` is its command. Take
//! [`disyre`] to train or detect once, and [`disyre::score`] to compare methods of which you have the values.
//!
//! ```
//! use disyre_experiment::{ExperimentFile, Row};
//!
//! let file = ExperimentFile::parse(
//!     "title = \"Severities\"\nquestion = \"Which severities find lesions?\"\n\
//!      data.test_sets.real = \"cases.csv\"\nbase.model = \"model\"\n\
//!      axes = [{ key = \"detect.severities\", values = [[0.27], [0.27, 0.73]] }]",
//! )?;
//! let rows = Row::all(&file)?;
//! assert_eq!(rows[1].label, "severities=[0.27, 0.73]");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Main types:
//! - [`ExperimentFile`], [`Row`], [`Plan`]: the TOML file, its rows, and all runs with their settings checked;
//! - [`Store`]: the folder of the results; runs are kept whole and found again;
//! - [`Engine`], [`Worker`], [`Pipeline`]: the runs in order, and the work of one;
//! - [`Results`]: intervals and comparisons, as JSON, Markdown and SVG.
//!
//! No features. It evaluates no maps of other programs, and runs one training at a time, on all threads.
#![forbid(unsafe_code)]

use disyre::score;

mod data;
mod engine;
mod error;
mod file;
mod grid;
mod measures;
mod pipeline;
mod plan;
mod plots;
mod program;
mod provenance;
mod results;
mod store;
mod worker;

pub use data::{CaseHashes, Data, HealthyScans, TestCase, TestSet};
pub use engine::{Engine, Event, Outcome};
pub use error::{Change, ExperimentError, Progress};
pub use file::{Axis, Base, DataFiles, ExperimentFile, HealthyFolder, Preset, RowSettings};
pub use grid::Row;
pub use measures::{MeasuredCase, RunMeasures, SetMeasures};
pub use pipeline::Pipeline;
pub use plan::{CalibrationRun, FinishedModel, ModelSource, Plan, Run};
pub use plots::Plot;
pub use program::Program;
pub use provenance::Provenance;
pub use results::{
    CaseInfo, Comparison, FailedRun, MeasureResult, OverCases, Pooled, Results, RowInfo, RowResult,
    SeedMean, SetResult,
};
pub use store::{RunState, Store};
pub use worker::{CalibrationTask, CaseTask, TrainingEnd, TrainingTask, Worker};
