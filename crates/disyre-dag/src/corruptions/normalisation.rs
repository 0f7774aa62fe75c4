//! [`Normalisation`] of a foreign texture to the intensities of the image.

use disyre_core::ndarray::{ArrayView3, ArrayViewMut3};
use serde::{Deserialize, Serialize};

use crate::canvas::{contiguous, for_each_row};

/// Normalisation of a foreign texture to the intensities of the image, channel by channel, over the voxels of the mask.
///
/// f: texture, x: image; minimum, maximum, mean and standard deviation over the voxels with mask > 0. The result is
/// clipped to `[0, 1]`.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635) uses `MinMax`; the others are options of its published code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// f stays as it is.
    None,
    /// `f − mean f + mean x`.
    Mean,
    /// `(f − mean f) / (std f + 0.001) · std x + mean x`.
    Std,
    /// `(f − min f) / (max f − min f + 0.001) · (max x − min x) + min x`.
    #[default]
    MinMax,
}

/// Voxels that are compared side by side.
const LANES: usize = 8;
/// Keeps the divisions finite where a texture is constant.
const EPSILON: f64 = 1e-3;

/// Normalises one channel of a texture in place; an empty mask leaves it as it is.
pub(crate) fn normalise(
    rule: Normalisation,
    texture: ArrayViewMut3<'_, f32>,
    image: ArrayView3<'_, f32>,
    mask: ArrayView3<'_, f32>,
) {
    if rule == Normalisation::None {
        return;
    }
    let moments = rule != Normalisation::MinMax;
    let (Some(f), Some(x)) =
        (Statistics::over(texture.view(), mask, moments), Statistics::over(image, mask, moments))
    else {
        return;
    };
    let (scale, from, to) = match rule {
        Normalisation::None => (1.0, 0.0, 0.0),
        Normalisation::Mean => (1.0, f.mean, x.mean),
        Normalisation::Std => (x.std / (f.std + EPSILON), f.mean, x.mean),
        Normalisation::MinMax => ((x.max - x.min) / (f.max - f.min + EPSILON), f.min, x.min),
    };
    let (scale, shift) = (scale as f32, (to - from * scale) as f32);
    for_each_row(texture, |row| {
        row.iter_mut().for_each(|value| *value = (*value * scale + shift).clamp(0.0, 1.0));
    });
}

#[derive(Debug)]
struct Statistics {
    min: f64,
    max: f64,
    mean: f64,
    std: f64,
}

impl Statistics {
    /// Over the voxels with mask > 0; `None` if there is none. Without `moments` mean and deviation mean nothing.
    fn over(image: ArrayView3<'_, f32>, mask: ArrayView3<'_, f32>, moments: bool) -> Option<Self> {
        let mut range = [[f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]];
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (values, mask) in image.rows().into_iter().zip(mask.rows()) {
            let (values, mask) = (contiguous(values), contiguous(mask));
            let inside = || values.iter().zip(mask.iter());
            let (whole, rest) = (values.chunks_exact(LANES), mask.chunks_exact(LANES));
            let remainders = (whole.remainder(), rest.remainder());
            whole.zip(rest).for_each(|(values, mask)| widen(&mut range, values, mask));
            widen(&mut range, remainders.0, remainders.1);
            if moments {
                for (&value, _) in inside().filter(|(_, m)| **m > 0.0) {
                    count += 1.0;
                    sum += f64::from(value);
                    squares += f64::from(value).powi(2);
                }
            }
        }
        let n: f64 = count;
        let mean = sum / n;
        let std = (squares / n - mean * mean).max(0.0).sqrt();
        let min = range[0].iter().copied().fold(f32::INFINITY, f32::min);
        let max = range[1].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        (min <= max).then_some(Self { min: min.into(), max: max.into(), mean, std })
    }
}

/// Least and greatest values so far, as many side by side as are compared at a time.
type Range = [[f32; LANES]; 2];

/// Takes up to as many voxels more, where the mask is above 0.
fn widen([min, max]: &mut Range, values: &[f32], mask: &[f32]) {
    for (i, (&value, &m)) in values.iter().zip(mask).enumerate().take(LANES) {
        // Selections in place of branches, and of `f32::min`, which asks about numbers that are none.
        let (low, high) = if m > 0.0 { (value, value) } else { (f32::INFINITY, f32::NEG_INFINITY) };
        min[i] = if low < min[i] { low } else { min[i] };
        max[i] = if high > max[i] { high } else { max[i] };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};

    fn normalised(normalisation: Normalisation) -> Array3<f32> {
        let mut texture = array![[[0.2, 0.4, 0.9]]];
        let image = array![[[0.5, 0.7, 0.0]]];
        let mask = array![[[1.0, 0.1, 0.0]]];
        normalise(normalisation, texture.view_mut(), image.view(), mask.view());
        texture
    }

    #[test]
    fn each_rule_matches_its_formula() {
        let close = |a: Array3<f32>, b: [f32; 3]| {
            a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
        };
        close(normalised(Normalisation::None), [0.2, 0.4, 0.9]);
        // Over the first two voxels: mean 0.3 and 0.6, standard deviation 0.1 and 0.1.
        close(normalised(Normalisation::Mean), [0.5, 0.7, 1.0]);
        let scale = 0.1 / 0.101;
        close(normalised(Normalisation::Std), [0.6 - 0.1 * scale, 0.6 + 0.1 * scale, 1.0]);
        close(normalised(Normalisation::MinMax), [0.5, 0.5 + 0.2 * 0.2 / 0.201, 1.0]);
    }

    #[test]
    fn an_empty_mask_leaves_the_texture_alone() {
        let mut texture = array![[[0.2, 0.4]]];
        let zero = Array3::zeros((1, 1, 2));
        normalise(Normalisation::MinMax, texture.view_mut(), zero.view(), zero.view());
        assert_eq!(texture, array![[[0.2, 0.4]]]);
    }
}
