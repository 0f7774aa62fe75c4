//! The products over positions, tap by tap, of `f32`.

use super::super::chunk::Chunk;
use super::products::Products;
use super::task::{Task, padded};
use crate::lanes::{BLOCK, Lanes, VECTORS};

/// Positions of `f32` that stay in the first-level cache.
const POSITIONS: usize = 192;

impl Task<'_> {
    /// Adds the products over the positions of a chunk to the sums (matrix, input, column).
    #[inline(always)]
    pub(super) fn multiply<L: Lanes>(&self, lanes: L, chunk: &Chunk, sums: &mut [f32]) {
        let (inputs, side) = (&self.pass.input, self.gradient_side());
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
}
