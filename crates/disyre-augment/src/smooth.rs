//! Separable convolution with Gaussians, for the blur and for elastic deformations.

use disyre_core::ndarray::ArrayViewMut3;

/// Continuation of an image beyond its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// d c b a | a b c d | d c b a: SciPy's "reflect".
    Reflect,
    /// a b c d | a b c d | a b c d.
    Periodic,
}

/// Convolves the axes of a volume with symmetric kernels, given as their weights at distance 0, 1, …
///
/// An axis of one voxel and one whose kernel is a single weight stay as they are.
pub(crate) fn convolve(
    mut data: ArrayViewMut3<'_, f32>,
    kernels: [&[f32]; 3],
    continuation: Continuation,
) {
    if data.is_empty() {
        return;
    }
    let (depth, height, width) = data.dim();
    let mut field: Vec<f32> = data.iter().copied().collect();
    // An axis seen as (outer, length, inner): `inner` voxels lie between neighbours along it.
    let axes = [(depth, height * width), (height, width), (width, 1)];
    for ((length, inner), kernel) in axes.into_iter().zip(kernels) {
        if length > 1 && kernel.len() > 1 {
            for block in field.chunks_exact_mut(length * inner) {
                convolve_rows(block, [length, inner], kernel, continuation);
            }
        }
    }
    data.iter_mut().zip(field).for_each(|(value, smooth)| *value = smooth);
}

fn convolve_rows(
    block: &mut [f32],
    [length, inner]: [usize; 2],
    kernel: &[f32],
    continuation: Continuation,
) {
    let radius = kernel.len() - 1;
    let mut padded = Vec::with_capacity((length + 2 * radius) * inner);
    for position in 0..length + 2 * radius {
        let source = continuation.index(position as isize - radius as isize, length) * inner;
        padded.extend_from_slice(&block[source..source + inner]);
    }
    let at = |offset: usize| &padded[offset * inner..][..length * inner];
    block.iter_mut().zip(at(radius)).for_each(|(out, value)| *out = kernel[0] * value);
    for (distance, weight) in kernel.iter().enumerate().skip(1) {
        let pairs = at(radius - distance).iter().zip(at(radius + distance));
        block.iter_mut().zip(pairs).for_each(|(out, (a, b))| *out += weight * (a + b));
    }
}

impl Continuation {
    /// Index of the voxel at a position, in the image or beyond.
    fn index(self, position: isize, length: usize) -> usize {
        match self {
            Self::Periodic => position.rem_euclid(length as isize) as usize,
            Self::Reflect => {
                let folded = position.rem_euclid(2 * length as isize) as usize;
                folded.min(2 * length - 1 - folded)
            }
        }
    }
}

/// A Gaussian cut off after four standard deviations, as `scipy.ndimage.gaussian_filter`.
///
/// `sigma` is in voxels, ≥ 0; 0 gives the single weight 1.
pub(crate) fn gaussian(sigma: f64) -> Vec<f32> {
    let radius = (4.0 * sigma + 0.5) as usize;
    let weight = |distance: usize| (-0.5 * (distance as f64 / sigma).powi(2)).exp();
    let tail: f64 = (1..=radius).map(weight).sum();
    let rest = (1..=radius).map(|distance| weight(distance) / (1.0 + 2.0 * tail));
    [1.0 / (1.0 + 2.0 * tail)].into_iter().chain(rest).map(|weight| weight as f32).collect()
}

/// The Gaussian of a ring of `length` voxels whose spectrum is `exp(−2 (π σ f / length)²)` at frequency f, as
/// `scipy.ndimage.fourier_gaussian` multiplies it.
///
/// `sigma` is in voxels, ≥ 0; weights beyond the last that matters are left out.
pub(crate) fn periodic_gaussian(sigma: f64, length: usize) -> Vec<f32> {
    /// Relative to the greatest: below the rounding of the sum.
    const NEGLIGIBLE: f64 = 1e-8;
    let n = length as f64;
    let spectrum: Vec<f64> = (0..=length / 2)
        .map(|frequency| {
            let once = frequency == 0 || 2 * frequency == length;
            let share = if once { 1.0 } else { 2.0 };
            share * (-2.0 * (std::f64::consts::PI * sigma * frequency as f64 / n).powi(2)).exp()
        })
        .collect();
    let weight = |distance: usize| {
        let waves = spectrum.iter().enumerate().map(|(frequency, amplitude)| {
            let phase = (frequency * distance % length) as f64 / n;
            amplitude * (std::f64::consts::TAU * phase).cos()
        });
        // Half way round, both sides meet in one voxel.
        waves.sum::<f64>() / n * if 2 * distance == length { 0.5 } else { 1.0 }
    };
    let mut kernel: Vec<f64> = (0..=length / 2).map(weight).collect();
    let matters = kernel.iter().rposition(|weight| weight.abs() > NEGLIGIBLE * kernel[0]);
    kernel.truncate(matters.unwrap_or(0) + 1);
    kernel.into_iter().map(|weight| weight as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};
    use proptest::prelude::*;

    fn ring(values: &[f32], kernel: &[f32], continuation: Continuation) -> Array3<f32> {
        let mut data = Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap();
        convolve(data.view_mut(), [&[1.0], &[1.0], kernel], continuation);
        data
    }

    #[test]
    fn beyond_the_end_the_image_is_reflected_or_begins_anew() {
        let kernel = [0.0, 0.0, 1.0];
        let reflected = ring(&[1.0, 2.0, 4.0, 8.0], &kernel, Continuation::Reflect);
        assert_eq!(reflected, array![[[6.0, 9.0, 9.0, 6.0]]]); // 2+4, 1+8, 1+8, 2+4
        let periodic = ring(&[1.0, 2.0, 4.0, 8.0, 16.0], &kernel, Continuation::Periodic);
        assert_eq!(periodic, array![[[12.0, 24.0, 17.0, 3.0, 6.0]]]);
    }

    #[test]
    fn a_narrow_periodic_gaussian_is_the_plain_one() {
        let (plain, ring) = (gaussian(2.0), periodic_gaussian(2.0, 64));
        for (a, b) in plain.iter().zip(&ring) {
            assert!((a - b).abs() < 1e-4, "{a} {b}"); // the plain one is cut off and normalised anew
        }
    }

    #[test]
    fn no_sigma_changes_nothing() {
        assert_eq!(gaussian(0.0), [1.0]);
        let kernel = periodic_gaussian(0.0, 16);
        assert_eq!(kernel.len(), 1);
        assert!((kernel[0] - 1.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn a_ring_keeps_its_sum_and_loses_its_waves(
            sigma in 0.0..40.0f64,
            values in prop::collection::vec(-1f32..1.0, 2..40),
        ) {
            let n = values.len();
            let smooth = ring(&values, &periodic_gaussian(sigma, n), Continuation::Periodic);
            prop_assert!((smooth.sum() - values.iter().sum::<f32>()).abs() < 1e-4);
            // The slowest wave is damped by the spectrum at frequency 1.
            let wave = |values: &mut dyn Iterator<Item = f32>| {
                let angle = |index: usize| std::f32::consts::TAU * index as f32 / n as f32;
                values.enumerate().map(|(index, value)| value * angle(index).cos()).sum::<f32>()
            };
            let damping = (-2.0 * (std::f64::consts::PI * sigma / n as f64).powi(2)).exp() as f32;
            let before = wave(&mut values.iter().copied());
            prop_assert!((wave(&mut smooth.iter().copied()) - damping * before).abs() < 1e-4);
        }
    }
}
