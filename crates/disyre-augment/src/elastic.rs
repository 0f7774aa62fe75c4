//! [`ElasticParams`]: a smooth random displacement, used by [`SpatialParams`](crate::SpatialParams).

use disyre_core::Key;
use disyre_core::ndarray::Array3;
use disyre_core::rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::smooth::{Continuation, convolve, periodic_gaussian};

/// Drawn elastic deformation: a smooth random displacement of every voxel.
///
/// ```
/// use disyre_augment::{ElasticParams, Key, SpatialParams, ndarray::Array4};
///
/// let elastic = ElasticParams { sigma: 0.1, magnitude: [0.5; 3], noise: Key::new(1) };
/// let [still, bent] = [None, Some(elastic)].map(|elastic| SpatialParams {
///     place: [0.5; 3],
///     elastic,
///     rotation_degrees: None,
///     scale: None,
/// });
/// let image = Array4::from_shape_fn((1, 1, 40, 40), |(_, _, y, x)| (1 + y * x) as f32 / 1600.0);
/// let [mut crop, mut patch] = [0, 1].map(|_| Array4::zeros((1, 1, 32, 32)));
/// still.apply(image.view(), crop.view_mut())?;
/// bent.apply(image.view(), patch.view_mut())?;
/// assert!(crop != patch);
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticParams {
    /// Standard deviation of the smoothing, in extents of the patch, ≥ 0.
    pub sigma: f64,
    /// Greatest displacement along `(z, y, x)`, in standard deviations, ≥ 0.
    pub magnitude: [f64; 3],
    /// The key of the noise that is smoothed.
    pub noise: Key,
}

impl ElasticParams {
    /// Displacements of the voxels of a patch along one of its axes, in voxels, with mean 0.
    pub(crate) fn field(&self, shape: [usize; 3], axis: usize) -> Array3<f32> {
        let mut rng = self.noise.child(axis).rng();
        let mut field = Array3::from_shape_simple_fn(shape, || 2.0 * rng.random::<f32>() - 1.0);
        let kernels = shape.map(|extent| periodic_gaussian(self.sigma * extent as f64, extent));
        convolve(field.view_mut(), kernels.each_ref().map(Vec::as_slice), Continuation::Periodic);
        let greatest = field.fold(0f32, |greatest, value| greatest.max(value.abs()));
        if greatest > 0.0 {
            field *= (self.magnitude[axis] * self.sigma * shape[axis] as f64) as f32 / greatest;
        }
        let mean = field.iter().map(|&value| f64::from(value)).sum::<f64>() / field.len() as f64;
        field - mean as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displacements_are_as_great_as_drawn_and_smooth() {
        let elastic = ElasticParams { sigma: 0.1, magnitude: [0.0, 0.25, 0.5], noise: Key::new(3) };
        let shape = [1, 40, 60];
        for (axis, expected) in [(1, 0.25 * 4.0), (2, 0.5 * 6.0)] {
            let field = elastic.field(shape, axis);
            let (low, high) = field.iter().fold((0f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
            // The greatest is as drawn; then the mean is taken away, which shifts both ends.
            assert!((0.999 * expected..2.001 * expected).contains(&(high - low)));
            assert!(field.sum().abs() < 1e-2);
            let step = (1..60).map(|x| (field[[0, 9, x]] - field[[0, 9, x - 1]]).abs());
            assert!(step.fold(0f32, f32::max) < expected / 3.0);
        }
        assert_ne!(elastic.field(shape, 1), elastic.field(shape, 2));
    }
}
