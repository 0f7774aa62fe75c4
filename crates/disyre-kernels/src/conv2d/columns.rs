//! Between images and matrices of columns: row (c, u, v), column (i, j) holds
//! `x[c, s·i+u−p, s·j+v−p]`, zero outside the image. A convolution is a product with this matrix.

use std::ops::Range;

use super::geometry::Geometry;

/// Writes the columns of the output rows `rows`; `image` holds the channels wanted, (c, h, w).
pub(super) fn gather(
    geometry: &Geometry,
    image: &[f32],
    rows: &Range<usize>,
    columns: &mut [f32], // (c·k·k, rows·ow)
) {
    let pixels = rows.len() * geometry.out_width();
    let channels = image.chunks_exact(geometry.in_pixels());
    for (channel, columns) in channels.zip(columns.chunks_exact_mut(geometry.taps() * pixels)) {
        for (tap, row) in columns.chunks_exact_mut(pixels).enumerate() {
            let tap = (tap / geometry.kernel, tap % geometry.kernel);
            match geometry.stride {
                1 => gather_shifted(geometry, channel, rows, tap, row),
                _ => gather_strided(geometry, channel, rows, tap, row),
            }
        }
    }
}

/// Stride 1: the row is the image itself, shifted; what wraps around an edge is set to zero.
fn gather_shifted(
    geometry: &Geometry,
    channel: &[f32],
    rows: &Range<usize>,
    (u, v): (usize, usize),
    out: &mut [f32],
) {
    let (width, padding) = (geometry.width, geometry.padding());
    // Output pixel t is pixel t + start + shift − back of the image.
    let (start, back) = (rows.start * width + u * width + v, padding * width + padding);
    let head = back.saturating_sub(start).min(out.len());
    let from = (start + head).saturating_sub(back).min(channel.len());
    let count = (out.len() - head).min(channel.len() - from);
    out[..head].fill(0.0);
    out[head..head + count].copy_from_slice(&channel[from..from + count]);
    out[head + count..].fill(0.0);
    if v < padding {
        out.iter_mut().step_by(width).for_each(|pixel| *pixel = 0.0);
    } else if v > padding {
        out[width - 1..].iter_mut().step_by(width).for_each(|pixel| *pixel = 0.0);
    }
}

/// Any stride: pixel by pixel, row by row.
fn gather_strided(
    geometry: &Geometry,
    channel: &[f32],
    rows: &Range<usize>,
    (u, v): (usize, usize),
    out: &mut [f32],
) {
    let valid = valid_columns(geometry, v);
    for (i, out) in rows.clone().zip(out.chunks_exact_mut(geometry.out_width())) {
        out.fill(0.0);
        if let Some(line) = line(geometry, i, u) {
            let source = channel[line * geometry.width..][..geometry.width]
                .iter()
                .skip(valid.start * geometry.stride + v - geometry.padding())
                .step_by(geometry.stride);
            for (pixel, &value) in out[valid.clone()].iter_mut().zip(source) {
                *pixel = value;
            }
        }
    }
}

/// Adds columns back to the pixels they came from: the transpose of [`gather`].
pub(super) fn scatter(
    geometry: &Geometry,
    columns: &[f32], // (c·k·k, rows·ow)
    rows: &Range<usize>,
    image: &mut [f32],
) {
    let pixels = rows.len() * geometry.out_width();
    let channels = image.chunks_exact_mut(geometry.in_pixels());
    for (channel, columns) in channels.zip(columns.chunks_exact(geometry.taps() * pixels)) {
        for (tap, row) in columns.chunks_exact(pixels).enumerate() {
            scatter_tap(
                geometry,
                row,
                rows,
                (tap / geometry.kernel, tap % geometry.kernel),
                channel,
            );
        }
    }
}

fn scatter_tap(
    geometry: &Geometry,
    columns: &[f32],
    rows: &Range<usize>,
    (u, v): (usize, usize),
    channel: &mut [f32],
) {
    let valid = valid_columns(geometry, v);
    for (i, columns) in rows.clone().zip(columns.chunks_exact(geometry.out_width())) {
        if let Some(line) = line(geometry, i, u) {
            let target = channel[line * geometry.width..][..geometry.width]
                .iter_mut()
                .skip(valid.start * geometry.stride + v - geometry.padding())
                .step_by(geometry.stride);
            for (pixel, &value) in target.zip(&columns[valid.clone()]) {
                *pixel += value;
            }
        }
    }
}

/// The image row under output row `i` and kernel row `u`, if inside the image.
fn line(geometry: &Geometry, i: usize, u: usize) -> Option<usize> {
    (i * geometry.stride + u).checked_sub(geometry.padding()).filter(|&line| line < geometry.height)
}

/// The output columns whose pixel under kernel column `v` is inside the image.
fn valid_columns(geometry: &Geometry, v: usize) -> Range<usize> {
    let (stride, padding) = (geometry.stride, geometry.padding());
    let start = padding.saturating_sub(v).div_ceil(stride);
    let end = (geometry.width + padding).saturating_sub(v).div_ceil(stride);
    start..end.clamp(start, geometry.out_width().max(start))
}
