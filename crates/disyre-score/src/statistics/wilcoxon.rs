//! Wilcoxon's signed-rank test of paired differences.

use super::ranks::DoubledRanks;
use super::{ensure_values, normal};
use crate::ScoreError;

/// Up to this many differences the distribution is exact.
const EXACT_UP_TO: usize = 50;

/// Two-sided p-value of Wilcoxon's signed-rank test that paired differences are symmetric about 0.
///
/// Weighs ranks where [`sign_flip`](super::sign_flip) weighs the differences themselves, so single outliers count less.
/// Differences of 0 are left out; equal sizes share their rank. With up to 50 differences the distribution is exact,
/// also with ties; with more it is normal, with its variance corrected for ties and no correction for continuity. 1
/// where all differences are 0.
///
/// # Errors
/// [`ScoreError::Shape`] if there is no difference or one is not finite.
///
/// # Source
/// Wilcoxon (1945), zeros left out as there; SciPy's `wilcoxon`.
///
/// ```
/// use disyre_score::statistics::wilcoxon;
/// assert_eq!(wilcoxon(&[0.1, 0.2, 0.3, -0.05])?, 4.0 / 16.0); // rank sums of 1 and less, or of 9 and more
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn wilcoxon(differences: &[f64]) -> Result<f64, ScoreError> {
    ensure_values("differences", differences)?;
    let moved: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    let sizes: Vec<f64> = moved.iter().map(|d| d.abs()).collect();
    let DoubledRanks { ranks, ties } = DoubledRanks::new(&sizes);
    let positive = ranks.iter().zip(&moved).filter(|(_, d)| **d > 0.0);
    let positive: usize = positive.map(|(rank, _)| rank).sum();
    let least = positive.min(ranks.iter().sum::<usize>() - positive);
    if moved.len() <= EXACT_UP_TO {
        let tail: f64 = subset_sums(&ranks)[..=least].iter().sum();
        return Ok((2.0 * tail).min(1.0));
    }
    let n = moved.len() as f64;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    let z = (least as f64 / 2.0 - n * (n + 1.0) / 4.0) / variance.sqrt();
    Ok(2.0 * normal::cdf(z))
}

/// Probability of each sum of ranks, where each rank counts with probability ½.
fn subset_sums(ranks: &[usize]) -> Vec<f64> {
    let mut probability = vec![0.0; ranks.iter().sum::<usize>() + 1];
    probability[0] = 1.0;
    for &rank in ranks {
        for sum in (0..probability.len()).rev() {
            let with = if sum >= rank { probability[sum - rank] } else { 0.0 };
            probability[sum] = (probability[sum] + with) / 2.0;
        }
    }
    probability
}
