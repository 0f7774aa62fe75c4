//! Finds what does not belong in a medical scan, without ever having been shown a lesion.
//!
//! Take this crate for the whole pipeline: it joins the stages and re-exports them as modules. Take
//! [`disyre_dag`] alone to corrupt images for another network, or [`disyre_score`] alone to score the
//! restorations of another model.
//!
//! ```
#![doc = include_str!("model/doctest_model.txt")]
//! use disyre::{Model, Scan};
//!
//! let model = Model::load("model")?;
//! let found = model.detect(&Scan::read("sub-01_T1w.nii.gz")?)?;
//! found.save("out/")?; // sub-01_desc-anomalyscore_T1w.nii.gz, the restoration, a picture and a sidecar
//! # assert_eq!(std::fs::read_dir("out")?.count(), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Main types:
//! - [`Model`], [`Scan`], [`Findings`]: a trained model, a scan, and what the model finds in it;
//! - [`Detector`], [`DetectOptions`]: the same with any [`Restorer`](core::Restorer);
//! - [`Preparation`], [`SkullPolicy`], [`TemplateSpace`]: bias field, brain, template and intensities;
//! - [`Calibration`]: healthy scans to compare a scan with, place by place;
//! - [`AtlasDetector`]: the baseline that learns nothing;
//! - [`train()`], [`Cohort`], [`DagPairs`], [`RunConfig`]: training on healthy scans;
//! - [`Synthesiser`], [`Recipe`]: scans with synthetic anomalies, and how to make them again;
//! - `ScanPages`: pages for a reader, made of the files of a detection;
//! - [`evaluate()`], [`MethodEvaluation`], [`CaseTruth`], [`Measure`]: maps measured against lesion masks;
//! - [`check_folder`], [`CheckReport`]: scans looked over before any work;
//! - [`phantom`]: made-up heads for tests and demonstrations.
//!
//! Features: `pictures` (default) draws the pictures beside a map and its page, and brings an encoder of PNG and templates; `weights` holds a trained
//! model (`Model::embedded`, 3 to 8 MB); `cuda` runs networks on
//! NVIDIA GPUs; `cuda-emulation` runs their kernels on the CPU, for tests; `kmeans` fits tissue classes.
//!
//! It handles one channel per scan, writes no registered scans and parses no arguments.
#![forbid(unsafe_code)]

pub use disyre_augment as augment;
pub use disyre_brain as brain;
pub use disyre_core as core;
pub use disyre_dag as dag;
pub use disyre_diffusion as diffusion;
pub use disyre_implant as implant;
pub use disyre_n4 as n4;
pub use disyre_patch as patch;
pub use disyre_register as register;
#[cfg(feature = "pictures")]
pub use disyre_report as report;
pub use disyre_score as score;
pub use disyre_tissue as tissue;
pub use disyre_volume as volume;
pub use disyre_volume::Scan;
#[cfg(feature = "weights")]
pub use disyre_weights as weights;

mod anomaly_sources;
mod at_once;
mod atlas;
mod brain_finder;
mod calibration;
mod check;
mod cohort;
mod config;
mod dag_pairs;
mod detect_options;
mod detector;
mod distinct_names;
mod error;
mod evaluate;
mod findings;
mod initial_weights;
mod inside_brain;
mod location_map;
mod map_blender;
mod model;
#[cfg(feature = "pictures")]
mod overlay;
#[cfg(feature = "pictures")]
mod pages;
pub mod phantom;
mod prepare;
mod recipe;
mod scan_files;
mod scan_store;
mod segmentation;
mod skull;
mod source_scan;
mod stored_files;
mod synth;
mod thresholds;
mod tissues;
mod train;
mod training_folder;
mod write_files;

pub use atlas::{Atlas, AtlasConfig, AtlasDetection, AtlasDetector, ZScores};
pub use brain_finder::BrainFinder;
pub use calibration::{
    Calibration, CalibrationConfig, CalibrationRequest, Channel, ChannelConfig, HealthyFolder,
    HealthyScan, LesionCase, Sides, WeightRequest, WeightScans,
};
pub use check::{
    CheckConfig, CheckFinding, CheckLevel, CheckReport, CheckTopic, CheckedFile, check_folder,
};
pub use cohort::{Cohort, Subject, healthy_scans};
pub use config::{DetectConfig, PairConfig, RunConfig, TissueConfig, TissueKind};
pub use dag_pairs::DagPairs;
pub use detect_options::DetectOptions;
pub use detector::{Detection, Detector, ScoreKind};
pub use disyre_dag::Family;
pub use disyre_diffusion::{Batch, BatchQueue, Batches};
pub use disyre_volume::{HashedFile, HashedFolder};
pub use error::Error;
pub use evaluate::{
    CaseFacts, CaseReport, CaseTruth, Comparison, Estimate, EvaluateConfig, EvaluationReport,
    Evaluator, FailedCase, FrocSummary, ImageLevelReport, Measure, MeasuredMap, Measures,
    MethodEvaluation, MethodReport, OperatingPoint, SecondRound, TopVoxels, compare_methods,
    evaluate, intensity_maps, measure_by_protocol, read_scores,
};
pub use findings::{DetectionFiles, Findings, SaveOptions, Saved};
pub use initial_weights::{InitialModel, InitialWeights};
pub use location_map::LocationMap;
pub use model::{BrainMask, DetectRequest, LoadOptions, Model, ModelFolder};
#[cfg(feature = "pictures")]
pub use pages::{CohortCase, ScanPages};
pub use prepare::{
    BiasCorrection, OBLIQUE_DEGREES, ObliqueAxes, ObliqueScan, Preparation, PrepareConfig,
    Prepared, ScanField, TemplateSpace, Unscaled, WorkingAxes,
};
pub use recipe::Recipe;
pub use scan_store::ScanStore;
pub use segmentation::Segmentation;
pub use skull::SkullPolicy;
pub use source_scan::{PreparedScans, SidecarPaths, SourceScan};
pub use synth::{Sample, Synthesiser};
pub use thresholds::{
    CalibrationScans, Finding, HealthyThreshold, LesionThreshold, Marked, MaskThreshold, Polarity,
    RateThreshold, ScanAlarm, Side, ThresholdConfig, ThresholdRequest, Thresholds, split_scans,
};
pub use tissues::{Tissues, fit_tissue};
pub use train::{TrainReport, Training, train};
pub use training_folder::TrainingFolder;
