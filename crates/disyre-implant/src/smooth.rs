//! Gaussian blurs, the median of neighbours, and smooth random fields.

use disyre_core::Key;
use disyre_core::ndarray::{Array3, ArrayView3, ArrayViewMut1, Axis, Zip};
use rand_distr::{Distribution, StandardNormal};

/// Blurs by a Gaussian whose standard deviation is `sigma` voxels along each axis; the edge is continued.
pub(crate) fn blur(data: &mut Array3<f32>, sigma: [f64; 3]) {
    for (axis, sigma) in sigma.into_iter().enumerate() {
        let weights = weights(sigma);
        if weights.len() > 1 {
            Zip::from(data.lanes_mut(Axis(axis))).par_for_each(|line| convolve(line, &weights));
        }
    }
}

/// Weights at distances 0, 1, … up to 4 standard deviations; their two-sided sum is 1.
fn weights(sigma: f64) -> Vec<f64> {
    let reach = (4.0 * sigma).round() as usize;
    let weight = |distance: usize| match distance {
        0 => 1.0,
        _ => (-0.5 * (distance as f64 / sigma).powi(2)).exp(),
    };
    let weights: Vec<f64> = (0..=reach).map(weight).collect();
    let total = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.iter().map(|weight| weight / total).collect()
}

fn convolve(mut line: ArrayViewMut1<'_, f32>, weights: &[f64]) {
    let values = line.to_vec();
    let last = values.len() - 1;
    for (index, out) in line.iter_mut().enumerate() {
        let mut sum = weights[0] * f64::from(values[index]);
        for (distance, weight) in weights.iter().enumerate().skip(1) {
            let low = values[index.saturating_sub(distance)];
            let high = values[(index + distance).min(last)];
            sum += weight * (f64::from(low) + f64::from(high));
        }
        *out = sum as f32;
    }
}

/// Lower median of each voxel of a mask and those of its six neighbours that are in the mask; 0 outside of it.
///
/// It takes most of the noise away and keeps edges.
pub(crate) fn median_of_neighbours(
    data: ArrayView3<'_, f32>,
    mask: ArrayView3<'_, u8>,
) -> Array3<f32> {
    let (nz, ny, nx) = data.dim();
    let mut out = Array3::zeros(data.raw_dim());
    Zip::indexed(&mut out).par_for_each(|(z, y, x), out| {
        if mask[[z, y, x]] == 0 {
            return;
        }
        let (mut near, mut count) = ([0.0f32; 7], 0);
        let mut add = |z: usize, y: usize, x: usize| {
            if z < nz && y < ny && x < nx && mask[[z, y, x]] != 0 {
                near[count] = data[[z, y, x]];
                count += 1;
            }
        };
        add(z, y, x);
        for step in [usize::MAX, 1] {
            add(z.wrapping_add(step), y, x);
            add(z, y.wrapping_add(step), x);
            add(z, y, x.wrapping_add(step));
        }
        near[..count].sort_unstable_by(f32::total_cmp);
        *out = near[(count - 1) / 2];
    });
    out
}

/// A smooth random field of mean 0: white noise under a Gaussian blur, so that its correlation falls to 1/e over
/// `correlation_mm`.
///
/// Noise under a Gaussian of standard deviation s has the correlation exp(−d²/4s²): s is half of the length.
pub(crate) fn random_field(
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    correlation_mm: f64,
    key: Key,
) -> Array3<f32> {
    let mut rng = key.rng();
    let mut field = Array3::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng));
    blur(&mut field, spacing_mm.map(|spacing| correlation_mm / 2.0 / spacing));
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_constants_and_spreads_points() {
        let mut constant = Array3::from_elem((3, 4, 5), 2.5);
        blur(&mut constant, [0.8, 1.0, 2.0]);
        assert!(constant.iter().all(|value: &f32| (value - 2.5).abs() < 1e-6));
        let mut point = Array3::zeros((1, 1, 41));
        point[[0, 0, 20]] = 1.0;
        blur(&mut point, [0.0, 0.0, 3.0]);
        let variance: f32 =
            point.indexed_iter().map(|((_, _, x), v)| v * (x as f32 - 20.0).powi(2)).sum();
        assert!((variance - 9.0).abs() < 0.1, "{variance}");
    }

    #[test]
    fn the_median_removes_points_keeps_edges_and_stays_in_the_mask() {
        let mut data = Array3::from_shape_fn((5, 5, 6), |(_, _, x)| if x < 3 { 1.0 } else { 5.0 });
        let mask = Array3::from_shape_fn((5, 5, 6), |(z, _, _)| u8::from(z > 0));
        let clean = data.clone();
        data[[2, 2, 1]] = 99.0;
        let median = median_of_neighbours(data.view(), mask.view());
        for ((at, &median), &clean) in median.indexed_iter().zip(&clean) {
            assert_eq!(median, if at.0 > 0 { clean } else { 0.0 });
        }
    }

    #[test]
    fn a_field_is_correlated_over_its_length() {
        let field = random_field([40, 40, 40], [2.0; 3], 12.0, Key::new(3));
        let lag = 6; // 12 mm
        let (mut product, mut square) = (0.0, 0.0);
        for z in 0..40 {
            for y in 0..40 {
                for x in 0..40 - lag {
                    product += field[[z, y, x]] * field[[z, y, x + lag]];
                    square += field[[z, y, x]].powi(2);
                }
            }
        }
        let correlation = product / square;
        assert!((correlation - 0.368).abs() < 0.12, "{correlation}");
    }
}
