//! AP, ⌈Dice⌉ and AUROC together, and each of one case by a single call.

use serde::{Deserialize, Serialize};

use crate::{BestDice, RankedScores, ScoreError};

/// The three metrics of the paper.
///
/// ```
/// let found = disyre_score::metrics(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])?;
/// assert!((found.average_precision - 5.0 / 6.0).abs() < 1e-12);
/// assert_eq!((found.best_dice.dice, found.best_dice.threshold), (0.8, 0.35));
/// assert_eq!(found.auroc, 0.75);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// AP, in `(0, 1]`; see [`RankedScores::average_precision`].
    pub average_precision: f64,
    /// ⌈Dice⌉ and its threshold; see [`RankedScores::best_dice`].
    pub best_dice: BestDice,
    /// Area under the ROC curve, in `[0, 1]`; see [`RankedScores::auroc`].
    pub auroc: f64,
}

/// AP, ⌈Dice⌉ and AUROC of one case, from one walk; for several cases see [`ScorePool`](crate::ScorePool).
///
/// # Shapes and units
/// One label for each score; non-zero = lesion. Any finite score, greater = more abnormal.
///
/// # Errors
/// Those of [`RankedScores::new`] and [`RankedScores::metrics`].
pub fn metrics(scores: &[f32], labels: &[u8]) -> Result<Metrics, ScoreError> {
    RankedScores::new(scores, labels)?.metrics()
}

/// Average precision of one case; see [`RankedScores::average_precision`].
///
/// # Errors
/// Those of [`RankedScores::new`] and [`RankedScores::average_precision`].
pub fn average_precision(scores: &[f32], labels: &[u8]) -> Result<f64, ScoreError> {
    RankedScores::new(scores, labels)?.average_precision()
}

/// Best Dice of one case and its threshold; see [`RankedScores::best_dice`].
///
/// # Errors
/// Those of [`RankedScores::new`] and [`RankedScores::best_dice`].
pub fn best_dice(scores: &[f32], labels: &[u8]) -> Result<BestDice, ScoreError> {
    RankedScores::new(scores, labels)?.best_dice()
}

/// Area under the ROC curve of one case; see [`RankedScores::auroc`].
///
/// # Errors
/// Those of [`RankedScores::new`] and [`RankedScores::auroc`].
pub fn auroc(scores: &[f32], labels: &[u8]) -> Result<f64, ScoreError> {
    RankedScores::new(scores, labels)?.auroc()
}
