//! [`Acquisition`]: what a scanner does to a synthetic head.

use disyre_core::Key;
use disyre_core::ndarray::{ArrayViewMut3, Axis, Slice};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::smooth::{Continuation, convolve, gaussian};

/// Resolution, noise, field of view and the final scaling of a synthetic slab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acquisition {
    /// Thickness of thick slices.
    pub thick_mm: Option<f64>,
    /// Axis of the slab `(slice, row, column)` that the thickness lies along.
    pub thick_axis: usize,
    /// Side (first row, last row, first column, last column) and share of the slab beyond the field of view.
    pub cut: Option<(usize, f64)>,
    /// Standard deviation of the blur in the slice.
    pub blur_mm: f64,
    /// Exponent of the brightness.
    pub gamma: f64,
    /// Standard deviation of the noise, of the brightest.
    pub noise: f64,
    /// Whether the background is exactly 0.
    pub clean_background: bool,
    /// Where the 99.5th percentile of positive values lands; what is above 1 is clipped.
    pub top: f64,
    /// Of the noise.
    pub source: Key,
}

impl Acquisition {
    /// Changes the image of a slab `(slice, row, column)`.
    pub(crate) fn apply(&self, mut image: ArrayViewMut3<'_, f32>, spacing_mm: f64) {
        if let Some(thick) = self.thick_mm {
            thicken(image.view_mut(), self.thick_axis, thick / spacing_mm);
        }
        let blur = gaussian(self.blur_mm / spacing_mm / 2.0);
        convolve(image.view_mut(), [&[1.0], &blur, &blur], Continuation::Reflect);
        let top = percentile(&image);
        if top <= 0.0 {
            return;
        }
        let mut rng = self.source.rng();
        let noise = self.noise as f32;
        for value in &mut image {
            let clean = (*value / top).max(0.0).powf(self.gamma as f32);
            if self.clean_background && clean < 0.01 {
                *value = 0.0;
                continue;
            }
            let [a, b]: [f32; 2] = std::array::from_fn(|_| StandardNormal.sample(&mut rng));
            *value = (clean + noise * a).hypot(noise * b);
        }
    }

    /// Scales the image so that its brightest are near 1.
    pub(crate) fn scale(&self, mut image: ArrayViewMut3<'_, f32>) {
        let top = percentile(&image);
        if top > 0.0 {
            let factor = self.top as f32 / top;
            image.mapv_inplace(|value| (value * factor).clamp(0.0, 1.0));
        }
    }

    /// Sets what lies beyond the field of view to 0.
    pub(crate) fn cut(&self, image: &mut ArrayViewMut3<'_, f32>) {
        let Some((side, share)) = self.cut else { return };
        let axis = Axis(1 + side / 2);
        let length = image.len_of(axis);
        let beyond = (share * length as f64) as usize;
        let slice = if side % 2 == 0 { 0..beyond } else { length - beyond..length };
        image.slice_axis_mut(axis, Slice::from(slice)).fill(0.0);
    }
}

/// Means over boxes of `thickness` pixels, linear between their middles.
fn thicken(mut image: ArrayViewMut3<'_, f32>, axis: usize, thickness: f64) {
    for mut lane in image.lanes_mut(Axis(axis)) {
        let before = lane.to_vec();
        let boxes = ((before.len() as f64 / thickness).ceil() as usize).max(1);
        let mean = |index: usize| {
            let first = ((index as f64 * thickness) as usize).min(before.len() - 1);
            let end = (((index + 1) as f64 * thickness) as usize).clamp(first + 1, before.len());
            before[first..end].iter().sum::<f32>() / (end - first) as f32
        };
        let means: Vec<f32> = (0..boxes).map(mean).collect();
        for (at, value) in lane.iter_mut().enumerate() {
            let place = ((at as f64 + 0.5) / thickness - 0.5).clamp(0.0, (boxes - 1) as f64);
            let low = place as usize;
            let share = (place - low as f64) as f32;
            *value = means[low] * (1.0 - share) + means[(low + 1).min(boxes - 1)] * share;
        }
    }
}

/// The 99.5th percentile of the values above 0; 0 if there are none.
fn percentile(image: &ArrayViewMut3<'_, f32>) -> f32 {
    let mut positive: Vec<f32> = image.iter().copied().filter(|&value| value > 0.0).collect();
    if positive.is_empty() {
        return 0.0;
    }
    let rank = ((positive.len() - 1) as f64 * 0.995) as usize;
    *positive.select_nth_unstable_by(rank, f32::total_cmp).1
}
