//! Finds what does not belong in a medical scan, without ever having been shown a lesion.
//!
//! Take this crate for the whole pipeline: it joins the stages and re-exports them as modules. Take
//! [`disyre_dag`] alone to corrupt images for another network, or [`disyre_score`] alone to score the
//! restorations of another model.
//!
//! ```
//! use disyre::core::{Key, RestoreError, Restorer, Severity, ndarray::{ArrayView5, ArrayViewMut5}};
//! use disyre::phantom::{LesionKind, PhantomConfig};
//! use disyre::{Detector, RunConfig};
//!
//! struct Darken; // any restorer will do, not only the diffusion model
//! impl Restorer for Darken {
//!     fn restore(&self, batch: ArrayView5<f32>, _: &[Severity], mut out: ArrayViewMut5<f32>) -> Result<(), RestoreError> {
//!         out.assign(&batch.mapv(|value| 0.9 * value));
//!         Ok(())
//!     }
//! }
//! let config = PhantomConfig { shape: [4, 32, 32], ..PhantomConfig::default() };
//! let scan = config.with_lesion(Key::new(1), LesionKind::Stroke).volume;
//! let detector = Detector::new(&RunConfig::cpu_2mm(), &Darken)?;
//! let found = detector.detect(&scan, None, &mut |_, _| ())?;
//! assert_eq!(found.score.dim(), scan.data.dim());
//! # Ok::<(), disyre::Error>(())
//! ```
//!
//! Main types: [`RunConfig`] (every setting of a run), [`Cohort`] (healthy scans, ready for training),
//! [`DagPairs`] (training pairs), [`Batches`] (made ahead of their use), [`train()`], [`Detector`], [`evaluate()`], [`phantom`].
//! Feature `cuda` runs the model on an NVIDIA GPU. It handles one channel per scan and parses no arguments.
#![forbid(unsafe_code)]

pub use disyre_augment as augment;
pub use disyre_core as core;
pub use disyre_dag as dag;
pub use disyre_diffusion as diffusion;
pub use disyre_patch as patch;
pub use disyre_score as score;
pub use disyre_tissue as tissue;
pub use disyre_volume as volume;

mod anomaly;
mod blend;
mod cohort;
mod companions;
mod config;
mod detector;
mod error;
mod evaluate;
mod pairs;
pub mod phantom;
mod places;
mod prepare;
mod recipe;
mod segmentation;
mod synth;
mod tissues;
mod train;

pub use cohort::{Cohort, Subject};
pub use companions::Companions;
pub use config::{DetectConfig, PairConfig, RunConfig, TissueConfig, TissueKind};
pub use detector::{Detection, Detector};
pub use disyre_dag::Family;
pub use disyre_diffusion::{Batch, BatchQueue, Batches};
pub use error::Error;
pub use evaluate::{Case, CaseReport, Measures, Protocol, Report, evaluate};
pub use pairs::DagPairs;
pub use places::Places;
pub use prepare::{PrepareConfig, Prepared};
pub use recipe::{Beside, Recipe, Source, SourceFolder, SourceScan};
pub use segmentation::Segmentation;
pub use synth::{Sample, Synthesiser};
pub use tissues::{Tissues, fit_tissue};
pub use train::{TrainReport, Training, train};
