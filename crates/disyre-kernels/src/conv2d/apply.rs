//! The convolution, and its gradient by the input: panels times weights, chunk by chunk.

use std::ops::Range;

use rayon::prelude::*;

use super::chunk::Chunk;
use super::finish::{Finish, Pairs, merge_moments};
use super::lattice::{Side, Tap};
use super::panel;
use super::product::{Step, Tile, VECTORS};
use super::source::ConvInput;
use super::weights::{Form, Packed};
use super::winograd::Place;
use crate::isa::Work;
use crate::lanes::{Lanes, Vectors};
use crate::shared::Shared;
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
    pub(crate) source: ConvInput<'a>,
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

/// One piece of work: a chunk of images and some blocks of the result's channels.
pub(super) struct Task<'a> {
    pub(super) apply: &'a Apply<'a>,
    pub(super) chunk: &'a Chunk,
    pub(super) blocks: Range<usize>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a Shared<'a>,
}

/// Memory of one thread.
pub(super) struct Scratch {
    pub(super) panel: Buffer,
    pub(super) pairs: Buffer,
    pub(super) tile: Buffer,
    pub(super) steps: Vec<Step>,
    /// Tiles, their transformed input, and sums of products.
    pub(super) places: Vec<Place>,
    pub(super) transformed: Buffer,
    pub(super) products: Buffer,
}

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
        // The old one first: it may serve.
        *buffer = pool.take(0);
        *buffer = pool.take(len);
    }
}

impl Work for Task<'_> {
    type Output = Pairs;

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) -> Pairs {
        self.fill_panel::<L>();
        match self.apply.weights.purpose.form {
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
        const { assert!(L::ROWS * VECTORS * L::COUNT <= TILE) }
        let mut place = Cursor { row: 0, column: 0 };
        for position in (0..positions).step_by(L::ROWS) {
            let tile = Tile {
                panel: words[position * 16..].as_ptr(),
                weights: weights.as_ptr(),
                steps: &self.scratch.steps,
                narrow: channels <= L::COUNT,
            };
            // SAFETY: by the first assertion the blocks of all steps lie within the panel for all tiles up to the
            // last, by the second all weights within the packed ones; depths are at most 16. The sums of a tile fit, as
            // asserted when this was compiled.
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
    pub(super) fn write<L: Lanes>(
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
