//! The gradient by the weights: outer products of panels, chunk by chunk, merged in order.

use std::ops::Range;

use rayon::prelude::*;

use super::apply::ensure_len;
use super::chunk::Chunk;
use super::lattice::{Kind, Side, Tap};
use super::panel;
use super::product::{BLOCK, Outer, VECTORS};
use super::source::{Part, Source};
use crate::isa::Work;
use crate::lanes::Lanes;
use crate::{Buffer, Compute, Pool};

/// Runs of chunks that are added up on their own at most: fixed, since the order of a sum decides its last bits.
const MOST_RUNS: usize = 16;
/// Pieces of work for each thread that there should be at least; results do not depend on it.
const TASKS_A_THREAD: usize = 2;
/// Words that the sums of all pieces may have together, unless there is one piece of images only.
const MOST_SUMS: usize = 2 << 20;
/// Channels of the result that one piece of work has a multiple of.
const COLUMNS: usize = 32;
/// Positions of `f32` that stay in the first-level cache.
const POSITIONS: usize = 192;

/// The gradient of one convolution by its weights.
pub(crate) struct ByWeight<'a> {
    pub(crate) compute: &'a Compute,
    pub(crate) pool: &'a Pool,
    pub(crate) kind: Kind,
    pub(crate) images: usize,
    pub(crate) input: Side,
    pub(crate) output: Side,
    pub(crate) source: Source<'a>,
    /// The gradient by the result.
    pub(crate) gradient: &'a [f32],
}

/// One piece of work: some chunks of images and some channels of the result.
struct Task<'a> {
    of: &'a ByWeight<'a>,
    taps: &'a [Tap],
    chunks: &'a [Chunk],
    columns: Range<usize>,
    scratch: &'a mut Scratch,
}

/// Memory of one thread.
struct Scratch {
    input: Buffer,
    gradient: Buffer,
    input_pairs: Buffer,
    gradient_pairs: Buffer,
}

/// What a task found: (matrix, input, column) with rows and columns padded, and the sums of the gradient over the
/// pixels of each image.
struct Found {
    columns: Range<usize>,
    sums: Buffer,
    by_image: Vec<(usize, Vec<f64>)>,
}

impl ByWeight<'_> {
    /// Writes the gradient (kernel, input, output); returns the sums of `gradient` over pixels, `(n, output)`.
    pub(crate) fn run(&self, out: &mut [f32]) -> Vec<f64> {
        let words = self.input.grids() * self.input.channels.next_multiple_of(BLOCK)
            + self.output.grids() * self.output.channels.next_multiple_of(BLOCK);
        let chunks = Chunk::cut(self.images, self.output.coarse(), words);
        let taps = self.kind.taps();
        let matrix = padded(self.input.channels) * padded(self.output.channels);
        let most = (MOST_SUMS / (taps.len() * matrix)).clamp(1, MOST_RUNS);
        let runs = chunks.len().min(most);
        let blocks = self.output.channels.div_ceil(COLUMNS);
        let least = TASKS_A_THREAD * rayon::current_num_threads();
        let groups = least.div_ceil(runs).min(blocks);
        let found: Vec<Found> = (0..groups * runs)
            .into_par_iter()
            .map_init(
                || Scratch::new(self.pool),
                |scratch, index| {
                    let (group, run) = (index / runs, index % runs);
                    let chunks =
                        &chunks[run * chunks.len() / runs..(run + 1) * chunks.len() / runs];
                    let columns = group * blocks / groups * COLUMNS
                        ..((group + 1) * blocks / groups * COLUMNS).min(self.output.channels);
                    let taps = &taps;
                    self.compute.isa().run(Task { of: self, taps, chunks, columns, scratch })
                },
            )
            .collect();
        self.merge(&found, out);
        self.sums_by_image(&found)
    }

    /// Adds up the pieces, in order, for each weight over the matrices that it is part of.
    fn merge(&self, found: &[Found], out: &mut [f32]) {
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        let mut matrices = vec![Vec::new(); self.kind.weights()];
        for (matrix, sum) in self.kind.sums().into_iter().enumerate() {
            sum.into_iter().for_each(|(weight, _)| matrices[weight].push(matrix));
        }
        let height = padded(inputs);
        out.par_chunks_mut(outputs).enumerate().for_each(|(index, out)| {
            out.fill(0.0);
            for found in found {
                let width = padded(found.columns.len());
                for matrix in &matrices[index / inputs] {
                    let row = (matrix * height + index % inputs) * width;
                    let sums = &found.sums[row..][..found.columns.len()];
                    let out = &mut out[found.columns.clone()];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                }
            }
        });
    }

    fn sums_by_image(&self, found: &[Found]) -> Vec<f64> {
        let mut sums = vec![0.0; self.images * self.output.channels];
        for found in found {
            for (image, of_image) in &found.by_image {
                let place = &mut sums[image * self.output.channels..][found.columns.clone()];
                place.iter_mut().zip(of_image).for_each(|(sum, more)| *sum += more);
            }
        }
        sums
    }
}

/// Channels with room for whole blocks of products.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(COLUMNS)
}

impl Scratch {
    fn new(pool: &Pool) -> Self {
        let empty = || pool.take(0);
        Self { input: empty(), gradient: empty(), input_pairs: empty(), gradient_pairs: empty() }
    }
}

impl Work for Task<'_> {
    type Output = Found;

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) -> Found {
        let (height, width) = (padded(self.of.input.channels), padded(self.columns.len()));
        let mut sums = self.of.pool.zeros(self.taps.len() * height * width);
        let mut by_image = Vec::new();
        for chunk in self.chunks {
            self.fill::<L>(chunk);
            self.sum_images(chunk, &mut by_image);
            if L::PAIRS {
                self.pair_positions(chunk);
                self.multiply_pairs(lanes, chunk, &mut sums);
            } else {
                self.multiply(lanes, chunk, &mut sums);
            }
        }
        Found { columns: self.columns, sums, by_image }
    }
}

impl Task<'_> {
    /// The side of the gradient with the columns of this task alone, in whole pairs of blocks.
    #[inline(always)]
    fn gradient_side(&self) -> Side {
        Side { channels: padded(self.columns.len()), ..self.of.output }
    }

    #[inline(always)]
    fn fill<L: Lanes>(&mut self, chunk: &Chunk) {
        let ByWeight { pool, input, source, gradient, output, .. } = self.of;
        let side = self.gradient_side();
        let scratch = &mut *self.scratch;
        ensure_len(&mut scratch.input, pool, panel::panel_len(input, chunk));
        panel::fill::<L>(source, input, chunk, true, &mut scratch.input);
        ensure_len(&mut scratch.gradient, pool, panel::panel_len(&side, chunk));
        let part = Part {
            values: gradient,
            stride: output.channels,
            first: self.columns.start,
            channels: self.columns.len(),
        };
        let source = Source { parts: &[part], transform: None };
        panel::fill::<L>(&source, &side, chunk, false, &mut scratch.gradient);
    }

    /// Adds up the gradient over the pixels of each image of a chunk.
    #[inline(always)]
    fn sum_images(&self, chunk: &Chunk, by_image: &mut Vec<(usize, Vec<f64>)>) {
        let plane = chunk.panel_positions() * BLOCK;
        for (start, row) in chunk.result_rows() {
            if by_image.last().is_none_or(|(image, _)| *image != row.image) {
                by_image.push((row.image, vec![0.0; self.columns.len()]));
            }
            let Some((_, sums)) = by_image.last_mut() else { continue };
            let blocks = padded(self.columns.len()) / BLOCK;
            for (index, values) in self.scratch.gradient.chunks_exact(plane).enumerate() {
                let mut of_row = [0.0f32; BLOCK];
                let values = &values[(chunk.first() + start) * BLOCK..][..chunk.width * BLOCK];
                for values in values.chunks_exact(BLOCK) {
                    (0..BLOCK).for_each(|i| of_row[i] += values[i]);
                }
                let sums = sums.iter_mut().skip(index % blocks * BLOCK);
                sums.zip(of_row).for_each(|(sum, more)| *sum += f64::from(more));
            }
        }
    }

    #[inline(always)]
    fn pair_positions(&mut self, chunk: &Chunk) {
        let ByWeight { pool, input, compute, .. } = self.of;
        let (side, parts) = (self.gradient_side(), compute.parts());
        let scratch = &mut *self.scratch;
        let len = panel::position_pairs_len(input, chunk, parts);
        ensure_len(&mut scratch.input_pairs, pool, len);
        panel::position_pairs(input, chunk, &scratch.input, &mut scratch.input_pairs);
        let len = panel::result_pairs_len(&side, chunk, parts);
        ensure_len(&mut scratch.gradient_pairs, pool, len);
        panel::result_position_pairs(&side, chunk, &scratch.gradient, &mut scratch.gradient_pairs);
    }

    #[inline(always)]
    fn multiply<L: Lanes>(&self, lanes: L, chunk: &Chunk, sums: &mut [f32]) {
        let (inputs, side) = (&self.of.input, self.gradient_side());
        let plane = chunk.panel_positions() * BLOCK;
        let (height, width) = (padded(inputs.channels), side.channels);
        let (blocks, gradient_blocks) = (inputs.channels.div_ceil(BLOCK), width / BLOCK);
        let (x, g) = (&self.scratch.input, &self.scratch.gradient);
        let columns = VECTORS * L::COUNT;
        for position in (0..chunk.positions()).step_by(POSITIONS) {
            let count = POSITIONS.min(chunk.positions() - position);
            for column in (0..self.columns.len()).step_by(columns) {
                for tap in self.taps {
                    let g_plane = tap.to * gradient_blocks + column / BLOCK;
                    let g =
                        &g[g_plane * plane + (chunk.first() + position) * BLOCK + column % BLOCK..];
                    for channel in (0..inputs.channels).step_by(L::OUTER_ROWS) {
                        let x_plane = tap.from * blocks + channel / BLOCK;
                        let x_position = chunk.shifted(tap.dy, tap.dx) + position;
                        let x = &x[x_plane * plane + x_position * BLOCK + channel % BLOCK..];
                        let sums = &mut sums[(tap.matrix * height + channel) * width + column..];
                        let outer = Outer {
                            x: x.as_ptr(),
                            x_row: 1,
                            g: g.as_ptr(),
                            g_vector: if L::COUNT == BLOCK { plane } else { L::COUNT },
                            count,
                            sums: sums.as_mut_ptr(),
                            sums_row: width,
                            narrow: self.columns.len() - column <= L::COUNT,
                        };
                        let g_reach = (count - 1) * BLOCK + outer.g_vector + L::COUNT;
                        assert!(
                            x.len() >= (count - 1) * BLOCK + L::OUTER_ROWS && g.len() >= g_reach
                        );
                        assert!(sums.len() >= (L::OUTER_ROWS - 1) * width + columns);
                        // SAFETY: as just asserted, `count` positions of `OUTER_ROWS` channels lie within the input's
                        // panel (a block has 16, which `OUTER_ROWS` divides), as many of two vectors within the
                        // gradient's, whose blocks come in pairs, and all rows within the sums.
                        unsafe { lanes.outer(&outer) }
                    }
                }
            }
        }
    }

    /// The same over pairs.
    #[inline(always)]
    fn multiply_pairs<L: Lanes>(&self, lanes: L, chunk: &Chunk, sums: &mut [f32]) {
        let (inputs, side) = (&self.of.input, self.gradient_side());
        let (height, width) = (padded(inputs.channels), side.channels);
        let (row, count) = (panel::paired_row(chunk), panel::result_pairs(chunk));
        let plane = count * BLOCK;
        let (x, g) = (&self.scratch.input_pairs, &self.scratch.gradient_pairs);
        for column in (0..self.columns.len()).step_by(VECTORS * BLOCK) {
            for tap in self.taps {
                for channel in (0..inputs.channels).step_by(L::OUTER_ROWS) {
                    let sums = &mut sums[(tap.matrix * height + channel) * width + column..];
                    for &(x_part, g_part) in self.of.compute.products() {
                        let x_row = (x_part * inputs.grids() + tap.from) * height + channel;
                        let g_block =
                            (g_part * side.grids() + tap.to) * width / BLOCK + column / BLOCK;
                        let (x, g) = (&x[x_row * row..], &g[g_block * plane..]);
                        let position = chunk.shifted(tap.dy, tap.dx);
                        let outer = Outer {
                            // Two bf16 a word, so an odd position starts in the middle of one.
                            x: x.as_ptr().cast::<u16>().wrapping_add(position).cast(),
                            x_row: row,
                            g: g.as_ptr(),
                            g_vector: plane,
                            count,
                            sums: sums.as_mut_ptr(),
                            sums_row: width,
                            narrow: false,
                        };
                        let reach = (L::OUTER_ROWS - 1) * row + position.div_ceil(2) + count;
                        assert!(x.len() >= reach && g.len() >= 2 * plane);
                        assert!(sums.len() >= (L::OUTER_ROWS - 1) * width + VECTORS * BLOCK);
                        // SAFETY: as just asserted, `count` pairs of `OUTER_ROWS` channels lie within the input's
                        // pairs from `position` on, two blocks within the gradient's, and all rows within the sums;
                        // `count` is a multiple of 16.
                        unsafe { lanes.outer(&outer) }
                    }
                }
            }
        }
    }
}
