//! Anomaly scores from the restorations of any model, and the metrics that judge them.
//!
//! Take this crate to score the restorations of your own model, or for exact AP, ⌈Dice⌉ and AUROC over tens of millions
//! of voxels. Take `disyre` for the whole pipeline, from scan to map.
//!
//! ```
//! use disyre_score::{Ensemble, RestoreError, Restorer, Severity, metrics, ndarray::*};
//!
//! struct Half; // a restorer that believes no tissue is brighter than 0.5
//! impl Restorer for Half {
//!     fn restore(&self, x: ArrayView5<f32>, _: &[Severity], mut out: ArrayViewMut5<f32>) -> Result<(), RestoreError> {
//!         Ok(out.assign(&x.mapv(|value| value.min(0.5))))
//!     }
//! }
//! let image = array![[[0.0, 0.25], [0.5, 1.0]]]; // (z, y, x), background exactly 0
//! let score = Ensemble::default().score_volume(&Half, image.view())?;
//! assert_eq!(score, array![[[0.0, 0.0], [0.0, 0.5 * 0.75]]]); // residual × foreground fraction
//! assert_eq!(metrics(score.as_slice().unwrap(), &[0, 0, 0, 1])?.auroc, 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Main types: [`Ensemble`] (severities, [`Residual`]; its [`score`](Ensemble::score) takes batches of windows),
//! [`Metrics`] of one case, [`ScorePool`] and [`RankedScores`] for many, [`ScoreHistogram`] for resampled cases and for
//! thresholds chosen on other cases ([`LeftOut`]). [`regions`] counts lesions and findings
//! ([`Lesions`], [`LesionMatcher`]), [`protocols`] count as other papers do, [`statistics`] say how sure a figure is,
//! [`conformal`] has thresholds and p-values from healthy scans, with a guarantee.
//!
//! Memory: pooled AP, ⌈Dice⌉ and AUROC of any number of cases take as much as [`ScorePoolConfig`] says, a
//! [`ScoreHistogram`] some 60 kB a case. FROC keeps every threshold at which a count changes, PRO the scores of all lesion
//! voxels, and the protocols other than `exact`, `upd` and `reference` all voxels of all cases.
//!
//! Names at the root are those of types and functions that most evaluations call; the parts of [`statistics`],
//! [`regions`], [`conformal`] and [`protocols`] that few call stay in their modules.
//!
//! No features. This crate holds no model, no tensor library, no tiling, and no file access but the temporary files of a
//! [`ScorePool`] beyond its budget.
#![forbid(unsafe_code)]

mod arithmetic;
mod averaging;
pub mod conformal;
mod confusion;
mod ensemble;
mod error;
mod float_order;
mod histogram;
mod image_level;
pub mod protocols;
mod ranking;
mod reduction;
pub mod regions;
mod residual;
pub mod statistics;

pub use averaging::Averaging;
pub use confusion::Confusion;
pub use disyre_core::{Distance, EnsembleSums, Key, RestoreError, Restorer, Severity, ndarray};
pub use ensemble::{Ensemble, EnsembleConfig, EnsembleMaps, PUBLISHED_SEVERITIES, Scores};
pub use error::ScoreError;
pub use histogram::{
    Bounded, ChosenThreshold, LeftOut, PooledBestDice, PooledCounts, ScoreHistogram,
    ScoreHistogramConfig,
};
pub use image_level::ImageLevel;
pub use ranking::{
    BestDice, Metrics, RankedScores, ScorePool, ScorePoolConfig, auroc, average_precision,
    best_dice, metrics,
};
pub use reduction::Reduction;
pub use regions::{
    Component, Components, FrocCase, FrocCurve, FrocPool, LesionConfig, LesionMatcher,
    LesionMeasures, Lesions, OverlapRule, ProCase, SizeBins, SurfaceDistances, VolumeError,
    components, froc, hausdorff_95_mm, pro, surface_distances, volume_error,
};
pub use residual::{AbsoluteResidual, Residual, SquaredResidual};
pub use statistics::{
    Bootstrap, BootstrapConfig, Interval, PairedComparison, benjamini_hochberg, compare_paired,
    holm,
};
