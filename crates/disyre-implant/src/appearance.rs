//! Intensities drawn from the table.

use disyre_core::Key;
use disyre_core::rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::kind::fluid_shares;
use crate::params::{Appearance, Cavity, known};
use crate::{ImplantError, LesionKind, LesionMeasurement, LesionStatistics};

/// Rows of about the same volume among which two are drawn.
const NEAREST: usize = 6;

/// Draws the intensities of a lesion: between two rows of the table of about its volume.
///
/// Contrast, spread, texture and edge are drawn together, since they belong together in the table.
pub(crate) fn draw(
    statistics: &LesionStatistics,
    kind: LesionKind,
    volume_ml: f64,
    strength: f64,
    key: Key,
) -> Result<Appearance, ImplantError> {
    let suited = rows(statistics, kind);
    let nearest = nearest(&suited, volume_ml);
    let missing = || ImplantError::NoStatistics { kind: kind.name() };
    if nearest.is_empty() {
        return Err(missing());
    }
    let mut rng = key.rng();
    let mut pick = || nearest[rng.random_range(0..nearest.len())];
    let (first, second) = (pick(), pick());
    let share: f64 = rng.random();
    let everything: Vec<&LesionMeasurement> = statistics.lesions.iter().collect();
    let between = |value: fn(&LesionMeasurement) -> Option<f64>| {
        let of = |row| known(row, &suited, value).or_else(|| known(row, &everything, value));
        Some(of(first)? * (1.0 - share) + of(second)? * share)
    };
    let noise: f64 = StandardNormal.sample(&mut rng);
    let factor = (strength * noise).exp();
    let shares = fluid_shares(first).into_iter().zip(fluid_shares(second));
    let fluid_shares = shares.map(|(a, b)| (factor * (a + share * (b - a))).min(1.0)).collect();
    let cavity = (kind == LesionKind::ChronicStroke).then(|| Cavity {
        share: rng.random_range(0.3..0.8),
        fluid_share: rng.random_range(0.7..1.0),
    });
    let depth = between(|row| row.depth_correlation).unwrap_or(0.0);
    let of = |row: &LesionMeasurement| (row.case.clone(), row.volume_ml);
    Ok(Appearance {
        rows: [of(first), of(second)],
        second: share,
        fluid_shares,
        cavity,
        // A cavity is where the tissue had least to live from: in the core.
        depth_correlation: if cavity.is_some() { -0.75 } else { depth },
        anatomy_correlation: between(|row| row.anatomy_correlation).unwrap_or(0.0),
        correlation_mm: between(|row| row.correlation_mm).ok_or_else(missing)?,
        edge_mm: between(|row| row.edge_mm).ok_or_else(missing)?,
    })
}

/// The rows that lend their intensities to a kind.
pub(crate) fn rows(statistics: &LesionStatistics, kind: LesionKind) -> Vec<&LesionMeasurement> {
    statistics.lesions.iter().filter(|row| kind.suits(row)).collect()
}

/// The rows whose volumes are nearest, on a logarithmic scale.
fn nearest<'a>(rows: &[&'a LesionMeasurement], volume_ml: f64) -> Vec<&'a LesionMeasurement> {
    let mut rows = rows.to_vec();
    let distance = |row: &LesionMeasurement| (row.volume_ml / volume_ml).ln().abs();
    rows.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    rows.truncate(NEAREST);
    rows
}
