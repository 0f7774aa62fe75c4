//! The numbers of one lesion: drawn once, recorded, applied any number of times.

use disyre_core::Key;
use serde::{Deserialize, Serialize};

use crate::LesionKind;
use crate::placement::Placement;
use crate::shapes::ShapeSource;

/// The numbers of one lesion. With its host and its shape they give the same voxels again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LesionParams {
    /// Kind.
    pub kind: LesionKind,
    /// Shape.
    pub shape: ShapeSource,
    /// Its place.
    pub placement: Placement,
    /// Standard deviation of the Gaussian by which the shape's distance map is blurred, in millimetres.
    pub smoothing_mm: f64,
    /// Intensities.
    pub appearance: Appearance,
    /// Key of the random texture.
    pub texture: Key,
}

/// Intensities of one lesion, relative to the tissue around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appearance {
    /// The rows of the table, case and volume in millilitres, between which it lies.
    pub rows: [(String, f64); 2],
    /// Share of the second row, 0 to 1.
    pub second: f64,
    /// Quantiles, those of [`LesionMeasurement::quantiles`](crate::LesionMeasurement::quantiles), as shares of the way from the local tissue (0) to fluid (1), falling.
    pub fluid_shares: Vec<f64>,
    /// Cavity, if there is one.
    pub cavity: Option<Cavity>,
    /// Correlation of brightness with the depth below the border.
    pub depth_correlation: f64,
    /// Correlation of brightness with that of the healthy tissue in its place.
    pub anatomy_correlation: f64,
    /// Distance over which the correlation of the rest falls to 1/e, in millimetres.
    pub correlation_mm: f64,
    /// Standard deviation of the Gaussian edge, in millimetres.
    pub edge_mm: f64,
}

/// The darkest part of a lesion, near fluid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cavity {
    /// Share of the lesion.
    pub share: f64,
    /// Share of the way from tissue to fluid.
    pub fluid_share: f64,
}

impl Appearance {
    /// Share of the way to fluid at a rank of brightness, 0 the darkest to 1.
    pub(crate) fn fluid_share(&self, rank: f64) -> f64 {
        let table = between(&self.fluid_shares, rank);
        match self.cavity {
            None => table,
            Some(cavity) => {
                // The wall of the cavity takes a fifth of the ranks.
                let inside = ((cavity.share + 0.1 - rank) / 0.2).clamp(0.0, 1.0);
                table + inside * (cavity.fluid_share - table)
            }
        }
    }
}

/// Value at a rank, 0 to 1, of a list of at least one at evenly spaced ranks.
pub(crate) fn between(values: &[f64], rank: f64) -> f64 {
    let last = values.len() - 1;
    let at = rank.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    values[low] + part * (values[(low + 1).min(last)] - values[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_darkest_ranks_are_the_cavity_and_the_brightest_the_rim() {
        let look = Appearance {
            rows: [("a".into(), 1.0), ("b".into(), 2.0)],
            second: 0.5,
            fluid_shares: (0..21).map(|i| 0.4 - 0.02 * f64::from(i)).collect(),
            cavity: Some(Cavity { share: 0.5, fluid_share: 0.9 }),
            depth_correlation: 0.0,
            anatomy_correlation: 0.0,
            correlation_mm: 4.0,
            edge_mm: 1.0,
        };
        let close = |rank, share: f64| (look.fluid_share(rank) - share).abs() < 1e-12;
        assert!(close(0.0, 0.9) && close(0.4, 0.9) && close(1.0, 0.0) && close(0.6, 0.16));
        assert!(close(0.5, 0.5 * (0.9 + 0.2)));
        let none = Appearance { cavity: None, ..look };
        assert!((none.fluid_share(0.125) - 0.35).abs() < 1e-12);
    }
}
