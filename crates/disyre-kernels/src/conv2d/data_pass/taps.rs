//! The convolution tap by tap: panel times weights, summed over all taps of a sub-grid.

use std::ops::Range;

use super::task::{BLOCK_SUMS, DataPass, Task};
use crate::lanes::{BLOCK, DepthBlock, Lanes, ProductBlock, VECTORS};

impl Task<'_> {
    #[inline(always)]
    pub(super) fn multiply_taps<L: Lanes>(&mut self, lanes: L) {
        for grid in 0..self.pass.to.grids() {
            self.find_steps::<L>(grid);
            for block in self.blocks.clone() {
                self.multiply(lanes, grid, block);
            }
        }
    }

    /// The steps of one sub-grid of the result.
    #[inline(always)]
    fn find_steps<L: Lanes>(&mut self, grid: usize) {
        let DataPass { from, taps, weights, compute, .. } = self.pass;
        let in_block = if L::PAIRS { 2 * BLOCK } else { BLOCK };
        let plane = self.chunk.panel_positions() * BLOCK;
        self.scratch.steps.clear();
        for tap in taps.iter().filter(|tap| tap.to == grid) {
            let position = self.chunk.shifted(tap.dy, tap.dx);
            for block in 0..weights.blocks {
                let channels = (from.channels - block * in_block).min(in_block);
                for &(part, weight_part) in compute.products() {
                    let plane_index = (part * from.grids() + tap.from) * weights.blocks + block;
                    self.scratch.steps.push(DepthBlock {
                        panel: plane_index * plane + position * BLOCK,
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
        let channels = (self.pass.to.channels - first).min(columns);
        let words = if L::PAIRS { &self.scratch.pairs } else { &self.scratch.panel };
        let weights = self.pass.weights.columns(block);
        let positions = self.chunk.positions();
        let reach = self.scratch.steps.iter().map(|step| step.panel).max().unwrap_or_default();
        let last = positions.div_ceil(L::ROWS) * L::ROWS;
        assert!(reach + last * BLOCK <= words.len(), "all positions lie within the panel");
        let weight_reach = self.scratch.steps.iter().map(|step| step.weights).max();
        let step_len = VECTORS * BLOCK * L::COUNT;
        assert!(
            weight_reach.unwrap_or_default() + step_len <= weights.len(),
            "all steps have weights"
        );
        const { assert!(L::ROWS * VECTORS * L::COUNT <= BLOCK_SUMS) }
        let mut place = Cursor { row: 0, column: 0 };
        for position in (0..positions).step_by(L::ROWS) {
            let tile = ProductBlock {
                panel: words[position * BLOCK..].as_ptr(),
                weights: weights.as_ptr(),
                steps: &self.scratch.steps,
                narrow: channels <= L::COUNT,
            };
            // SAFETY: by the first assertion the blocks of all steps lie within the panel for all tiles up to the
            // last, by the second all weights within the packed ones; depths are at most 16. The sums of a tile fit, as
            // asserted when this was compiled.
            unsafe { lanes.product(&tile, self.scratch.tile.as_mut_ptr()) }
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
        let to = &self.pass.to;
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
            let y = row.map(|row| (row.image, row.row as usize * to.phases + oy));
            for column in place.column..place.column + run {
                let Some(sums) = sums.next() else { return };
                let x = column * to.phases + ox;
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
}

/// Row and column of the next sum, counted from the first pixel.
struct Cursor {
    row: usize,
    column: usize,
}
