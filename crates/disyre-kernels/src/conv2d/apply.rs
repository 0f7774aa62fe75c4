//! The convolution, and its gradient by the input: panels times weights, chunk by chunk.

use std::ops::Range;

use rayon::prelude::*;

use super::chunk::Chunk;
use super::lattice::{Side, Tap};
use super::panel;
use super::product::{BLOCK, Step, Tile, VECTORS};
use super::source::{Part, Source, Transform};
use super::weights::{Form, Packed};
use super::winograd::{Place, Tiling};
use crate::isa::Work;
use crate::lanes::{Lanes, Vectors};
use crate::shared::Shared;
use crate::sigmoid::{fma, sigmoid};
use crate::{Buffer, Compute, Pool};

/// Pieces of work for each thread that there should be at least; results do not depend on it.
const TASKS_A_THREAD: usize = 2;
/// Room for the sums of one tile: 32 positions of 32 outputs.
const TILE: usize = 1024;

/// One linear map from images to images.
pub(crate) struct Apply<'a> {
    pub(crate) compute: &'a Compute,
    pub(crate) pool: &'a Pool,
    pub(crate) images: usize,
    pub(crate) taps: &'a [Tap],
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) source: Source<'a>,
    pub(crate) weights: &'a Packed,
    /// What each channel of each image starts from, `(n, c)`.
    pub(crate) start: &'a [f32],
    pub(crate) addend: Addend<'a>,
    pub(crate) finish: Finish<'a>,
}

/// What is added to the sums of products.
#[derive(Clone, Copy)]
pub(crate) enum Addend<'a> {
    Nothing,
    /// Images of the shape of the result.
    Images(&'a [f32]),
    /// What the result's memory holds.
    Result,
}

/// What is done with each part of the result while it is in the cache.
#[derive(Clone, Copy)]
pub(crate) enum Finish<'a> {
    Nothing,
    /// Mean and sum of squared deviations of each channel of each image.
    Moments,
    /// The result is the gradient by a transformed source: it becomes the gradient before SiLU, and summed up.
    ThroughNorm(ThroughNorm<'a>),
}

/// A normalised source `z = scale · x + shift`, `ẋ = spread · x + level`, all `(n, c)`.
#[derive(Clone, Copy)]
pub(crate) struct ThroughNorm<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) transform: Transform<'a>,
    pub(crate) spread: &'a [f32],
    pub(crate) level: &'a [f32],
}

/// One piece of work: a chunk of images and some blocks of the result's channels.
struct Task<'a> {
    apply: &'a Apply<'a>,
    chunk: &'a Chunk,
    blocks: Range<usize>,
    scratch: &'a mut Scratch,
    out: &'a Shared<'a>,
}

/// Memory of one thread.
struct Scratch {
    panel: Buffer,
    pairs: Buffer,
    tile: Buffer,
    steps: Vec<Step>,
    /// Tiles, their transformed input, and sums of products.
    places: Vec<Place>,
    transformed: Buffer,
    products: Buffer,
}

/// Tiles that are transformed together.
struct Strip {
    tiling: Tiling,
    /// Which of the chunk's tiles.
    places: Range<usize>,
    /// Tiles for which there is memory.
    room: usize,
}

/// What [`Finish`] found: for each channel of each image, two numbers.
pub(crate) type Pairs = Vec<[f64; 2]>;

/// The same of one task: first image, first channel, number of channels, and the numbers.
type Found = (usize, Range<usize>, Pairs);

impl Apply<'_> {
    /// Writes the result `(n, h, w, c)`, and returns what [`Finish`] asked for, `(n, c)`.
    pub(crate) fn run(&self, out: &mut [f32]) -> Pairs {
        let words = self.from.grids() * self.from.channels.next_multiple_of(16);
        let chunks = Chunk::cut(self.images, self.to.coarse(), words);
        let columns = VECTORS * self.compute.isa().lanes();
        let blocks = self.to.channels.div_ceil(columns);
        let least = TASKS_A_THREAD * rayon::current_num_threads();
        let groups = least.div_ceil(chunks.len()).min(blocks);
        let shared = Shared::new(out);
        let found: Vec<Found> = (0..chunks.len() * groups)
            .into_par_iter()
            .map_init(
                || Scratch::new(self.pool),
                |scratch, index| {
                    let (chunk, group) = (&chunks[index / groups], index % groups);
                    let blocks = group * blocks / groups..(group + 1) * blocks / groups;
                    let channels =
                        blocks.start * columns..(blocks.end * columns).min(self.to.channels);
                    let out = &shared;
                    let task = Task { apply: self, chunk, blocks, scratch, out };
                    (chunk.images.start, channels, self.compute.isa().run(task))
                },
            )
            .collect();
        self.merged(&chunks, groups, found)
    }

    fn merged(&self, chunks: &[Chunk], groups: usize, found: Vec<Found>) -> Pairs {
        let channels = self.to.channels;
        if matches!(self.finish, Finish::Nothing) {
            return Vec::new();
        }
        let mut merged = vec![[0.0; 2]; self.images * channels];
        let mut counts = vec![0.0; self.images * channels];
        for (index, (first, range, found)) in found.into_iter().enumerate() {
            let rows = chunks[index / groups].rows.clone();
            let fine = rows.end.saturating_mul(self.to.fineness).min(self.to.height)
                - rows.start * self.to.fineness;
            let count = (fine * self.to.width) as f64;
            for (i, found) in found.into_iter().enumerate() {
                let place = (first + i / range.len()) * channels + range.start + i % range.len();
                match self.finish {
                    Finish::Moments => {
                        merge_moments(&mut merged[place], &mut counts[place], found, count);
                    }
                    _ => merged[place] = [0, 1].map(|which| merged[place][which] + found[which]),
                }
            }
        }
        merged
    }
}

/// Joins mean and sum of squared deviations of two sets.
///
/// # Source
/// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
fn merge_moments(all: &mut [f64; 2], all_count: &mut f64, [mean, squares]: [f64; 2], count: f64) {
    let total = *all_count + count;
    let difference = mean - all[0];
    all[0] += difference * count / total;
    all[1] += squares + difference * difference * *all_count * count / total;
    *all_count = total;
}

impl Scratch {
    fn new(pool: &Pool) -> Self {
        let empty = || pool.take(0);
        Self {
            panel: empty(),
            pairs: empty(),
            tile: pool.take(TILE),
            steps: Vec::new(),
            places: Vec::new(),
            transformed: empty(),
            products: empty(),
        }
    }
}

/// Makes a buffer `len` long; its values are then those of some earlier use.
pub(super) fn ensure_len(buffer: &mut Buffer, pool: &Pool, len: usize) {
    if buffer.len() != len {
        *buffer = pool.take(len);
    }
}

impl Work for Task<'_> {
    type Output = Pairs;

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) -> Pairs {
        self.fill_panel::<L>();
        match self.apply.weights.form {
            Form::Taps => self.multiply_taps(lanes),
            Form::Tiles(tiling) => self.multiply_tiles(lanes, tiling),
        }
        match self.apply.finish {
            Finish::Nothing => Vec::new(),
            Finish::Moments => self.moments::<L>(),
            Finish::ThroughNorm(norm) => self.through_norm::<L>(&norm),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn fill_panel<L: Lanes>(&mut self) {
        let Apply { from, source, pool, compute, .. } = self.apply;
        let Scratch { panel, pairs, .. } = self.scratch;
        ensure_len(panel, pool, panel::panel_len(from, self.chunk));
        panel::fill::<L>(source, from, self.chunk, true, panel);
        if L::PAIRS {
            let len = panel::channel_pairs_len(from, self.chunk, compute.parts());
            ensure_len(pairs, pool, len);
            panel::channel_pairs(from, self.chunk, panel, pairs);
        }
    }

    #[inline(always)]
    fn multiply_taps<L: Lanes>(&mut self, lanes: L) {
        for grid in 0..self.apply.to.grids() {
            self.find_steps::<L>(grid);
            for block in self.blocks.clone() {
                self.multiply(lanes, grid, block);
            }
        }
    }

    /// The result tile by tile.
    #[inline(always)]
    fn multiply_tiles<L: Lanes>(&mut self, lanes: L, tiling: Tiling) {
        let Apply { pool, weights, .. } = self.apply;
        let strip = tiling.strip(weights.blocks);
        // Room for a block of products that reaches beyond the last tile.
        let room = strip + L::ROWS;
        let scratch = &mut *self.scratch;
        let len = tiling.matrices() * weights.blocks * room * BLOCK;
        ensure_len(&mut scratch.transformed, pool, len);
        let len = tiling.matrices() * room * VECTORS * L::COUNT;
        ensure_len(&mut scratch.products, pool, len);
        scratch.places.clear();
        scratch.places.extend(tiling.places(self.chunk));
        for start in (0..self.scratch.places.len()).step_by(strip) {
            let places = start..(start + strip).min(self.scratch.places.len());
            let strip = Strip { tiling, places, room };
            self.transform(lanes, &strip);
            for block in self.blocks.clone() {
                for matrix in 0..tiling.matrices() {
                    self.multiply_matrix(lanes, &strip, matrix, block);
                }
                self.join(lanes, &strip, block);
            }
        }
    }

    /// Transforms the input of a strip: (matrix, block of channels, tile, channel).
    #[inline(always)]
    fn transform<L: Lanes>(&mut self, lanes: L, strip: &Strip) {
        let Scratch { panel, places, transformed, .. } = &mut *self.scratch;
        let panel = (&panel[..], self.chunk.panel_positions() * BLOCK, self.chunk.pitch());
        let places = &places[strip.places.clone()];
        strip.tiling.transform(lanes.floats(), panel, places, transformed, strip.room);
    }

    /// Products of the tiles of a strip by one matrix: (tile, channel of the block).
    #[inline(always)]
    fn multiply_matrix<L: Lanes>(&mut self, lanes: L, strip: &Strip, matrix: usize, block: usize) {
        let Apply { weights, from, .. } = self.apply;
        let row = VECTORS * L::COUNT;
        let Scratch { steps, transformed, products, .. } = &mut *self.scratch;
        let plane = strip.room * BLOCK;
        steps.clear();
        steps.extend((0..weights.blocks).map(|depth| Step {
            panel: (matrix * weights.blocks + depth) * plane,
            weights: weights.step(0, matrix, depth),
            depth: (from.channels - depth * BLOCK).min(BLOCK),
        }));
        let columns = weights.columns(block);
        let products = &mut products[matrix * strip.room * row..][..strip.room * row];
        assert!(strip.places.len() + L::ROWS <= strip.room);
        assert!(transformed.len() >= (matrix + 1) * weights.blocks * plane);
        assert!(weights.step(0, matrix, weights.blocks) <= columns.len(), "all steps have weights");
        for tile in (0..strip.places.len()).step_by(L::ROWS) {
            let product = Tile {
                panel: transformed[tile * BLOCK..].as_ptr(),
                weights: columns.as_ptr(),
                steps,
                narrow: self.apply.to.channels - block * row <= L::COUNT,
            };
            // SAFETY: as just asserted, planes of `room` tiles lie within the transformed input for every step, and its
            // weights within the packed ones; depths are at most 16. `ROWS` tiles from this one on are less than
            // `room`, so the sums have room for as many rows of two vectors.
            unsafe { lanes.tile(&product, products[tile * row..].as_mut_ptr()) }
        }
    }

    /// Transforms the products of a strip into pixels, and writes them.
    #[inline(always)]
    fn join<L: Lanes>(&mut self, lanes: L, strip: &Strip, block: usize) {
        let to = &self.apply.to;
        let row = VECTORS * L::COUNT;
        let channels = block * row..((block + 1) * row).min(to.channels);
        let (plane, side) = (strip.room * row, strip.tiling.side());
        let (end_y, end_x) = ((self.chunk.rows.end * to.fineness).min(to.height), to.width);
        for (index, at) in strip.places.clone().enumerate() {
            let Scratch { products, tile, places, .. } = &mut *self.scratch;
            let place = places[at];
            for vector in 0..VECTORS {
                let from = &products[index * row + vector * L::COUNT..];
                let out = &mut tile[vector * L::COUNT..];
                strip.tiling.output(lanes.floats(), from, plane, out, row);
            }
            let (first_y, first_x) = (place.y * to.fineness, place.x * to.fineness);
            for (i, y) in (first_y..end_y.min(first_y + side)).enumerate() {
                for (j, x) in (first_x..end_x.min(first_x + side)).enumerate() {
                    let sums = &self.scratch.tile[(i * side + j) * row..][..row];
                    self.write(lanes, place.image, y * to.width + x, channels.clone(), sums);
                }
            }
        }
    }

    /// The steps of one sub-grid of the result.
    #[inline(always)]
    fn find_steps<L: Lanes>(&mut self, grid: usize) {
        let Apply { from, taps, weights, compute, .. } = self.apply;
        let in_block = if L::PAIRS { 32 } else { 16 };
        let plane = self.chunk.panel_positions() * 16;
        self.scratch.steps.clear();
        for tap in taps.iter().filter(|tap| tap.to == grid) {
            let position = self.chunk.shifted(tap.dy, tap.dx);
            for block in 0..weights.blocks {
                let channels = (from.channels - block * in_block).min(in_block);
                for &(part, weight_part) in compute.products() {
                    let plane_index = (part * from.grids() + tap.from) * weights.blocks + block;
                    self.scratch.steps.push(Step {
                        panel: plane_index * plane + position * 16,
                        weights: weights.step(weight_part, tap.matrix, block),
                        depth: if L::PAIRS { channels.div_ceil(2) } else { channels },
                    });
                }
            }
        }
    }

    /// Computes one block of channels of one sub-grid.
    #[inline(always)]
    fn multiply<L: Lanes>(&mut self, lanes: L, grid: usize, block: usize) {
        let columns = VECTORS * L::COUNT;
        let first = block * columns;
        let channels = (self.apply.to.channels - first).min(columns);
        let words = if L::PAIRS { &self.scratch.pairs } else { &self.scratch.panel };
        let weights = self.apply.weights.columns(block);
        let positions = self.chunk.positions();
        let reach = self.scratch.steps.iter().map(|step| step.panel).max().unwrap_or_default();
        let last = positions.div_ceil(L::ROWS) * L::ROWS;
        assert!(reach + last * 16 <= words.len(), "all positions lie within the panel");
        let weight_reach = self.scratch.steps.iter().map(|step| step.weights).max();
        let step_len = VECTORS * 16 * L::COUNT;
        assert!(
            weight_reach.unwrap_or_default() + step_len <= weights.len(),
            "all steps have weights"
        );
        let mut place = Cursor { row: 0, column: 0 };
        for position in (0..positions).step_by(L::ROWS) {
            let tile = Tile {
                panel: words[position * 16..].as_ptr(),
                weights: weights.as_ptr(),
                steps: &self.scratch.steps,
                narrow: channels <= L::COUNT,
            };
            // SAFETY: by the first assertion the blocks of all steps lie within the panel for all tiles up to the
            // last, by the second all weights within the packed ones; depths are at most 16. A tile has at most
            // 1024 sums.
            unsafe { lanes.tile(&tile, self.scratch.tile.as_mut_ptr()) }
            let count = L::ROWS.min(positions - position);
            self.scatter(lanes, grid, first..first + channels, count, &mut place);
        }
    }

    /// Brings the sums of a tile to their pixels.
    #[inline(always)]
    fn scatter<L: Lanes>(
        &self,
        lanes: L,
        grid: usize,
        channels: Range<usize>,
        count: usize,
        place: &mut Cursor,
    ) {
        let to = &self.apply.to;
        let [oy, ox] = to.offset(grid);
        let (pitch, width) = (self.chunk.pitch(), self.chunk.width);
        let mut sums = self.scratch.tile.chunks_exact(VECTORS * L::COUNT).take(count);
        let mut left = count;
        while left > 0 {
            let run = left.min(pitch - place.column);
            let row = self
                .chunk
                .panel_row(place.row + 1)
                .filter(|row| self.chunk.rows.contains(&(row.row as usize)));
            let y = row.map(|row| (row.image, row.row as usize * to.fineness + oy));
            for column in place.column..place.column + run {
                let Some(sums) = sums.next() else { return };
                let x = column * to.fineness + ox;
                let Some((image, y)) = y.filter(|&(_, y)| y < to.height) else { continue };
                if column >= width || x >= to.width {
                    continue;
                }
                self.write(lanes, image, y * to.width + x, channels.clone(), sums);
            }
            left -= run;
            place.column += run;
            if place.column == pitch {
                *place = Cursor { row: place.row + 1, column: 0 };
            }
        }
    }

    /// Writes the sums of one pixel of an image, with what is added to them.
    #[inline(always)]
    fn write<L: Lanes>(
        &self,
        lanes: L,
        image: usize,
        pixel: usize,
        channels: Range<usize>,
        sums: &[f32],
    ) {
        let Apply { to, start, addend, .. } = self.apply;
        let from = (image * to.pixels() + pixel) * to.channels + channels.start;
        let start = &start[image * to.channels..][channels];
        let n = start.len();
        // SAFETY: tasks have different chunks or different channels, so no other task uses this part.
        let out = unsafe { self.out.part(from, n) };
        let addend = match addend {
            Addend::Nothing => None,
            Addend::Images(images) => Some(&images[from..from + n]),
            Addend::Result => {
                (0..n).for_each(|i| out[i] += sums[i] + start[i]);
                return;
            }
        };
        let whole = n - n % L::Floats::COUNT;
        for first in (0..whole).step_by(L::Floats::COUNT) {
            let addend = addend.map(|addend| &addend[first..]);
            add_vector(lanes.floats(), &sums[first..], &start[first..], addend, &mut out[first..]);
        }
        for i in whole..n {
            out[i] = sums[i] + start[i] + addend.map_or(0.0, |addend| addend[i]);
        }
    }

    /// The fine rows of this task's images, as image and first pixel of each, image by image.
    #[inline(always)]
    fn fine_rows(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (to, rows) = (self.apply.to, self.chunk.rows.clone());
        let fine = rows.start * to.fineness..(rows.end * to.fineness).min(to.height);
        self.chunk.images.clone().flat_map(move |image| {
            fine.clone().map(move |y| (image, image * to.pixels() + y * to.width))
        })
    }

    /// Channels of this task.
    #[inline(always)]
    fn channels<L: Lanes>(&self) -> Range<usize> {
        let columns = VECTORS * L::COUNT;
        self.blocks.start * columns..(self.blocks.end * columns).min(self.apply.to.channels)
    }

    /// In one pass, by sums of deviations from the first pixel: as exact as deviations from the mean, unless that pixel
    /// lies hundreds of standard deviations beside it.
    #[inline(always)]
    fn moments<L: Lanes>(&self) -> Pairs {
        let channels = self.channels::<L>();
        let to = &self.apply.to;
        let fine = (self.chunk.rows.end * to.fineness).min(to.height)
            - self.chunk.rows.start * to.fineness;
        let count = (fine * to.width) as f64;
        let mut found = vec![[0.0; 2]; self.chunk.images.len() * channels.len()];
        for (index, found) in found.chunks_mut(channels.len()).enumerate() {
            let mut origin = Vec::new();
            for (_, pixel) in self.fine_rows().skip(index * fine).take(fine) {
                if origin.is_empty() {
                    let first = pixel * to.channels + channels.start;
                    // SAFETY: this task wrote the part, and no other task uses it.
                    origin.extend_from_slice(unsafe { self.out.part(first, channels.len()) });
                }
                for (block, found) in found.chunks_mut(BLOCK).enumerate() {
                    let (origin, first) =
                        (&origin[block * BLOCK..], channels.start + block * BLOCK);
                    let sums = match origin.first_chunk::<BLOCK>() {
                        Some(origin) => self.row_sums::<BLOCK>(pixel, first, origin),
                        None => self.row_sums_of_few(pixel, first, origin),
                    };
                    for (i, found) in found.iter_mut().enumerate() {
                        *found = [0, 1].map(|which| found[which] + f64::from(sums[which][i]));
                    }
                }
            }
            for (found, origin) in found.iter_mut().zip(origin) {
                let [sum, squares] = *found;
                *found = [f64::from(origin) + sum / count, squares - sum * sum / count];
            }
        }
        found
    }

    /// Sums over one row of the deviations of `N` channels from `origin`, and of their squares. With a length that the
    /// compiler knows, sums stay in registers.
    #[inline(always)]
    fn row_sums<const N: usize>(
        &self,
        pixel: usize,
        channel: usize,
        origin: &[f32; N],
    ) -> [[f32; N]; 2] {
        let to = &self.apply.to;
        let mut sums = [[0.0f32; N]; 2];
        for x in pixel..pixel + to.width {
            // SAFETY: this task wrote the part, and no other task uses it.
            let values = unsafe { self.out.part(x * to.channels + channel, N) };
            for i in 0..N {
                let deviation = values[i] - origin[i];
                sums[0][i] += deviation;
                sums[1][i] += deviation * deviation;
            }
        }
        sums
    }

    /// The same of less than a block.
    #[inline(always)]
    fn row_sums_of_few(&self, pixel: usize, channel: usize, origin: &[f32]) -> [[f32; BLOCK]; 2] {
        let mut sums = [[0.0; BLOCK]; 2];
        for (i, origin) in origin.iter().enumerate() {
            let [[sum], [squares]] = self.row_sums(pixel, channel + i, &[*origin]);
            (sums[0][i], sums[1][i]) = (sum, squares);
        }
        sums
    }

    #[inline(always)]
    fn through_norm<L: Lanes>(&self, norm: &ThroughNorm<'_>) -> Pairs {
        let channels = self.channels::<L>();
        let mut found = vec![[0.0; 2]; self.chunk.images.len() * channels.len()];
        for (image, pixel) in self.fine_rows() {
            let found = &mut found[(image - self.chunk.images.start) * channels.len()..];
            let mut overall = 0;
            for part in norm.source.parts {
                let own = overall..overall + part.channels;
                overall = own.end;
                let shared = channels.start.max(own.start)..channels.end.min(own.end);
                for first in shared.clone().step_by(BLOCK) {
                    let run = NormRun {
                        norm,
                        part,
                        within: part.first + first - own.start,
                        first,
                        n: BLOCK.min(shared.end - first),
                    };
                    let sums = self.norm_row::<L>(&run, image, pixel);
                    let found = &mut found[first - channels.start..][..run.n];
                    for (i, found) in found.iter_mut().enumerate() {
                        *found = [0, 1].map(|which| found[which] + f64::from(sums[which][i]));
                    }
                }
            }
        }
        found
    }

    /// Turns the gradient by SiLU(z) over one row into the one by z; its sums, and those of it times ẋ.
    #[inline(always)]
    fn norm_row<L: Lanes>(
        &self,
        run: &NormRun<'_>,
        image: usize,
        pixel: usize,
    ) -> [[f32; BLOCK]; 2] {
        let to = &self.apply.to;
        let at = image * to.channels + run.first;
        let block = |values: &[f32]| {
            let mut block = [0.0; BLOCK];
            block[..run.n].copy_from_slice(&values[at..at + run.n]);
            block
        };
        let transform = &run.norm.transform;
        let norm = NormBlock {
            silu: transform.silu,
            scale: block(transform.scale),
            shift: block(transform.shift),
            spread: block(run.norm.spread),
            level: block(run.norm.level),
        };
        // Whole blocks with a length that the compiler knows: sums then stay in registers.
        match run.n {
            BLOCK => self.norm_pixels::<L, true>(run, &norm, pixel),
            _ => self.norm_pixels::<L, false>(run, &norm, pixel),
        }
    }

    #[inline(always)]
    fn norm_pixels<L: Lanes, const WHOLE: bool>(
        &self,
        run: &NormRun<'_>,
        norm: &NormBlock,
        pixel: usize,
    ) -> [[f32; BLOCK]; 2] {
        let to = &self.apply.to;
        let n = if WHOLE { BLOCK } else { run.n };
        let mut sums = [[0.0; BLOCK]; 2];
        for x in pixel..pixel + to.width {
            // SAFETY: this task wrote the part, and no other task uses it.
            let gradient = unsafe { self.out.part(x * to.channels + run.first, n) };
            let values = &run.part.values[x * run.part.stride + run.within..][..n];
            norm.pixel::<L>(values, gradient, &mut sums);
        }
        sums
    }
}

/// Up to 16 channels of one part of a normalised source.
struct NormRun<'a> {
    norm: &'a ThroughNorm<'a>,
    part: &'a Part<'a>,
    /// First channel among those of the part's images, and over all parts.
    within: usize,
    first: usize,
    n: usize,
}

/// Coefficients of up to 16 channels.
struct NormBlock {
    silu: bool,
    scale: [f32; BLOCK],
    shift: [f32; BLOCK],
    spread: [f32; BLOCK],
    level: [f32; BLOCK],
}

impl NormBlock {
    #[inline(always)]
    fn pixel<L: Lanes>(&self, x: &[f32], gradient: &mut [f32], sums: &mut [[f32; BLOCK]; 2]) {
        let n = x.len();
        let gradient = &mut gradient[..n];
        if self.silu {
            for i in 0..n {
                let z = fma::<L>(self.scale[i], x[i], self.shift[i]);
                let s = sigmoid::<L>(z);
                gradient[i] *= s * fma::<L>(z, 1.0 - s, 1.0);
            }
        }
        for i in 0..n {
            sums[0][i] += gradient[i];
            sums[1][i] += gradient[i] * fma::<L>(self.spread[i], x[i], self.level[i]);
        }
    }
}

/// One vector of the sums of a pixel, with what is added to them.
#[inline(always)]
fn add_vector<V: Vectors>(
    lanes: V,
    sums: &[f32],
    start: &[f32],
    addend: Option<&[f32]>,
    out: &mut [f32],
) {
    let fits = |values: &[f32]| values.len() >= V::COUNT;
    assert!(fits(sums) && fits(start) && addend.is_none_or(fits) && fits(out));
    // SAFETY: as just asserted, all of them have at least one vector.
    unsafe {
        let mut value = lanes.add(lanes.load(sums.as_ptr()), lanes.load(start.as_ptr()));
        if let Some(addend) = addend {
            value = lanes.add(value, lanes.load(addend.as_ptr()));
        }
        lanes.store(value, out.as_mut_ptr());
    }
}

/// Row and column of the next sum, counted from the first pixel.
struct Cursor {
    row: usize,
    column: usize,
}
