//! Probability and severity that all corruptions are configured with.

use disyre_core::{KeyRng, Severity, rand::RngExt};

use crate::{check, error::DagError};

/// A severity that is present with a probability, from a configured interval.
pub(super) fn draw_present(rng: &mut KeyRng, probability: f64, severity: [f32; 2]) -> Severity {
    let present = rng.random_bool(probability);
    let severity = draw_severity(severity, rng.random());
    if present { severity } else { Severity::CLEAN }
}

/// A severity from a configured interval.
fn draw_severity([least, greatest]: [f32; 2], fraction: f32) -> Severity {
    let value = (least + (greatest - least) * fraction).clamp(0.0, 1.0);
    Severity::new(value).unwrap_or(Severity::CLEAN)
}

/// Checks how often and how strongly a corruption is configured to be there.
pub(super) fn check_strength(probability: f64, severity: [f32; 2]) -> Result<(), DagError> {
    check::probability("probability", probability)?;
    check::interval("severity", severity.map(f64::from), [0.0, 1.0], "0 ≤ least ≤ greatest ≤ 1")
}
