//! Finds what does not belong in a medical scan, without ever having been shown a lesion.
//!
//! Take this crate for the whole pipeline: it joins the stages and re-exports them as modules. Take
//! [`disyre_dag`] alone to corrupt images for another network, or [`disyre_score`] alone to score the
//! restorations of another model.
//!
//! ```
//! # // A model trained for a moment on phantoms, in a folder of its own.
//! # use disyre::{Cohort, RunConfig, Subject, Training, core::Key, phantom::{LesionKind, PhantomConfig}};
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(&folder)?;
//! # let mut config = RunConfig::cpu_2mm();
//! # config.prepare.spacing_mm = 8.0;
//! # (config.pairs.patch, config.dag.window, config.detect.stride) = ([1, 16, 16], [1, 8, 8], [1, 8, 8]);
//! # (config.network.channels, config.network.groups) = (vec![8, 16], 4);
//! # (config.train.steps, config.train.batch, config.train.warmup_steps) = (2, 2, 1);
//! # (config.train.validation_pairs, config.tissue.classes) = (2, 3);
//! # let phantoms = PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, ..PhantomConfig::default() };
//! # let subject = |index: u64| -> Result<Subject, disyre::Error> {
//! #     let phantom = phantoms.healthy(Key::new(index)).volume;
//! #     Ok(Subject::new(format!("phantom-{index}"), config.prepare.prepare(&phantom, None)?))
//! # };
//! # let cohort = Cohort::split((0..3).map(subject).collect::<Result<_, _>>()?, 1, Key::new(0))?;
//! # disyre::train(&Training::new(&cohort, &config, "model".as_ref()), &mut |_| ())?;
//! # let ill = phantoms.with_lesion(Key::new(9), LesionKind::Stroke).volume;
//! # disyre::volume::write_volume("sub-01_T1w.nii.gz".as_ref(), &ill)?;
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
//! - [`train()`], [`Cohort`], [`DagPairs`], [`RunConfig`]: training on healthy scans;
//! - [`Synthesiser`], [`Recipe`]: scans with synthetic anomalies, and how to make them again;
//! - [`evaluate()`], [`Case`]: maps measured against lesion masks;
//! - [`phantom`]: made-up heads for tests and demonstrations.
//!
//! Features: `pictures` (default) draws the picture beside a map, and brings an encoder of PNG; `cuda` runs networks on
//! NVIDIA GPUs; `cuda-emulation` runs their kernels on the CPU, for tests; `kmeans` fits tissue classes.
//!
//! It handles one channel per scan, strips no skulls, registers nothing and parses no arguments.
#![forbid(unsafe_code)]

pub use disyre_augment as augment;
pub use disyre_core as core;
pub use disyre_dag as dag;
pub use disyre_diffusion as diffusion;
pub use disyre_patch as patch;
pub use disyre_score as score;
pub use disyre_tissue as tissue;
pub use disyre_volume as volume;
pub use disyre_volume::Scan;

mod anomaly;
mod blend;
mod cohort;
mod config;
mod detect_options;
mod detector;
mod error;
mod evaluate;
mod files;
mod findings;
mod location_map;
mod model;
#[cfg(feature = "pictures")]
mod overlay;
mod pairs;
pub mod phantom;
mod prepare;
mod recipe;
mod segmentation;
mod source;
mod source_scan;
mod synth;
mod tissues;
mod train;

pub use cohort::{Cohort, Subject};
pub use config::{DetectConfig, PairConfig, RunConfig, TissueConfig, TissueKind};
pub use detect_options::DetectOptions;
pub use detector::{Detection, Detector};
pub use disyre_dag::Family;
pub use disyre_diffusion::{Batch, BatchQueue, Batches};
pub use error::Error;
pub use evaluate::{Case, CaseReport, Measures, Protocol, Report, evaluate};
pub use findings::{DetectionFiles, Findings, SaveOptions, Saved};
pub use location_map::LocationMap;
pub use model::{DetectRequest, LoadOptions, Model, ModelFolder};
pub use pairs::DagPairs;
pub use prepare::{PrepareConfig, Prepared, unstripped_share};
pub use recipe::Recipe;
pub use segmentation::Segmentation;
pub use source::{Source, SourceFolder};
pub use source_scan::{SidecarPaths, SourceScan};
pub use synth::{Sample, Synthesiser};
pub use tissues::{Tissues, fit_tissue};
pub use train::{TrainReport, Training, train};
