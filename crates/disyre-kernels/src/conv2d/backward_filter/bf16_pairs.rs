//! The products in bf16, over pairs of positions.

use super::super::bf16_panel;
use super::super::chunk::Chunk;
use super::task::{BackwardFilter, Task, padded};
use crate::lanes::{BLOCK, Lanes, OuterBlock, VECTORS};

impl Task<'_> {
    /// Turns both panels into pairs of positions.
    #[inline(always)]
    pub(super) fn pair_positions(&mut self, chunk: &Chunk) {
        let BackwardFilter { input, compute, .. } = self.pass;
        let (side, terms) = (self.gradient_side(), compute.terms());
        let scratch = &mut *self.scratch;
        let len = bf16_panel::position_pairs_len(input, chunk, terms);
        scratch.input_pairs.set_len(len);
        bf16_panel::position_pairs(input, chunk, &scratch.input, &mut scratch.input_pairs);
        let len = bf16_panel::result_pairs_len(&side, chunk, terms);
        scratch.gradient_pairs.set_len(len);
        bf16_panel::result_position_pairs(
            &side,
            chunk,
            &scratch.gradient,
            &mut scratch.gradient_pairs,
        );
    }

    /// Adds the products over the pairs of positions of a chunk to the sums (matrix, input, column).
    #[inline(always)]
    pub(super) fn multiply_pairs<L: Lanes>(&self, lanes: L, chunk: &Chunk, sums: &mut [f32]) {
        let (inputs, side) = (&self.pass.input, self.gradient_side());
        let (height, width) = (padded(inputs.channels), side.channels);
        let (row, count) = (bf16_panel::paired_row(chunk), bf16_panel::result_pairs(chunk));
        assert!(count.is_multiple_of(16), "rows of pairs are filled up");
        let plane = count * BLOCK;
        let (x, g) = (&self.scratch.input_pairs, &self.scratch.gradient_pairs);
        for column in (0..self.columns.len()).step_by(VECTORS * BLOCK) {
            for tap in self.taps {
                for channel in (0..inputs.channels).step_by(L::OUTER_ROWS) {
                    let sums = &mut sums[(tap.matrix * height + channel) * width + column..];
                    for &(x_term, g_term) in self.pass.compute.products() {
                        let x_row = (x_term * inputs.grids() + tap.from) * height + channel;
                        let g_block =
                            (g_term * side.grids() + tap.to) * width / BLOCK + column / BLOCK;
                        let (x, g) = (&x[x_row * row..], &g[g_block * plane..]);
                        let position = chunk.shifted(tap.dy, tap.dx);
                        let outer = OuterBlock {
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
                        unsafe { lanes.outer_product(&outer) }
                    }
                }
            }
        }
    }
}
