//! Severity of a corruption, and of the anomaly that a restorer assumes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Degree of corruption of an image, in `[0, 1]`: 0 is clean, 1 is fully corrupted.
///
/// The severity of a corruption of several parts is the greatest severity that one of them *realised*.
///
/// ```
/// use disyre_core::Severity;
/// let (mild, severe) = (Severity::new(0.25)?, Severity::new(0.75)?);
/// assert_eq!(mild.max(severe).get(), 0.75);
/// assert!(Severity::CLEAN < mild && severe < Severity::FULL);
/// assert!(Severity::new(1.5).is_err());
/// # Ok::<(), disyre_core::SeverityError>(())
/// ```
///
/// # Source
/// Ours; the paper's alpha. Timestep indices are private to the diffusion crate.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(into = "f32", try_from = "f32")]
pub struct Severity(f32);

impl Severity {
    /// Severity of an unchanged image.
    pub const CLEAN: Self = Self(0.0);
    /// Severity of an image of which nothing is left.
    pub const FULL: Self = Self(1.0);

    /// Checks a number.
    ///
    /// # Errors
    /// [`SeverityError`] unless `0 ≤ value ≤ 1`; not-a-number is refused too.
    pub const fn new(value: f32) -> Result<Self, SeverityError> {
        if value >= 0.0 && value <= 1.0 { Ok(Self(value)) } else { Err(SeverityError { value }) }
    }

    /// The number, in `[0, 1]`.
    pub const fn get(self) -> f32 {
        self.0
    }

    /// The greater of two: how severities of parts combine.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Severity> for f32 {
    fn from(severity: Severity) -> Self {
        severity.0
    }
}

impl TryFrom<f32> for Severity {
    type Error = SeverityError;

    fn try_from(value: f32) -> Result<Self, SeverityError> {
        Self::new(value)
    }
}

/// A number outside `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("severity {value} is outside [0, 1]; 0 means clean, 1 fully corrupted")]
pub struct SeverityError {
    /// The number.
    pub value: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_from_zero_to_one_are_severities() {
        assert_eq!(Severity::new(0.0), Ok(Severity::CLEAN));
        assert_eq!(Severity::new(1.0), Ok(Severity::FULL));
        for value in [-0.001, 1.001, f32::INFINITY] {
            assert_eq!(Severity::new(value), Err(SeverityError { value }));
        }
        assert!(Severity::new(f32::NAN).is_err());
    }

    #[test]
    fn a_severity_out_of_range_does_not_deserialise() {
        assert!(serde_json::from_str::<Severity>("0.25").is_ok());
        let error = serde_json::from_str::<Severity>("1.5").unwrap_err();
        assert!(error.to_string().contains("outside [0, 1]"));
    }
}
