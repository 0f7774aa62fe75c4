//! Separable Gaussian blur as SciPy's, for soft masks, the tissue bias and the change of sharpness.

use std::ops::Range;

use disyre_core::ndarray::ArrayViewMut3;

use crate::{check, error::DagError, region::Region, scratch::ScratchBuffer};

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

/// Radius of the kernel in voxels.
pub(crate) fn radius(sigma: f64) -> usize {
    (TRUNCATE * sigma + 0.5) as usize
}

/// [`gaussian_blur`] for sigmas already checked.
pub(crate) fn blur(mut data: ArrayViewMut3<'_, f32>, sigma: [f64; 3]) {
    let extents: [usize; 3] = data.dim().into();
    if let Some(field) = data.as_slice_mut() {
        return blur_field(field, extents, sigma);
    }
    let mut field = ScratchBuffer::zeros(data.len());
    field.iter_mut().zip(&data).for_each(|(value, from)| *value = *from);
    blur_field(&mut field, extents, sigma);
    data.iter_mut().zip(field.iter()).for_each(|(value, blurred)| *value = *blurred);
}

/// A blur of values in order of memory, `(z, y, x)`.
///
/// Only the box around the values that are not 0 is looked at; it grows along each axis by the kernel's radius.
fn blur_field(field: &mut [f32], extents: [usize; 3], sigma: [f64; 3]) {
    let Some(mut support) = support(field, extents) else { return };
    for axis in 0..3 {
        if extents[axis] > 1 && radius(sigma[axis]) > 0 {
            let kernel = half_kernel(sigma[axis]);
            let reach = kernel.len() - 1;
            let from = support.start[axis]..support.end[axis];
            support.start[axis] = from.start.saturating_sub(reach);
            support.end[axis] = (from.end + reach).min(extents[axis]);
            match axis {
                0 => blur_planes(field, extents, &support, &kernel),
                1 => blur_rows(field, extents, &support, &kernel),
                _ => blur_columns(field, extents, &support, &kernel),
            }
        }
    }
}

/// The box around the values that are not 0.
fn support(field: &[f32], [depth, height, width]: [usize; 3]) -> Option<Region> {
    let mut found = Region { start: [depth, height, width], end: [0; 3] };
    for (index, row) in field.chunks_exact(width.max(1)).enumerate() {
        let Some(first) = row.iter().position(|&value| value != 0.0) else { continue };
        let last = row.iter().rposition(|&value| value != 0.0).unwrap_or(first);
        let voxel = [index / height, index % height];
        for (axis, (low, high)) in
            [(voxel[0], voxel[0]), (voxel[1], voxel[1]), (first, last)].into_iter().enumerate()
        {
            found.start[axis] = found.start[axis].min(low);
            found.end[axis] = found.end[axis].max(high + 1);
        }
    }
    (found.end[0] > 0).then_some(found)
}

/// Along z: the planes of the box, each as wide as the box in y and whole in x.
fn blur_planes(
    field: &mut [f32],
    [depth, height, width]: [usize; 3],
    support: &Region,
    kernel: &[f32],
) {
    for y in support.start[1]..support.end[1] {
        let line = StridedAxis { first: y * width, stride: height * width, length: depth };
        blur_line(
            field,
            line,
            support.start[0]..support.end[0],
            support.start[2]..support.end[2],
            kernel,
        );
    }
}

/// Along y: slice by slice.
fn blur_rows(field: &mut [f32], [_, height, width]: [usize; 3], support: &Region, kernel: &[f32]) {
    for z in support.start[0]..support.end[0] {
        let line = StridedAxis { first: z * height * width, stride: width, length: height };
        blur_line(
            field,
            line,
            support.start[1]..support.end[1],
            support.start[2]..support.end[2],
            kernel,
        );
    }
}

/// The runs of voxels that a blur combines.
#[derive(Clone, Copy)]
struct StridedAxis {
    first: usize,
    stride: usize,
    length: usize,
}

/// Blurs across runs of neighbouring voxels: run `p` becomes a weighted sum of the runs around it.
fn blur_line(
    field: &mut [f32],
    line: StridedAxis,
    outputs: Range<usize>,
    columns: Range<usize>,
    kernel: &[f32],
) {
    let (radius, width) = (kernel.len() - 1, columns.len());
    let at = |position: usize| line.first + position * line.stride + columns.start;
    let runs = outputs.len() + 2 * radius;
    let mut blurred = ScratchBuffer::zeros((outputs.len() * width).next_multiple_of(LANES));
    let mut padded = ScratchBuffer::zeros(blurred.len() + 2 * radius * width);
    for (run, to) in padded.chunks_exact_mut(width).take(runs).enumerate() {
        let position = (outputs.start + run) as isize - radius as isize;
        let from = at(reflect(position, line.length));
        to.copy_from_slice(&field[from..from + width]);
    }
    convolve(&mut blurred, &padded, width, kernel);
    for (position, run) in outputs.zip(blurred.chunks_exact(width)) {
        field[at(position)..at(position) + width].copy_from_slice(run);
    }
}

/// Along x: row by row.
fn blur_columns(
    field: &mut [f32],
    [_, height, width]: [usize; 3],
    support: &Region,
    kernel: &[f32],
) {
    let (radius, outputs) = (kernel.len() - 1, support.start[2]..support.end[2]);
    let mut blurred = ScratchBuffer::zeros(outputs.len().next_multiple_of(LANES));
    let mut padded = ScratchBuffer::zeros(blurred.len() + 2 * radius);
    let sources: Vec<usize> = (0..outputs.len() + 2 * radius)
        .map(|index| reflect((outputs.start + index) as isize - radius as isize, width))
        .collect();
    for z in support.start[0]..support.end[0] {
        for y in support.start[1]..support.end[1] {
            let row = &mut field[(z * height + y) * width..][..width];
            padded.iter_mut().zip(&sources).for_each(|(to, &from)| *to = row[from]);
            convolve(&mut blurred, &padded, 1, kernel);
            row[outputs.clone()].copy_from_slice(&blurred[..outputs.len()]);
        }
    }
}

/// Voxels that are summed before the next are: they stay in the nearest cache.
const LANES: usize = 64;

/// `out[i] = kernel[0] · v[i] + Σ kernel[d] · (v[i − d] + v[i + d])`, where neighbours lie `stride` apart and `v` is
/// `padded` from a radius on; the length of `out` is a multiple of [`LANES`].
fn convolve(out: &mut [f32], padded: &[f32], stride: usize, kernel: &[f32]) {
    let middle = (kernel.len() - 1) * stride;
    for (index, piece) in out.chunks_exact_mut(LANES).enumerate() {
        let at = middle + index * LANES;
        scale(piece, &padded[at..][..LANES], kernel[0]);
        for (distance, &weight) in kernel.iter().enumerate().skip(1) {
            let (before, after) = (at - distance * stride, at + distance * stride);
            add_pair(piece, &padded[before..][..LANES], &padded[after..][..LANES], weight);
        }
    }
}

// Loops of their own: only alone does the compiler turn them into plain vector code.
#[inline(never)]
fn scale(out: &mut [f32], values: &[f32], weight: f32) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out = weight * value);
}

#[inline(never)]
fn add_pair(out: &mut [f32], before: &[f32], after: &[f32], weight: f32) {
    for ((out, a), b) in out.iter_mut().zip(before).zip(after) {
        *out += weight * (a + b);
    }
}

/// The weights at distance 0, 1, …, radius; the whole symmetric kernel adds up to 1.
fn half_kernel(sigma: f64) -> Vec<f32> {
    let weight = |distance: usize| (-0.5 * (distance as f64 / sigma).powi(2)).exp();
    let tail: f64 = (1..=radius(sigma)).map(weight).sum();
    (0..=radius(sigma)).map(|distance| (weight(distance) / (1.0 + 2.0 * tail)) as f32).collect()
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
