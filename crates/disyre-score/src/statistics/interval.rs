//! A value with its confidence interval.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value and the ends of its confidence interval, in the value's own unit.
///
/// The level is that of the [`BootstrapConfig`](crate::BootstrapConfig), and the method BCa where it is defined, else
/// plain percentiles; neither is kept here. [`Replicates::method`](super::Replicates::method) says which method applies.
/// Percentiles replace BCa where all replicates lie on one side of the value, the statistic never varies, or it is
/// undefined without one of the subjects.
///
/// ```
/// use disyre_score::Interval;
/// let ap = Interval { value: 0.42, low: 0.31, high: 0.56 };
/// assert_eq!(ap.to_string(), "0.420 [0.310, 0.560]");
/// assert!(!ap.contains(0.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The value of all subjects together, not the mean of the replicates.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a number lies within, both ends included.
    pub fn contains(&self, number: f64) -> bool {
        (self.low..=self.high).contains(&number)
    }
}

/// `value [low, high]`, with three decimals or as many as the format asks for.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(3);
        let Self { value, low, high } = self;
        write!(f, "{value:.decimals$} [{low:.decimals$}, {high:.decimals$}]")
    }
}
