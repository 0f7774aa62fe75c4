//! The distribution of a statistic over resampled subjects, and the interval that follows from it.

use serde::{Deserialize, Serialize};

use super::{Interval, ensure_values, normal};
use crate::ScoreError;
use crate::arithmetic::quantile;

/// A statistic of all subjects, of resampled subjects, and of all subjects but one each.
///
/// [`Bootstrap::replicates`](super::Bootstrap::replicates) makes them; the interval is arithmetic from there on.
///
/// ```
/// use disyre_score::statistics::{IntervalMethod, Replicates};
/// let of = |jackknife| Replicates::new(0.5, (0..=100).map(|i| f64::from(i) / 100.0).collect(), jackknife);
/// let symmetric = of(Some(vec![0.4, 0.5, 0.6]))?; // no bias, no acceleration: the percentiles
/// assert_eq!(symmetric.method(), IntervalMethod::Bca);
/// let interval = symmetric.interval(0.90)?;
/// assert!((interval.low - 0.05).abs() < 1e-9 && (interval.high - 0.95).abs() < 1e-9);
/// assert_eq!(of(None)?.method(), IntervalMethod::Percentile);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Replicates {
    value: f64,
    // Ascending, not empty.
    sorted: Vec<f64>,
    // Bias and acceleration, where both are defined.
    correction: Option<Correction>,
}

/// Method of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Bias-corrected and accelerated percentiles.
    Bca,
    /// Plain percentiles: where all replicates lie on one side of the value, or the statistic is undefined or the same
    /// without each single subject.
    Percentile,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Correction {
    bias: f64,
    acceleration: f64,
}

impl Replicates {
    /// Keeps what an interval needs of a distribution.
    ///
    /// `jackknife` holds the statistic without each subject in turn; `None` where one of them is undefined.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if a list is empty, or the value or one in a list is not finite.
    pub fn new(
        value: f64,
        mut replicates: Vec<f64>,
        jackknife: Option<Vec<f64>>,
    ) -> Result<Self, ScoreError> {
        ensure_values("value", &[value])?;
        ensure_values("replicates", &replicates)?;
        jackknife.as_deref().map_or(Ok(()), |list| ensure_values("jackknife", list))?;
        replicates.sort_unstable_by(f64::total_cmp);
        let correction = correction(value, &replicates, jackknife.as_deref());
        Ok(Self { value, sorted: replicates, correction })
    }

    /// Method of [`interval`](Self::interval): BCa wherever it is defined.
    pub fn method(&self) -> IntervalMethod {
        match self.correction {
            Some(_) => IntervalMethod::Bca,
            None => IntervalMethod::Percentile,
        }
    }

    /// The interval that covers the true value in a share `level` of experiments, in `(0, 1)`.
    ///
    /// # Errors
    /// [`ScoreError::Setting`] for a level outside `(0, 1)`.
    ///
    /// # Source
    /// Efron (1987), "Better bootstrap confidence intervals"; the bias counts ties as half and the percentiles
    /// interpolate linearly, as in SciPy's `bootstrap(method="BCa")`.
    pub fn interval(&self, level: f64) -> Result<Interval, ScoreError> {
        ScoreError::check(level > 0.0 && level < 1.0, "level", "a number between 0 and 1")?;
        let tail = (1.0 - level) / 2.0;
        let end = |probability: f64| {
            let corrected = self.correction.map_or(probability, |by| by.apply(probability));
            quantile(&self.sorted, corrected)
        };
        Ok(Interval { value: self.value, low: end(tail), high: end(1.0 - tail) })
    }
}

impl Correction {
    /// The percentile that stands for the one asked for: `Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z)))`.
    fn apply(self, probability: f64) -> f64 {
        // The tail of a level next to 1 vanishes beside it.
        if probability >= 1.0 {
            return probability;
        }
        let shifted = self.bias + normal::quantile(probability);
        // As |a| ≤ 1/6, the divisor reaches 0 beyond six standard deviations alone.
        let divisor = (1.0 - self.acceleration * shifted).max(f64::MIN_POSITIVE);
        normal::cdf(self.bias + shifted / divisor)
    }
}

/// Bias `z₀ = Φ⁻¹(share of replicates below the value)`, with [`acceleration`]; `None` where either is undefined.
fn correction(value: f64, sorted: &[f64], jackknife: Option<&[f64]>) -> Option<Correction> {
    let below = sorted.partition_point(|&replicate| replicate < value);
    let up_to = sorted.partition_point(|&replicate| replicate <= value);
    let bias = normal::quantile((below + up_to) as f64 / (2 * sorted.len()) as f64);
    let acceleration = acceleration(jackknife?)?;
    bias.is_finite().then_some(Correction { bias, acceleration })
}

/// `Σ d³ / 6 (Σ d²)^{3/2}` of the deviations `d` from the mean; `None` where they are mere rounding.
fn acceleration(jackknife: &[f64]) -> Option<f64> {
    let mean = jackknife.iter().sum::<f64>() / jackknife.len() as f64;
    let moment = |power| jackknife.iter().map(|one| (mean - one).powi(power)).sum::<f64>();
    let spread = (moment(2) / jackknife.len() as f64).sqrt();
    (spread > 1e-12 * mean.abs()).then(|| moment(3) / (6.0 * moment(2).powf(1.5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_without_an_interval_are_refused() {
        let of = |jackknife| Replicates::new(0.5, vec![0.2, 0.4, 0.6, 0.9], jackknife);
        for found in [of(None).unwrap(), of(Some(vec![0.4, 0.5, 0.7])).unwrap()] {
            for level in [-2.0, 0.0, 1.0, 1.5, f64::NAN] {
                assert!(found.interval(level).unwrap_err().to_string().starts_with("`level`"));
            }
            let widest = found.interval(1.0_f64.next_down()).unwrap();
            assert!((widest.low - 0.2).abs() < 1e-9 && (widest.high - 0.9).abs() < 1e-9);
        }
        assert!(Replicates::new(0.5, Vec::new(), None).is_err());
        assert!(Replicates::new(0.5, vec![f64::NAN], None).is_err());
        assert!(Replicates::new(f64::INFINITY, vec![0.5], None).is_err());
        assert!(of(Some(vec![0.5, f64::NAN])).is_err());
    }
}
