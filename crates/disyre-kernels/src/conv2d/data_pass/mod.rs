//! Passes over data: the convolution, and its gradient by the input. Panels times weights, chunk by chunk.
//!
//! Used by [`Convolution`](super::Convolution). `task` holds the data of a pass and of its tasks, `taps` and `tiles` the
//! two ways to multiply, `finish` the work on results while they are in the cache.

mod finish;
mod taps;
mod task;
mod tiles;

use std::ops::Range;

use rayon::prelude::*;

pub(super) use self::task::{Addend, ChannelStats, DataPass, Finish, ThroughNorm};
use self::task::{Scratch, Task};
use super::chunk::Chunk;
use super::weights::Form;
use super::{bf16_panel, panel};
use crate::lanes::{BLOCK, Lanes, VECTORS, Work};
use crate::shared_slice::SharedSlice;

/// Pieces of work for each thread that there should be at least; results do not depend on it.
const TASKS_A_THREAD: usize = 2;

/// Statistics of one task: first image, channels, and the numbers.
type Found = (usize, Range<usize>, ChannelStats);

impl DataPass<'_> {
    /// Writes the result `(n, h, w, c)`, and returns the statistics that [`Finish`] asks for.
    pub(crate) fn run(&self, out: &mut [f32]) -> ChannelStats {
        let words = self.from.grids() * self.from.channels.next_multiple_of(BLOCK);
        let chunks = Chunk::cut(self.images, self.to.coarse(), words);
        let columns = VECTORS * self.compute.isa().lanes();
        let blocks = self.to.channels.div_ceil(columns);
        let least = TASKS_A_THREAD * rayon::current_num_threads();
        let groups = least.div_ceil(chunks.len()).min(blocks);
        let shared = SharedSlice::new(out);
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
                    let task = Task { pass: self, chunk, blocks, scratch, out };
                    (chunk.images.start, channels, self.compute.isa().run(task))
                },
            )
            .collect();
        self.merged(&chunks, groups, found)
    }

    fn merged(&self, chunks: &[Chunk], groups: usize, found: Vec<Found>) -> ChannelStats {
        let channels = self.to.channels;
        if matches!(self.finish, Finish::Nothing) {
            return Vec::new();
        }
        let mut merged = vec![[0.0; 2]; self.images * channels];
        let mut counts = vec![0.0; self.images * channels];
        for (index, (first, range, found)) in found.into_iter().enumerate() {
            let rows = chunks[index / groups].rows.clone();
            let fine = rows.end.saturating_mul(self.to.phases).min(self.to.height)
                - rows.start * self.to.phases;
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
pub(super) fn merge_moments(
    all: &mut [f64; 2],
    all_count: &mut f64,
    [mean, squares]: [f64; 2],
    count: f64,
) {
    let total = *all_count + count;
    let difference = mean - all[0];
    all[0] += difference * count / total;
    all[1] += squares + difference * difference * *all_count * count / total;
    *all_count = total;
}

impl Work for Task<'_> {
    type Output = ChannelStats;

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) -> ChannelStats {
        self.fill_panel::<L>();
        match self.pass.weights.purpose.form {
            Form::Taps => self.multiply_taps(lanes),
            Form::Tiles(tiling) => self.multiply_tiles(lanes, tiling),
        }
        match self.pass.finish {
            Finish::Nothing => Vec::new(),
            Finish::Moments => self.moments::<L>(),
            Finish::ThroughNorm(norm) => self.through_norm::<L>(&norm),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn fill_panel<L: Lanes>(&mut self) {
        let DataPass { from, source, compute, .. } = self.pass;
        let Scratch { panel, pairs, .. } = self.scratch;
        panel.set_len(panel::panel_len(from, self.chunk));
        panel::fill::<L>(source, from, self.chunk, true, panel);
        if L::PAIRS {
            let len = bf16_panel::channel_pairs_len(from, self.chunk, compute.terms());
            pairs.set_len(len);
            bf16_panel::channel_pairs(from, self.chunk, panel, pairs);
        }
    }
}
