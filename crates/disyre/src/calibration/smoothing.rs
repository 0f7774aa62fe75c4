//! Smoothing and erosion inside the brain, and the way from a coarse grid to a fine one.

use disyre_core::ndarray::{Array3, ArrayView3, Slice, Zip};
use disyre_dag::shapes::gaussian_blur;

use crate::Error;

/// Spacing of the template.
const TEMPLATE_SPACING_MM: f64 = 2.0;

/// A length in voxels of the template.
pub(super) fn in_voxels(mm: f64) -> f64 {
    mm / TEMPLATE_SPACING_MM
}

/// Far below the weight of a lone voxel under the widest Gaussian.
const LEAST_WEIGHT: f32 = 1e-6;

/// Gaussian smoothing of maps inside a mask: `blur(map · mask) / blur(mask)`; 0 outside.
pub(super) struct Smoother<'a> {
    mask: ArrayView3<'a, u8>,
    /// The smoothed mask; `None`: nothing is smoothed.
    weights: Option<Array3<f32>>,
    sigma: [f64; 3],
}

impl<'a> Smoother<'a> {
    /// Inside a mask by a Gaussian whose standard deviation is `sigma` voxels; 0 leaves maps as they are inside.
    pub(super) fn new(mask: ArrayView3<'a, u8>, sigma: f64) -> Result<Self, Error> {
        let sigma = [sigma; 3];
        let weights = match sigma[0] > 0.0 {
            false => None,
            true => {
                let mut weights = mask.mapv(|inside| f32::from(u8::from(inside != 0)));
                gaussian_blur(weights.view_mut(), sigma)?;
                Some(weights)
            }
        };
        Ok(Self { mask, weights, sigma })
    }

    /// The mask.
    pub(super) fn mask(&self) -> ArrayView3<'a, u8> {
        self.mask
    }

    /// Smooths a map of the mask's shape.
    pub(super) fn smooth(&self, map: ArrayView3<'_, f32>) -> Result<Array3<f32>, Error> {
        let keep = |&value: &f32, &inside: &u8| if inside != 0 { value } else { 0.0 };
        let mut smooth = Zip::from(map).and(self.mask).map_collect(keep);
        let Some(weights) = &self.weights else { return Ok(smooth) };
        gaussian_blur(smooth.view_mut(), self.sigma)?;
        Zip::from(&mut smooth).and(weights).and(self.mask).for_each(|value, &weight, &inside| {
            *value = if inside != 0 { *value / weight.max(LEAST_WEIGHT) } else { 0.0 };
        });
        Ok(smooth)
    }
}

/// [`Smoother`] for one map.
pub(super) fn smooth_inside(
    map: ArrayView3<'_, f32>,
    mask: ArrayView3<'_, u8>,
    sigma: f64,
) -> Result<Array3<f32>, Error> {
    Smoother::new(mask, sigma)?.smooth(map)
}

/// Takes voxels off the surface of a mask: those with a neighbour outside across a face, `depth` times. The border of
/// the array is outside.
pub(super) fn eroded(mask: &Array3<u8>, depth: usize) -> Array3<u8> {
    let mut inside = mask.clone();
    for _ in 0..depth {
        let before = inside.clone();
        let at = |z: usize, y: usize, x: usize| before.get([z, y, x]).is_some_and(|&v| v != 0);
        // Wrapping below 0 leads far outside, too.
        let kept = |z: usize, y: usize, x: usize| {
            at(z.wrapping_sub(1), y, x)
                && at(z + 1, y, x)
                && at(z, y.wrapping_sub(1), x)
                && at(z, y + 1, x)
                && at(z, y, x.wrapping_sub(1))
                && at(z, y, x + 1)
        };
        inside.indexed_iter_mut().for_each(|((z, y, x), value)| {
            *value = u8::from(*value != 0 && kept(z, y, x));
        });
    }
    inside
}

/// Every second voxel along each axis, from the first.
pub(super) fn halved<T: Copy>(fine: &Array3<T>) -> Array3<T> {
    fine.slice_each_axis(|_| Slice::new(0, None, 2)).to_owned()
}

/// [`halved`] undone by linear interpolation over the voxels that are valid, which are 0 elsewhere.
///
/// Both arrays have the coarse shape; the result is 0 where no neighbour is valid.
pub(super) fn doubled(coarse: &Array3<f32>, valid: &Array3<u8>, shape: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(z, y, x)| {
        let (mut sum, mut count) = (0.0f64, 0u32);
        for k in z / 2..=z.div_ceil(2) {
            for j in y / 2..=y.div_ceil(2) {
                for i in x / 2..=x.div_ceil(2) {
                    if valid.get([k, j, i]).is_some_and(|&valid| valid != 0) {
                        sum += f64::from(coarse[[k, j, i]]);
                        count += 1;
                    }
                }
            }
        }
        (sum / f64::from(count.max(1))) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<T: Clone>(values: &[T]) -> Array3<T> {
        Array3::from_shape_vec([1, 1, values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn a_constant_stays_constant_inside_and_nothing_leaks_out_or_in() {
        let (map, mask) = (row(&[9.0, 2.0, 2.0, 2.0, 9.0]), row(&[0u8, 1, 1, 1, 0]));
        let smooth = smooth_inside(map.view(), mask.view(), 1.5).unwrap();
        for (got, expected) in smooth.iter().zip([0.0, 2.0, 2.0, 2.0, 0.0]) {
            assert!((got - expected).abs() < 1e-6, "{smooth}");
        }
        let as_it_is = smooth_inside(map.view(), mask.view(), 0.0).unwrap();
        assert_eq!(as_it_is, row(&[0.0, 2.0, 2.0, 2.0, 0.0]));
    }

    #[test]
    fn erosion_takes_a_layer_at_a_time_and_the_border_is_outside() {
        let mut cube = Array3::<u8>::ones([5; 3]);
        assert_eq!(eroded(&cube, 0), cube);
        assert_eq!(eroded(&cube, 1).iter().filter(|&&v| v != 0).count(), 27);
        assert_eq!(eroded(&cube, 2)[[2, 2, 2]], 1);
        cube[[2, 2, 1]] = 0;
        assert_eq!(eroded(&cube, 1)[[2, 2, 2]], 0);
    }

    #[test]
    fn a_ramp_comes_back_from_half_the_voxels_and_invalid_ones_do_not_count() {
        let ramp = Array3::from_shape_fn([3, 5, 7], |(z, y, x)| (z + 2 * y + 4 * x) as f32);
        let coarse = halved(&ramp);
        assert_eq!(coarse.dim(), (2, 3, 4));
        let valid = Array3::ones(coarse.dim());
        assert_eq!(doubled(&coarse, &valid, [3, 5, 7]), ramp);
        let valid = row(&[1u8, 0, 0]);
        assert_eq!(
            doubled(&row(&[2.0, 0.0, 0.0]), &valid, [1, 1, 5]),
            row(&[2.0, 2.0, 0.0, 0.0, 0.0])
        );
    }
}
