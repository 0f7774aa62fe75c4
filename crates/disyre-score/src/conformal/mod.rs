//! Thresholds and p-values from healthy scans, with a guarantee that holds for any number of scans (split conformal).
//!
//! A [`LossCurve`] is what a threshold costs on one healthy scan: the share of its brain that is marked, or the number of
//! its findings. [`conformal_threshold`] takes the curves of `n` scans and returns the least threshold whose expected loss
//! on a further scan is at most a given rate; [`p_value`] says how unusual the score of a scan is among healthy ones.
//!
//! Both assume one thing: that the further scan, if it is healthy, is exchangeable with the `n`. Scans of another scanner
//! or age group are not, and neither are scans that trained the model.

mod loss_curve;

use std::cmp::Ordering;

pub use loss_curve::LossCurve;

use crate::ScoreError;

/// The least threshold whose expected loss on a new healthy scan is at most `rate`.
///
/// A loss above `bound` counts as `bound`. The threshold is the least `t` with
/// `(Σ min(loss_i(t), bound) + bound) / (n + 1) ≤ rate`. Then `E[min(loss_new(t), bound)] ≤ rate`, where the mean is taken
/// over the `n` scans and the new one, if all of them are exchangeable; no other assumption is made, and `n` need not be
/// large.
///
/// With [`LossCurve::exceeds`] and a bound of 1 it is the conformal quantile: at most a share `rate` of new scans exceeds
/// the limit.
///
/// ```
/// use disyre_score::conformal::{LossCurve, conformal_threshold};
/// let greatest = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
/// // A scan is lost if any of its voxels is marked: at most one new scan of five shall be.
/// let curves = greatest.map(|score| LossCurve::share_of_voxels(&[score, 0.0]).map(|curve| curve.exceeds(0.0)));
/// let curves = curves.into_iter().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(conformal_threshold(&curves, 1.0, 0.2)?, 8.0f32.next_up()); // the 8th of 9: ⌈0.8 · (9 + 1)⌉
/// assert!(conformal_threshold(&curves, 1.0, 0.05).is_err()); // 9 scans cannot promise one of twenty
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
///
/// # Errors
/// [`ScoreError::Setting`] for a rate or bound that is not above 0 and finite; [`ScoreError::TooFewHealthy`] if even a
/// threshold without any loss could not promise the rate: `bound / (n + 1) > rate`.
///
/// # Source
/// Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk Control" (arXiv 2208.02814), theorem 1, with thresholds
/// for λ. Thresholds of 32 bits are finitely many, so that the theorem's continuity is not needed.
pub fn conformal_threshold(curves: &[LossCurve], bound: f64, rate: f64) -> Result<f32, ScoreError> {
    let positive = |value: f64| value > 0.0 && value.is_finite();
    ScoreError::check(positive(rate), "rate", "a number above 0")?;
    ScoreError::check(positive(bound), "bound", "a number above 0")?;
    let scans = curves.len();
    let holds = |losses: f64| (losses + bound) / (scans as f64 + 1.0) <= rate;
    if !holds(0.0) {
        let needed = scans_needed(bound, rate);
        return Err(ScoreError::TooFewHealthy { scans, needed, rate });
    }
    let mut thresholds: Vec<f32> = curves.iter().flat_map(LossCurve::thresholds).collect();
    thresholds.sort_unstable_by(f32::total_cmp);
    thresholds.dedup();
    // Losses grow only where a threshold falls onto one of these: from the next number on, they are those before.
    let too_low = thresholds.partition_point(|&threshold| {
        let losses: f64 = curves.iter().map(|curve| curve.at(threshold).min(bound)).sum();
        !holds(losses)
    });
    Ok(match too_low.checked_sub(1) {
        Some(last) => thresholds[last].next_up(),
        None => thresholds.first().copied().unwrap_or(0.0),
    })
}

/// Number of healthy scans from which on [`conformal_threshold`] can promise a rate: the least `n` with
/// `bound / (n + 1) ≤ rate`.
///
/// ```
/// assert_eq!(disyre_score::conformal::scans_needed(1.0, 0.1), 9);
/// ```
pub fn scans_needed(bound: f64, rate: f64) -> usize {
    let least = (bound / rate).floor().max(1.0) as usize - 1;
    // Rounding may be off by one scan; the comparison is the one that counts.
    (least..).find(|&scans| bound / (scans as f64 + 1.0) <= rate).unwrap_or(usize::MAX)
}

/// Share of scans, healthy ones and this one together, whose score is at least that of this one, itself included:
/// `(1 + #{healthy ≥ score}) / (n + 1)`.
///
/// If this scan is healthy and exchangeable with the others, the p-value is at most α with a probability of at most α, for
/// every α. The least possible value is `1 / (n + 1)`.
///
/// ```
/// use disyre_score::conformal::p_value;
/// assert_eq!(p_value(&[1.0, 2.0, 3.0], 2.5), 0.5);
/// assert_eq!(p_value(&[1.0, 2.0, 3.0], 9.0), 0.25);
/// ```
///
/// # Errors
/// None; a healthy score that is not a number counts as greater.
///
/// # Source
/// Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005), section 2.2.
pub fn p_value(healthy: &[f32], score: f32) -> f64 {
    let less = |other: &f32| other.partial_cmp(&score) == Some(Ordering::Less);
    let least_as_great = healthy.iter().filter(|other| !less(other)).count();
    (1 + least_as_great) as f64 / (1 + healthy.len()) as f64
}
