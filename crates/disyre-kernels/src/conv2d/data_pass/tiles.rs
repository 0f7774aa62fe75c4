//! The convolution tile by tile: transformed input times matrices, transformed back.

use std::ops::Range;

use super::super::winograd::WinogradTiling;
use super::task::{DataPass, Scratch, Task};
use crate::lanes::{BLOCK, DepthBlock, Lanes, ProductBlock, VECTORS};

/// Tiles that are transformed together.
struct Strip {
    tiling: WinogradTiling,
    /// Which of the chunk's tiles.
    places: Range<usize>,
    /// Tiles for which there is memory.
    room: usize,
}

impl Task<'_> {
    /// The result tile by tile.
    #[inline(always)]
    pub(super) fn multiply_tiles<L: Lanes>(&mut self, lanes: L, tiling: WinogradTiling) {
        let weights = self.pass.weights;
        let strip = tiling.strip(weights.blocks, L::ROWS);
        // Room for a block of products that reaches beyond the last tile.
        let room = strip + L::ROWS;
        let scratch = &mut *self.scratch;
        let len = tiling.matrices() * weights.blocks * room * BLOCK;
        scratch.transformed.set_len(len);
        let len = tiling.matrices() * room * VECTORS * L::COUNT;
        scratch.products.set_len(len);
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
        let DataPass { weights, from, .. } = self.pass;
        let row = VECTORS * L::COUNT;
        let Scratch { steps, transformed, products, .. } = &mut *self.scratch;
        let plane = strip.room * BLOCK;
        steps.clear();
        steps.extend((0..weights.blocks).map(|depth| DepthBlock {
            panel: (matrix * weights.blocks + depth) * plane,
            weights: weights.step(0, matrix, depth),
            depth: (from.channels - depth * BLOCK).min(BLOCK),
        }));
        let columns = weights.columns(block);
        let products = &mut products[matrix * strip.room * row..][..strip.room * row];
        assert!(strip.places.len() + L::ROWS <= strip.room);
        assert!(transformed.len() >= (matrix + 1) * weights.blocks * plane);
        let last = weights.step(0, matrix, weights.blocks - 1);
        assert!(last + row * BLOCK <= columns.len(), "all steps have weights");
        for tile in (0..strip.places.len()).step_by(L::ROWS) {
            let product = ProductBlock {
                panel: transformed[tile * BLOCK..].as_ptr(),
                weights: columns.as_ptr(),
                steps,
                narrow: self.pass.to.channels - block * row <= L::COUNT,
            };
            // SAFETY: as just asserted, planes of `room` tiles lie within the transformed input for every step, and its
            // weights within the packed ones; depths are at most 16. `ROWS` tiles from this one on are less than
            // `room`, so the sums have room for as many rows of two vectors.
            unsafe { lanes.product(&product, products[tile * row..].as_mut_ptr()) }
        }
    }

    /// Transforms the products of a strip into pixels, and writes them.
    #[inline(always)]
    fn join<L: Lanes>(&mut self, lanes: L, strip: &Strip, block: usize) {
        let to = &self.pass.to;
        let row = VECTORS * L::COUNT;
        let channels = block * row..((block + 1) * row).min(to.channels);
        let (plane, side) = (strip.room * row, strip.tiling.side());
        let (end_y, end_x) = ((self.chunk.rows.end * to.phases).min(to.height), to.width);
        for (index, at) in strip.places.clone().enumerate() {
            let Scratch { products, tile, places, .. } = &mut *self.scratch;
            let place = places[at];
            for vector in 0..channels.len().div_ceil(L::COUNT) {
                let from = &products[index * row + vector * L::COUNT..];
                let out = &mut tile[vector * L::COUNT..];
                strip.tiling.output(lanes.floats(), from, plane, out, row);
            }
            let (first_y, first_x) = (place.y * to.phases, place.x * to.phases);
            for (i, y) in (first_y..end_y.min(first_y + side)).enumerate() {
                for (j, x) in (first_x..end_x.min(first_x + side)).enumerate() {
                    let sums = &self.scratch.tile[(i * side + j) * row..][..row];
                    self.write(
                        lanes,
                        self.chunk.images.start,
                        y * to.width + x,
                        channels.clone(),
                        sums,
                    );
                }
            }
        }
    }
}
