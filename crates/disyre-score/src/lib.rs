//! Anomaly scores from restorations (severity ensembles over any [`Restorer`]), and the metrics that judge them.
//!
//! Take this crate to score the restorations of your own model, or only for exact AP, ⌈Dice⌉ and AUROC over tens of
//! millions of voxels; take `disyre` for the whole pipeline, from scan to map.
//!
//! ```
//! use disyre_score::{AbsoluteResidual, EnsembleConfig, RestoreError, Restorer, Severity, auroc, ndarray::*};
//!
//! struct Half; // a restorer that believes no tissue is brighter than 0.5
//! impl Restorer for Half {
//!     fn restore(&self, x: ArrayView5<f32>, _: &[Severity], mut out: ArrayViewMut5<f32>) -> Result<(), RestoreError> {
//!         Ok(out.assign(&x.mapv(|value| value.min(0.5))))
//!     }
//! }
//! let windows = arr1(&[0.0, 0.25, 0.5, 1.0]).into_shape_with_order((1, 1, 1, 2, 2))?;
//! let [mut score, mut restored] = [windows.clone(), windows.clone()];
//! let ensemble = EnsembleConfig::default().build(std::sync::Arc::new(AbsoluteResidual))?;
//! ensemble.score(&Half, windows.view(), score.view_mut(), restored.view_mut())?;
//! assert_eq!(score[[0, 0, 0, 1, 1]], 0.5 * 0.75); // residual × foreground fraction
//! assert_eq!(auroc(score.as_slice().unwrap(), &[0, 0, 0, 1])?, 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Main types: [`Ensemble`] and its [`EnsembleConfig`], [`Residual`], [`RankedScores`] (every metric from one sort)
//! and [`ScorePool`] (many cases). [`mod@reference`] is the published evaluation protocol.
//! No features. It knows no tensor library, no tiling, no image and no file.
#![forbid(unsafe_code)]

mod cuts;
mod ensemble;
mod error;
mod ranking;
pub mod reference;
mod residual;

pub use disyre_core::{Distance, EnsembleSums, RestoreError, Restorer, Severity, ndarray};
pub use ensemble::{Ensemble, EnsembleConfig, PUBLISHED_SEVERITIES};
pub use error::ScoreError;
pub use ranking::{BestDice, RankedScores, ScorePool, auroc, average_precision, best_dice};
pub use residual::{AbsoluteResidual, Residual, SquaredResidual};
