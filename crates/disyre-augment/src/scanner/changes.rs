//! The changes of a patch that other scanners make, one function each.

use disyre_core::ndarray::{Array3, ArrayViewMut4, Axis, Zip};

use crate::background::Background;
use crate::smooth::{Continuation, convolve, gaussian};
use crate::waves::Wave;

/// Maps intensities by the broken line through 0 and the knots, at even distances up to 1.
pub(super) fn change_contrast(mut patch: ArrayViewMut4<'_, f32>, knots: &[f64]) {
    let knots: Vec<f32> = [0.0].iter().chain(knots).map(|&knot| knot as f32).collect();
    let Some(last) = knots.len().checked_sub(2) else { return };
    let intervals = (last + 1) as f32;
    patch.mapv_inplace(|value| {
        let place = value.clamp(0.0, 1.0) * intervals;
        let below = (place as usize).min(last);
        knots[below] + (place - below as f32) * (knots[below + 1] - knots[below])
    });
}

/// Multiplies by the exponential of a sum of waves.
pub(super) fn multiply_by_field(
    mut patch: ArrayViewMut4<'_, f32>,
    waves: &[Wave],
    spacing_mm: [f64; 3],
) {
    let (_, z, y, x) = patch.dim();
    let mut field = Array3::zeros((z, y, x));
    for wave in waves {
        add_wave(&mut field, wave, spacing_mm);
    }
    field.mapv_inplace(f32::exp);
    for channel in patch.outer_iter_mut() {
        Zip::from(channel).and(&field).for_each(|value, gain| *value *= gain);
    }
}

/// Adds a wave, its origin in the middle of the field: `sin(a + b) = sin a cos b + cos a sin b` with a of the row and b of
/// the column, so that no voxel needs a sine.
fn add_wave(field: &mut Array3<f32>, wave: &Wave, spacing_mm: [f64; 3]) {
    let extents: [usize; 3] = field.dim().into();
    let phase = |axis: usize, index: usize| {
        let from_middle = index as f64 - (extents[axis] as f64 - 1.0) / 2.0;
        wave.frequency[axis] * from_middle * spacing_mm[axis]
    };
    let sin_cos = |phase: f64| [phase.sin() as f32, phase.cos() as f32];
    let columns: Vec<[f32; 2]> = (0..extents[2]).map(|x| sin_cos(phase(2, x))).collect();
    let amplitude = wave.amplitude[0] as f32;
    Zip::indexed(field.lanes_mut(Axis(2))).for_each(|(z, y), mut row| {
        let [sin, cos] = sin_cos(wave.phase + phase(0, z) + phase(1, y)).map(|v| amplitude * v);
        row.iter_mut().zip(&columns).for_each(|(sum, [sin_x, cos_x])| {
            *sum += sin * cos_x + cos * sin_x;
        });
    });
}

/// The Gaussian mean over the foreground around every voxel of it; `sigma` is in voxels `(z, y, x)`.
pub(super) fn blur(mut patch: ArrayViewMut4<'_, f32>, background: &Background, sigma: [f64; 3]) {
    let kernels = sigma.map(gaussian);
    let kernels = kernels.each_ref().map(Vec::as_slice);
    let mut weight = background.0.mapv(|background| if background { 0.0 } else { 1.0f32 });
    convolve(weight.view_mut(), kernels, Continuation::Reflect);
    for mut channel in patch.outer_iter_mut() {
        convolve(channel.view_mut(), kernels, Continuation::Reflect);
        Zip::from(channel).and(&weight).for_each(|value, weight| *value /= weight.max(1e-6));
    }
}
