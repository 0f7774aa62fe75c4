use disyre_core::ndarray::ArrayViewMut3;

use crate::{DagError, check};

/// Standard deviations after which the kernel ends: SciPy's default.
const TRUNCATE: f64 = 4.0;

/// The widest blur that is accepted, in voxels: it bounds the kernel's memory.
const MAX_SIGMA: f64 = 1000.0;

/// Blurs a volume in place by a separable Gaussian, as `scipy.ndimage.gaussian_filter(mode="reflect", truncate=4)`.
///
/// # Shapes and units
/// `data` and `sigma_voxels` are `(z, y, x)`. An axis of one voxel and an axis of sigma 0 stay as they are.
///
/// # Errors
/// [`DagError::Config`] if a sigma is negative, above 1000 or not a number; `data` is then untouched.
///
/// # Source
/// Definition of SciPy; used by DISYRE v2 (arXiv 2407.06635) for soft masks and the tissue bias.
pub fn gaussian_blur(data: ArrayViewMut3<'_, f32>, sigma_voxels: [f64; 3]) -> Result<(), DagError> {
    check_sigma("sigma_voxels", sigma_voxels)?;
    blur(data, sigma_voxels);
    Ok(())
}

/// Refuses sigmas that [`gaussian_blur`] refuses.
pub(crate) fn check_sigma(parameter: &'static str, sigma: [f64; 3]) -> Result<(), DagError> {
    sigma.iter().try_for_each(|&value| {
        check::in_range(parameter, value, [0.0, MAX_SIGMA], "between 0 and 1000 voxels")
    })
}

/// Voxels on either side that a blur looks at.
pub(crate) fn radius(sigma: f64) -> usize {
    (TRUNCATE * sigma + 0.5) as usize
}

/// [`gaussian_blur`] for sigmas already checked.
pub(crate) fn blur(mut data: ArrayViewMut3<'_, f32>, sigma: [f64; 3]) {
    let (depth, height, width) = data.dim();
    let mut field: Vec<f32> = data.iter().copied().collect();
    // An axis seen as (outer, length, inner): `inner` voxels lie between neighbours along it.
    let axes = [(1, depth, height * width), (depth, height, width), (depth * height, width, 1)];
    for ((outer, length, inner), sigma) in axes.into_iter().zip(sigma) {
        if length > 1 && radius(sigma) > 0 {
            blur_axis(&mut field, [outer, length, inner], &half_kernel(sigma));
        }
    }
    data.iter_mut().zip(field).for_each(|(value, blurred)| *value = blurred);
}

/// The weights at distance 0, 1, …, radius; the whole symmetric kernel adds up to 1.
fn half_kernel(sigma: f64) -> Vec<f32> {
    let weight = |distance: usize| (-0.5 * (distance as f64 / sigma).powi(2)).exp();
    let tail: f64 = (1..=radius(sigma)).map(weight).sum();
    (0..=radius(sigma)).map(|distance| (weight(distance) / (1.0 + 2.0 * tail)) as f32).collect()
}

fn blur_axis(field: &mut [f32], [_, length, inner]: [usize; 3], kernel: &[f32]) {
    let radius = kernel.len() - 1;
    let mut padded = vec![0.0; (length + 2 * radius) * inner];
    for block in field.chunks_exact_mut(length * inner) {
        for (position, row) in padded.chunks_exact_mut(inner).enumerate() {
            let source = reflect(position as isize - radius as isize, length) * inner;
            row.copy_from_slice(&block[source..source + inner]);
        }
        let middle = &padded[radius * inner..][..block.len()];
        block.iter_mut().zip(middle).for_each(|(out, value)| *out = kernel[0] * value);
        for (distance, weight) in kernel.iter().enumerate().skip(1) {
            let before = &padded[(radius - distance) * inner..][..block.len()];
            let after = &padded[(radius + distance) * inner..][..block.len()];
            for ((out, a), b) in block.iter_mut().zip(before).zip(after) {
                *out += weight * (a + b);
            }
        }
    }
}

/// The index that SciPy's "reflect" border (d c b a | a b c d | d c b a) puts at `position`.
fn reflect(position: isize, length: usize) -> usize {
    let folded = position.rem_euclid(2 * length as isize) as usize;
    folded.min(2 * length - 1 - folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, Axis};
    use proptest::prelude::*;

    #[test]
    fn the_border_repeats_its_edge_voxel() {
        let seen: Vec<usize> = (-4..7).map(|position| reflect(position, 3)).collect();
        assert_eq!(seen, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
    }

    #[test]
    fn a_point_becomes_the_kernel() {
        let mut data = Array3::zeros((1, 1, 9));
        data[[0, 0, 4]] = 1.0;
        gaussian_blur(data.view_mut(), [1.0, 1.0, 0.5]).unwrap();
        // exp(0), exp(-2), exp(-8) over their symmetric sum.
        let sum = 1.0 + 2.0 * ((-2f64).exp() + (-8f64).exp());
        for (x, exponent) in [(4, 0.0f64), (5, -2.0), (2, -8.0)] {
            assert!((f64::from(data[[0, 0, x]]) - exponent.exp() / sum).abs() < 1e-7);
        }
        assert_eq!(data[[0, 0, 1]], 0.0);
    }

    #[test]
    fn a_sigma_that_is_not_a_number_is_refused() {
        let mut data = Array3::zeros((1, 2, 2));
        assert!(gaussian_blur(data.view_mut(), [0.0, f64::NAN, 0.0]).is_err());
        assert!(gaussian_blur(data.view_mut(), [0.0, -1.0, 0.0]).is_err());
    }

    proptest! {
        #[test]
        fn blurring_keeps_the_sum(
            values in proptest::collection::vec(0f32..1.0, 60),
            sigma in 0.0..6.0f64,
        ) {
            let before = Array3::from_shape_vec((3, 4, 5), values).unwrap();
            let mut after = before.clone();
            gaussian_blur(after.view_mut(), [sigma; 3]).unwrap();
            prop_assert!((before.sum() - after.sum()).abs() < 1e-4);
        }

        #[test]
        fn blurring_does_not_depend_on_the_memory_order(
            values in proptest::collection::vec(0f32..1.0, 60),
        ) {
            let mut plain = Array3::from_shape_vec((3, 4, 5), values).unwrap();
            let mut turned = plain.clone();
            gaussian_blur(plain.view_mut(), [0.7, 1.1, 2.0]).unwrap();
            let mut view = turned.view_mut();
            view.swap_axes(0, 2);
            gaussian_blur(view, [2.0, 1.1, 0.7]).unwrap();
            let difference = (&plain - &turned).mapv(f32::abs);
            prop_assert!(difference.fold(0f32, |a, &b| a.max(b)) < 1e-6);
            prop_assert_eq!(plain.len_of(Axis(0)), 3);
        }
    }
}
