//! The convolution and its gradients on the CPU: matrices of columns, and matrix products.
//!
//! Work is cut into pieces that depend on the shapes alone, so that the result has the same bits
//! for any number of threads; an item's result does not depend on its batch either.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use super::columns;
use super::geometry::{Geometry, ranges};
use crate::matmul::multiply;
use crate::sum::sum;

/// Output channels of one piece where an image is a single block of rows.
const OUTPUT_BLOCK: usize = 128;
/// Input channels of one piece of the gradient by weight.
const WEIGHT_CHANNEL_BLOCK: usize = 32;
/// Pieces of the gradient by weight, about.
const WEIGHT_PIECES: usize = 16;
/// Input channels of one piece of the gradient by data, stride 2.
const DATA_CHANNEL_BLOCK: usize = 16;

/// The convolution of `x` (n, c, h, w) with `weight` (o, c, k, k): (n, o, oh, ow).
pub(super) fn forward(
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let mut y = vec![0.0; geometry.items * geometry.outputs * geometry.out_pixels()];
    let weight = matrix(weight, geometry.outputs, geometry.depth());
    let images: Vec<_> = x.chunks_exact(geometry.channels * geometry.in_pixels()).collect();
    forward_pieces(geometry, &mut y).into_par_iter().for_each_init(Vec::new, |scratch, piece| {
        let Piece { item, rows, outputs, mut out } = piece;
        if let Some(bias) = bias {
            for (mut row, &bias) in out.rows_mut().into_iter().zip(&bias[outputs.clone()]) {
                row.fill(bias);
            }
        }
        let columns = gathered(geometry, images[item], &rows, scratch);
        multiply(out, weight.slice(s![outputs, ..]), columns, bias.is_some());
    });
    y
}

/// A block of output rows and output channels of one item.
struct Piece<'a> {
    item: usize,
    rows: Range<usize>,
    outputs: Range<usize>,
    out: ArrayViewMut2<'a, f32>, // (outputs, rows·ow)
}

/// Cuts the result into pieces.
fn forward_pieces<'a>(geometry: &Geometry, y: &'a mut [f32]) -> Vec<Piece<'a>> {
    let rows_per_block = geometry.rows_per_block(geometry.channels);
    let single = rows_per_block == geometry.out_height();
    let output_block = if single { OUTPUT_BLOCK } else { geometry.outputs };
    let mut pieces = Vec::new();
    for (item, y) in y.chunks_exact_mut(geometry.outputs * geometry.out_pixels()).enumerate() {
        let mut rest = matrix_mut(y, geometry.outputs, geometry.out_pixels());
        for rows in geometry.row_blocks(rows_per_block) {
            let (mut block, tail) = rest.split_at(Axis(1), rows.len() * geometry.out_width());
            rest = tail;
            for outputs in ranges(geometry.outputs, output_block) {
                let (out, tail) = block.split_at(Axis(0), outputs.len());
                block = tail;
                pieces.push(Piece { item, rows: rows.clone(), outputs, out });
            }
        }
    }
    pieces
}

/// The gradient by the input, from the gradient `g` (n, o, oh, ow) by the result.
pub(super) fn gradient_by_data(geometry: &Geometry, g: &[f32], weight: &[f32]) -> Vec<f32> {
    if geometry.stride == 1 {
        return forward(&geometry.transposed(), g, &transposed_weight(geometry, weight), None);
    }
    let weight = matrix(weight, geometry.outputs, geometry.depth());
    let mut gradient = vec![0.0; geometry.items * geometry.channels * geometry.in_pixels()];
    let pieces: Vec<_> = gradient
        .chunks_exact_mut(geometry.channels * geometry.in_pixels())
        .zip(g.chunks_exact(geometry.outputs * geometry.out_pixels()))
        .flat_map(|(image, g)| {
            image
                .chunks_mut(DATA_CHANNEL_BLOCK * geometry.in_pixels())
                .zip(ranges(geometry.channels, DATA_CHANNEL_BLOCK))
                .map(move |(image, channels)| (image, channels, g))
        })
        .collect();
    pieces.into_par_iter().for_each_init(Vec::new, |scratch, (image, channels, g)| {
        let taps = channels.start * geometry.taps()..channels.end * geometry.taps();
        scatter_product(geometry, weight.slice(s![.., taps]), g, image, scratch);
    });
    gradient
}

/// Adds `weightᵀ · g`, brought from columns to pixels, to the channels of one image.
fn scatter_product(
    geometry: &Geometry,
    weight: ArrayView2<'_, f32>, // (o, channels·k·k)
    g: &[f32],                   // (o, oh·ow)
    image: &mut [f32],           // (channels, h, w)
    scratch: &mut Vec<f32>,
) {
    let g = matrix(g, geometry.outputs, geometry.out_pixels());
    let channels = image.len() / geometry.in_pixels();
    for rows in geometry.row_blocks(geometry.rows_per_block(channels)) {
        let pixels = rows.start * geometry.out_width()..rows.end * geometry.out_width();
        scratch.resize(weight.ncols() * pixels.len(), 0.0);
        let out = matrix_mut(scratch, weight.ncols(), pixels.len());
        multiply(out, weight.t(), g.slice(s![.., pixels]), false);
        columns::scatter(geometry, scratch, &rows, image);
    }
}

/// `weight` (o, c, k, k) as the weight (c, o, k, k) of the transposed convolution: the kernels
/// turned by half a turn.
fn transposed_weight(geometry: &Geometry, weight: &[f32]) -> Vec<f32> {
    let mut transposed = Vec::with_capacity(weight.len());
    for channel in 0..geometry.channels {
        for output in 0..geometry.outputs {
            let start = (output * geometry.channels + channel) * geometry.taps();
            transposed.extend(weight[start..start + geometry.taps()].iter().rev());
        }
    }
    transposed
}

/// The gradient by the weight, from the gradient `g` (n, o, oh, ow) by the result.
pub(super) fn gradient_by_weight(geometry: &Geometry, x: &[f32], g: &[f32]) -> Vec<f32> {
    let blocks = geometry.channels.div_ceil(WEIGHT_CHANNEL_BLOCK);
    let rows_per_block = geometry.rows_per_block(WEIGHT_CHANNEL_BLOCK.min(geometry.channels));
    let units: Vec<_> = (0..geometry.items)
        .flat_map(|item| geometry.row_blocks(rows_per_block).map(move |rows| (item, rows)))
        .collect();
    let runs: Vec<_> = units.chunks(units.len().div_ceil(WEIGHT_PIECES.div_ceil(blocks))).collect();
    let pieces: Vec<_> = ranges(geometry.channels, WEIGHT_CHANNEL_BLOCK)
        .flat_map(|channels| runs.iter().map(move |&run| (channels.clone(), run)))
        .collect();
    let sums: Vec<_> = pieces
        .into_par_iter()
        .map_init(Vec::new, |scratch, (channels, run)| {
            let sum = weight_sum(geometry, x, g, &channels, run, scratch);
            (channels, sum)
        })
        .collect();
    let mut gradient = vec![0.0; geometry.outputs * geometry.depth()];
    let mut merged = matrix_mut(&mut gradient, geometry.outputs, geometry.depth());
    for (channels, sum) in sums {
        let taps = channels.start * geometry.taps()..channels.end * geometry.taps();
        let sum = matrix(&sum, geometry.outputs, taps.len());
        merged.slice_mut(s![.., taps]).zip_mut_with(&sum, |merged, sum| *merged += sum);
    }
    gradient
}

/// The share of some input channels and some blocks of rows in the gradient by the weight:
/// (o, channels·k·k).
fn weight_sum(
    geometry: &Geometry,
    x: &[f32],
    g: &[f32],
    channels: &Range<usize>,
    run: &[(usize, Range<usize>)],
    scratch: &mut Vec<f32>,
) -> Vec<f32> {
    let depth = channels.len() * geometry.taps();
    let mut sum = vec![0.0; geometry.outputs * depth];
    let g_len = geometry.outputs * geometry.out_pixels();
    for (item, rows) in run {
        let first = (item * geometry.channels + channels.start) * geometry.in_pixels();
        let image = &x[first..first + channels.len() * geometry.in_pixels()];
        let columns = gathered(geometry, image, rows, scratch);
        let g = matrix(&g[item * g_len..][..g_len], geometry.outputs, geometry.out_pixels());
        let pixels = rows.start * geometry.out_width()..rows.end * geometry.out_width();
        let sum = matrix_mut(&mut sum, geometry.outputs, depth);
        multiply(sum, g.slice(s![.., pixels]), columns.t(), true);
    }
    sum
}

/// The gradient by the bias: the sum of `g` (n, o, oh, ow) over items and pixels.
pub(super) fn gradient_by_bias(geometry: &Geometry, g: &[f32]) -> Vec<f32> {
    let sums: Vec<f64> = g.par_chunks_exact(geometry.out_pixels()).map(sum).collect();
    let mut gradient = vec![0.0; geometry.outputs];
    for sums in sums.chunks_exact(geometry.outputs) {
        gradient.iter_mut().zip(sums).for_each(|(gradient, sum)| *gradient += sum);
    }
    gradient.into_iter().map(|value: f64| value as f32).collect()
}

/// The columns (channels·k·k, rows·ow) of the channels in `image`; for a 1×1 kernel of stride 1
/// these are the pixels themselves.
fn gathered<'a>(
    geometry: &Geometry,
    image: &'a [f32],
    rows: &Range<usize>,
    scratch: &'a mut Vec<f32>,
) -> ArrayView2<'a, f32> {
    let channels = image.len() / geometry.in_pixels();
    let pixels = rows.start * geometry.out_width()..rows.end * geometry.out_width();
    if geometry.is_pointwise() {
        let image = matrix(image, channels, geometry.in_pixels());
        return image.slice_move(s![.., pixels]);
    }
    let depth = channels * geometry.taps();
    scratch.resize(depth * pixels.len(), 0.0);
    columns::gather(geometry, image, rows, scratch);
    matrix(scratch, depth, pixels.len())
}

fn matrix(values: &[f32], rows: usize, columns: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, columns), values).expect("the numbers fill the matrix")
}

fn matrix_mut(values: &mut [f32], rows: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, columns), values).expect("the numbers fill the matrix")
}
