//! Intensities drawn from the table.

use disyre_core::rand::RngExt;
use disyre_core::{Key, KeyRng};
use rand_distr::{Distribution, StandardNormal};

use crate::kind::fluid_shares;
use crate::params::{Appearance, Cavity};
use crate::samples::{quantile, sorted};
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
    let missing = || ImplantError::NoStatistics { kind: kind.name() };
    let mut rng = key.rng();
    let mix = Mix::draw(statistics, kind, volume_ml, &mut rng).ok_or_else(missing)?;
    let noise: f64 = StandardNormal.sample(&mut rng);
    let cavity = (kind == LesionKind::ChronicStroke).then(|| Cavity {
        share: rng.random_range(0.3..0.8),
        fluid_share: rng.random_range(0.7..1.0),
    });
    let depth = mix.of(|row| row.depth_correlation).unwrap_or(0.0);
    Ok(Appearance {
        rows: mix.rows.map(|row| (row.case.clone(), row.volume_ml)),
        second: mix.second,
        fluid_shares: mix.fluid_shares((strength * noise).exp()),
        cavity,
        // A cavity is where the tissue had least to live from: in the core.
        depth_correlation: if cavity.is_some() { -0.75 } else { depth },
        anatomy_correlation: mix.of(|row| row.anatomy_correlation).unwrap_or(0.0),
        correlation_mm: mix.of(|row| row.correlation_mm).ok_or_else(missing)?,
        edge_mm: mix.of(|row| row.edge_mm).ok_or_else(missing)?,
    })
}

/// Two rows of the table, and the share of the second.
struct Mix<'a> {
    rows: [&'a LesionMeasurement; 2],
    second: f64,
    /// All rows of the kind, and all rows: where one of the two lacks a measure, the median of the former has to do, or that
    /// of the latter.
    suited: Vec<&'a LesionMeasurement>,
    all: Vec<&'a LesionMeasurement>,
}

impl<'a> Mix<'a> {
    fn draw(
        statistics: &'a LesionStatistics,
        kind: LesionKind,
        volume_ml: f64,
        rng: &mut KeyRng,
    ) -> Option<Self> {
        let suited = rows(statistics, kind);
        let nearest = nearest(&suited, volume_ml);
        if nearest.is_empty() {
            return None;
        }
        let rows = [0; 2].map(|_| nearest[rng.random_range(0..nearest.len())]);
        let all = statistics.lesions.iter().collect();
        Some(Self { rows, second: rng.random(), suited, all })
    }

    /// The value between the two rows.
    fn of(&self, value: fn(&LesionMeasurement) -> Option<f64>) -> Option<f64> {
        let of = |row: &LesionMeasurement| {
            value(row).or_else(|| median(&self.suited, value)).or_else(|| median(&self.all, value))
        };
        let [first, second] = self.rows;
        Some(of(first)? * (1.0 - self.second) + of(second)? * self.second)
    }

    /// Quantiles between those of the two rows, times a factor.
    fn fluid_shares(&self, factor: f64) -> Vec<f64> {
        let [first, second] = self.rows.map(fluid_shares);
        let shares = first.into_iter().zip(second);
        shares.map(|(a, b)| (factor * (a + self.second * (b - a))).min(1.0)).collect()
    }
}

fn median(
    rows: &[&LesionMeasurement],
    value: fn(&LesionMeasurement) -> Option<f64>,
) -> Option<f64> {
    let values = sorted(rows.iter().filter_map(|row| value(row)).map(|value| value as f32));
    (!values.is_empty()).then(|| quantile(&values, 0.5))
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
