//! Comparison of two methods on the same cases.

use disyre_core::{Key, ensure_same_shape};
use serde::{Deserialize, Serialize};

use super::{Bootstrap, Interval, ensure_values, sign_flip};
use crate::ScoreError;

/// How method a differs from method b on the same cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedComparison {
    /// Mean of `a − b` over cases.
    pub difference: Interval,
    /// Two-sided p-value of no difference, see [`sign_flip`]; correct it by [`holm`](super::holm) where several are made.
    pub p: f64,
    /// Number of cases.
    pub cases: usize,
    /// Cases where a is greater.
    pub wins: usize,
    /// Cases where b is greater.
    pub losses: usize,
}

/// Compares two methods by one value for each case, in the same order of cases.
///
/// # Errors
/// [`ScoreError::Shape`] if the lengths differ, there is no case, or a value is not finite.
///
/// # Source
/// Ours: the interval is a BCa bootstrap over cases, p a sign-flip permutation test. The two may disagree about 0 where
/// cases are few; p is exact, the interval is not.
///
/// ```
/// use disyre_score::{Bootstrap, Key, compare_paired};
/// let (ours, theirs) = ([0.31, 0.52, 0.44, 0.20, 0.61], [0.25, 0.40, 0.45, 0.11, 0.50]);
/// let found = compare_paired(Key::new(0), &ours, &theirs, &Bootstrap::default())?;
/// assert!((found.difference.value - 0.074).abs() < 1e-12);
/// assert_eq!((found.cases, found.wins, found.losses), (5, 4, 1));
/// assert_eq!(found.p, 4.0 / 32.0);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn compare_paired(
    key: Key,
    a: &[f64],
    b: &[f64],
    bootstrap: &Bootstrap,
) -> Result<PairedComparison, ScoreError> {
    ensure_same_shape("b", &[a.len()], &[b.len()])?;
    ensure_values("a", a)?;
    ensure_values("b", b)?;
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let count = |is: fn(&f64) -> bool| differences.iter().filter(|d| is(d)).count();
    Ok(PairedComparison {
        difference: bootstrap.mean(key.child("bootstrap"), &differences)?,
        p: sign_flip(key.child("permutation"), &differences)?,
        cases: a.len(),
        wins: count(|&d| d > 0.0),
        losses: count(|&d| d < 0.0),
    })
}
