//! [`SpatialConfig`]: settings from which [`SpatialParams`] are drawn.

use disyre_core::{Key, rand::RngExt};
use serde::{Deserialize, Serialize};

use crate::{check, elastic::ElasticParams, error::AugmentError, spatial::SpatialParams};

/// Settings of elastic deformation, rotation and scale: probabilities and ranges.
///
/// # Source
/// The published code of DISYRE v2 (arXiv 2407.06635). In 3D, ours: a rotation about each of the three axes.
///
/// ```
/// use disyre_augment::{AugmentConfig, SpatialConfig};
///
/// let spatial = SpatialConfig { rotation_degrees: 30.0, ..SpatialConfig::default() };
/// AugmentConfig { spatial, ..AugmentConfig::default() }.build()?;
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpatialConfig {
    /// Probability of an elastic deformation, in `[0, 1]`.
    pub elastic_probability: f64,
    /// Least and greatest standard deviation of its smoothing, in extents of the patch, in `[0, 1]`.
    pub elastic_sigma: [f64; 2],
    /// Least and greatest displacement, in standard deviations, in `[0, 2]`; drawn for each axis.
    pub elastic_magnitude: [f64; 2],
    /// Probability of a rotation, in `[0, 1]`.
    pub rotation_probability: f64,
    /// Greatest angle to either side, in degrees, in `[0, 180]`; voxels count as cubes.
    pub rotation_degrees: f64,
    /// Probability of a change of scale, in `[0, 1]`.
    pub scale_probability: f64,
    /// Least and greatest scale, in `[0.1, 10]`, around 1: below 1 enlarges. Half of the scales lie on either side of 1.
    pub scale: [f64; 2],
}

impl Default for SpatialConfig {
    fn default() -> Self {
        Self {
            elastic_probability: 0.1,
            elastic_sigma: [0.0, 0.25],
            elastic_magnitude: [0.125, 0.5],
            rotation_probability: 0.1,
            rotation_degrees: 15.0,
            scale_probability: 0.1,
            scale: [0.75, 1.25],
        }
    }
}

impl SpatialConfig {
    pub(crate) fn check(&self) -> Result<(), AugmentError> {
        check::probability("elastic_probability", self.elastic_probability)?;
        check::interval(
            "elastic_sigma",
            self.elastic_sigma,
            [0.0, 1.0],
            "0 ≤ least ≤ greatest ≤ 1",
        )?;
        let expected = "0 ≤ least ≤ greatest ≤ 2";
        check::interval("elastic_magnitude", self.elastic_magnitude, [0.0, 2.0], expected)?;
        check::probability("rotation_probability", self.rotation_probability)?;
        let expected = "an angle in [0, 180]";
        check::in_range("rotation_degrees", self.rotation_degrees, [0.0, 180.0], expected)?;
        check::probability("scale_probability", self.scale_probability)?;
        let expected = "0.1 ≤ least ≤ 1 ≤ greatest ≤ 10";
        check::in_range("scale", self.scale[0], [0.1, 1.0], expected)?;
        check::in_range("scale", self.scale[1], [1.0, 10.0], expected)
    }

    /// Draws a place and the changes there.
    pub(crate) fn draw(&self, key: Key) -> SpatialParams {
        let mut rng = key.rng();
        let mut between = |[low, high]: [f64; 2]| low + (high - low) * rng.random::<f64>();
        let place = [0; 3].map(|_| between([0.0, 1.0]));
        let happens = [0; 3].map(|_| between([0.0, 1.0]));
        let elastic = ElasticParams {
            sigma: between(self.elastic_sigma),
            magnitude: [0; 3].map(|_| between(self.elastic_magnitude)),
            noise: key.child("elastic"),
        };
        let limit = self.rotation_degrees;
        let rotation = [0; 3].map(|_| between([-limit, limit]));
        let enlarged = between([0.0, 1.0]) < 0.5;
        let scale = between(if enlarged { [self.scale[0], 1.0] } else { [1.0, self.scale[1]] });
        SpatialParams {
            place,
            elastic: (happens[0] < self.elastic_probability).then_some(elastic),
            rotation_degrees: (happens[1] < self.rotation_probability).then_some(rotation),
            scale: (happens[2] < self.scale_probability).then_some(scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_as_frequent_and_as_far_as_configured() {
        let config = SpatialConfig::default();
        let draws: Vec<_> = (0..20_000u64).map(|i| config.draw(Key::new(4).child(i))).collect();
        let share = |happens: &dyn Fn(&SpatialParams) -> bool| {
            draws.iter().filter(|draw| happens(draw)).count() as f64 / draws.len() as f64
        };
        // Standard deviations: 0.0021 of 0.1, 0.0031 of 0.271.
        assert!((share(&|draw| draw.elastic.is_some()) - 0.1).abs() < 0.01);
        assert!((share(&|draw| draw.rotation_degrees.is_some()) - 0.1).abs() < 0.01);
        assert!((share(&|draw| !draw.is_crop()) - 0.271).abs() < 0.015);
        let scales: Vec<f64> = draws.iter().filter_map(|draw| draw.scale).collect();
        assert!(scales.iter().all(|scale| (0.75..1.25).contains(scale)));
        let enlarged = scales.iter().filter(|&&scale| scale < 1.0).count() as f64;
        assert!((enlarged / scales.len() as f64 - 0.5).abs() < 0.05);
    }
}
