//! The gradient by the weights: outer products of panels, chunk by chunk, merged in order.

use std::ops::Range;

use rayon::prelude::*;

use super::apply::ensure_len;
use super::chunk::Chunk;
use super::lattice::{ConvKind, Side, Tap};
use super::panel;
use super::product::{BLOCK, Outer, VECTORS};
use super::source::{ConvInput, InputPart};
use super::weights::Way;
use super::winograd::{Place, Tiling};
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
/// Numbers of one piece of work where sums are added up.
const PIECE: usize = 1 << 12;
/// Positions of `f32` that stay in the first-level cache.
const POSITIONS: usize = 192;

/// The gradient of one convolution by its weights.
pub(crate) struct BackwardFilter<'a> {
    pub(crate) compute: &'a Compute,
    pub(crate) pool: &'a Pool,
    pub(crate) kind: ConvKind,
    pub(crate) images: usize,
    pub(crate) input: Side,
    pub(crate) output: Side,
    pub(crate) source: ConvInput<'a>,
    /// The gradient by the result.
    pub(crate) gradient: &'a [f32],
}

/// One piece of work: some chunks of images and some channels of the result.
struct Task<'a> {
    of: &'a BackwardFilter<'a>,
    tiling: Option<Tiling>,
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
    /// Tiles, and both transformed.
    places: Vec<Place>,
    input_tiles: Buffer,
    gradient_tiles: Buffer,
}

/// What a task found: (matrix, input, column) with rows and columns padded, and the sums of the gradient over the
/// pixels of each image.
struct Found {
    columns: Range<usize>,
    sums: Buffer,
    by_image: Vec<(usize, Vec<f64>)>,
}

impl BackwardFilter<'_> {
    /// Writes the gradient (kernel, input, output); returns the sums of `gradient` over pixels, `(n, output)`.
    pub(crate) fn run(&self, out: &mut [f32]) -> Vec<f64> {
        let words = self.input.grids() * self.input.channels.next_multiple_of(BLOCK)
            + self.output.grids() * self.output.channels.next_multiple_of(BLOCK);
        let chunks = Chunk::cut(self.images, self.output.coarse(), words);
        let taps = self.kind.taps();
        let tiling = self.tiling();
        let matrices = tiling.map_or(taps.len(), Tiling::matrices);
        let matrix = padded(self.input.channels) * padded(self.output.channels);
        let most = (MOST_SUMS / (matrices * matrix)).clamp(1, MOST_RUNS);
        let runs = chunks.len().min(most);
        let blocks = self.output.channels.div_ceil(COLUMNS);
        let least = TASKS_A_THREAD * rayon::current_num_threads();
        let groups = least.div_ceil(runs).min(blocks);
        let mut found: Vec<Found> = (0..groups * runs)
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
                    self.compute.isa().run(Task {
                        of: self,
                        tiling,
                        taps,
                        chunks,
                        columns,
                        scratch,
                    })
                },
            )
            .collect();
        let sums = tiling.map_or_else(|| self.kind.sums(), |tiling| tiling.sums(Way::Forward));
        merge_runs(&mut found, runs);
        self.merge(&found[..], runs, &sums, out);
        self.sums_by_image(&found)
    }

    /// The fastest way, by sizes alone.
    fn tiling(&self) -> Option<Tiling> {
        let channels = [self.input.channels, self.output.channels];
        let best = Tiling::best_backward_filter(
            self.kind,
            [self.input.height, self.input.width],
            channels,
        );
        best.filter(|_| !self.compute.isa().multiplies_bf16())
    }

    /// Brings the sums of the first run of each group of columns to the weights that their matrices are sums of.
    fn merge(&self, found: &[Found], runs: usize, sums: &[Vec<(usize, f32)>], out: &mut [f32]) {
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        let mut matrices = vec![Vec::new(); self.kind.weights()];
        for (matrix, sum) in sums.iter().enumerate() {
            sum.iter().for_each(|&(weight, factor)| matrices[weight].push((matrix, factor)));
        }
        let height = padded(inputs);
        out.par_chunks_mut(outputs).enumerate().for_each(|(index, out)| {
            out.fill(0.0);
            for found in found.iter().step_by(runs) {
                let width = padded(found.columns.len());
                for &(matrix, factor) in &matrices[index / inputs] {
                    let row = (matrix * height + index % inputs) * width;
                    let sums = &found.sums[row..][..found.columns.len()];
                    let out = &mut out[found.columns.clone()];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out += factor * sum);
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

/// Adds the sums of all runs of each group to those of its first, in order.
fn merge_runs(found: &mut [Found], runs: usize) {
    for group in found.chunks_mut(runs) {
        let Some((first, rest)) = group.split_first_mut() else { continue };
        first.sums.par_chunks_mut(PIECE).enumerate().for_each(|(index, sums)| {
            for found in &*rest {
                let more = &found.sums[index * PIECE..][..sums.len()];
                sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        });
    }
}

/// Channels with room for whole blocks of products.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(COLUMNS)
}

impl Scratch {
    fn new(pool: &Pool) -> Self {
        let empty = || pool.take(0);
        Self {
            input: empty(),
            gradient: empty(),
            input_pairs: empty(),
            gradient_pairs: empty(),
            places: Vec::new(),
            input_tiles: empty(),
            gradient_tiles: empty(),
        }
    }
}

impl Work for Task<'_> {
    type Output = Found;

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) -> Found {
        let (height, width) = (padded(self.of.input.channels), padded(self.columns.len()));
        let matrices = self.tiling.map_or(self.taps.len(), Tiling::matrices);
        let mut sums = self.of.pool.zeros(matrices * height * width);
        let mut by_image = Vec::new();
        for chunk in self.chunks {
            self.fill::<L>(chunk);
            self.sum_images(chunk, &mut by_image);
            match self.tiling {
                Some(tiling) => self.multiply_tiles(lanes, tiling, chunk, &mut sums),
                None if L::PAIRS => {
                    self.pair_positions(chunk);
                    self.multiply_pairs(lanes, chunk, &mut sums);
                }
                None => self.multiply(lanes, chunk, &mut sums),
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
        let BackwardFilter { pool, input, source, gradient, output, .. } = self.of;
        let side = self.gradient_side();
        let scratch = &mut *self.scratch;
        ensure_len(&mut scratch.input, pool, panel::panel_len(input, chunk));
        panel::fill::<L>(source, input, chunk, true, &mut scratch.input);
        ensure_len(&mut scratch.gradient, pool, panel::panel_len(&side, chunk));
        let part = InputPart {
            values: gradient,
            stride: output.channels,
            first: self.columns.start,
            channels: self.columns.len(),
        };
        let source = ConvInput { parts: &[part], transform: None };
        panel::fill::<L>(&source, &side, chunk, false, &mut scratch.gradient);
    }

    /// Adds up the gradient over the pixels of each image of a chunk.
    #[inline(always)]
    fn sum_images(&self, chunk: &Chunk, by_image: &mut Vec<(usize, Vec<f64>)>) {
        let (plane, known) = (chunk.panel_positions() * BLOCK, by_image.len());
        // Chunk by chunk, so that the order of an image's sum does not depend on how many images a run has.
        for (start, row) in chunk.result_rows() {
            if by_image[known..].last().is_none_or(|(image, _)| *image != row.image) {
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
        let BackwardFilter { pool, input, compute, .. } = self.of;
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
                    let x_position = chunk.shifted(tap.dy, tap.dx) + position;
                    let products = Products {
                        x: &x[tap.from * blocks * plane + x_position * BLOCK..],
                        g,
                        plane,
                        count,
                        inputs: inputs.channels,
                        narrow: self.columns.len() - column <= L::COUNT,
                    };
                    products.add(lanes, &mut sums[tap.matrix * height * width + column..], width);
                }
            }
        }
    }

    /// The same over tiles.
    #[inline(always)]
    fn multiply_tiles<L: Lanes>(
        &mut self,
        lanes: L,
        tiling: Tiling,
        chunk: &Chunk,
        sums: &mut [f32],
    ) {
        let (inputs, side, pool) = (self.of.input, self.gradient_side(), self.of.pool);
        let [x_blocks, g_blocks] = [&inputs, &side].map(|side| side.channels.div_ceil(BLOCK));
        let room = tiling.strip(x_blocks.max(g_blocks), L::ROWS);
        let scratch = &mut *self.scratch;
        ensure_len(&mut scratch.input_tiles, pool, tiling.matrices() * x_blocks * room * BLOCK);
        ensure_len(&mut scratch.gradient_tiles, pool, tiling.matrices() * g_blocks * room * BLOCK);
        scratch.places.clear();
        scratch.places.extend(tiling.places(chunk));
        let of_block = chunk.panel_positions() * BLOCK;
        for start in (0..scratch.places.len()).step_by(room) {
            let places = &scratch.places[start..(start + room).min(scratch.places.len())];
            let panel = (&scratch.input[..], of_block, chunk.pitch());
            tiling.transform(lanes.floats(), panel, places, &mut scratch.input_tiles, room);
            let panel = GradientPanel { values: &scratch.gradient, chunk, side: &side };
            panel.transform_gradient(lanes, tiling, places, &mut scratch.gradient_tiles, room);
            let tiles = Tiles {
                x: &scratch.input_tiles,
                g: &scratch.gradient_tiles,
                count: places.len(),
                room,
                channels: [inputs.channels, self.columns.len()],
            };
            tiles.multiply(lanes, tiling.matrices(), sums);
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

/// The gradient by the result of one chunk.
struct GradientPanel<'a> {
    values: &'a [f32],
    chunk: &'a Chunk,
    side: &'a Side,
}

impl GradientPanel<'_> {
    /// Transforms it for some tiles: (matrix, block of channels, tile, channel).
    #[inline(always)]
    fn transform_gradient<L: Lanes>(
        &self,
        lanes: L,
        tiling: Tiling,
        places: &[Place],
        out: &mut [f32],
        room: usize,
    ) {
        let Self { chunk, side, .. } = *self;
        let (blocks, fineness) = (side.channels / BLOCK, side.fineness);
        let plane = chunk.panel_positions() * BLOCK;
        let end_y = (chunk.rows.end * fineness).min(side.height);
        for block in 0..blocks {
            for (index, place) in places.iter().enumerate() {
                let pixel = |i: usize, j: usize| {
                    let (y, x) = (place.y * fineness + i, place.x * fineness + j);
                    let grid = i % fineness * fineness + j % fineness;
                    let first = place.from + chunk.first();
                    let position = first + i / fineness * chunk.pitch() + j / fineness;
                    let inside = y < end_y && x < side.width;
                    inside.then(|| (grid * blocks + block) * plane + position * BLOCK)
                };
                let out = &mut out[(block * room + index) * BLOCK..];
                tiling.transform_gradient(
                    lanes.floats(),
                    self.values,
                    pixel,
                    out,
                    blocks * room * BLOCK,
                );
            }
        }
    }
}

/// Transformed tiles of input and gradient.
struct Tiles<'a> {
    x: &'a [f32],
    g: &'a [f32],
    count: usize,
    /// Tiles from one block of channels to the next.
    room: usize,
    /// Of input and gradient.
    channels: [usize; 2],
}

impl Tiles<'_> {
    /// Adds the products to the sums (matrix, input, column).
    #[inline(always)]
    fn multiply<L: Lanes>(&self, lanes: L, matrices: usize, sums: &mut [f32]) {
        let Self { x, g, count, room, channels: [inputs, outputs] } = *self;
        let (height, width) = (padded(inputs), padded(outputs));
        let (x_blocks, g_blocks) = (inputs.div_ceil(BLOCK), width / BLOCK);
        let (columns, plane) = (VECTORS * L::COUNT, room * BLOCK);
        for matrix in 0..matrices {
            for column in (0..outputs).step_by(columns) {
                let g = &g[(matrix * g_blocks + column / BLOCK) * plane + column % BLOCK..];
                let products = Products {
                    x: &x[matrix * x_blocks * plane..],
                    g,
                    plane,
                    count,
                    inputs,
                    narrow: outputs - column <= L::COUNT,
                };
                products.add(lanes, &mut sums[matrix * height * width + column..], width);
            }
        }
    }
}

/// Outer products of one matrix: all inputs times two vectors of columns, over positions or tiles. Factors are `f32`, in
/// blocks of channels.
struct Products<'a> {
    /// From the first position of the first block of inputs on.
    x: &'a [f32],
    /// From the first position and column on.
    g: &'a [f32],
    /// Words from one block of channels to the next, of both.
    plane: usize,
    /// Positions.
    count: usize,
    inputs: usize,
    /// Whether the second vector of columns is not needed.
    narrow: bool,
}

impl Products<'_> {
    /// Adds them to sums (input, column), whose rows are `width` apart.
    #[inline(always)]
    fn add<L: Lanes>(&self, lanes: L, sums: &mut [f32], width: usize) {
        let Self { g, plane, count, narrow, .. } = *self;
        let last = (count - 1) * BLOCK;
        for channel in (0..self.inputs).step_by(L::OUTER_ROWS) {
            let x = &self.x[channel / BLOCK * plane + channel % BLOCK..];
            let sums = &mut sums[channel * width..];
            let outer = Outer {
                x: x.as_ptr(),
                x_row: 1,
                g: g.as_ptr(),
                g_vector: if L::COUNT == BLOCK { plane } else { L::COUNT },
                count,
                sums: sums.as_mut_ptr(),
                sums_row: width,
                narrow,
            };
            assert!(x.len() >= last + L::OUTER_ROWS);
            assert!(g.len() >= last + outer.g_vector + L::COUNT);
            assert!(sums.len() >= (L::OUTER_ROWS - 1) * width + VECTORS * L::COUNT);
            // SAFETY: as just asserted, `count` positions of `OUTER_ROWS` channels lie within the input's factors (a
            // block has 16 channels, which `OUTER_ROWS` divides), as many of two vectors within the gradient's, and all
            // rows within the sums.
            unsafe { lanes.outer(&outer) }
        }
    }
}
