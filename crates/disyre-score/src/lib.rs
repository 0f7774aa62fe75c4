//! Anomaly scores from restorations, and the metrics that judge them.
#![forbid(unsafe_code)]
#![allow(clippy::needless_pass_by_value, reason = "array views go by value, as slices do")]

mod ensemble;
mod error;
mod ranking;
pub mod reference;
mod residual;

pub use disyre_core::{RestoreError, Restorer};
pub use ensemble::{Ensemble, EnsembleConfig, PUBLISHED_SEVERITIES};
pub use error::ScoreError;
pub use ranking::{BestDice, RankedScores, ScorePool, auroc, average_precision, best_dice};
pub use residual::{AbsoluteResidual, Residual, SquaredResidual};
