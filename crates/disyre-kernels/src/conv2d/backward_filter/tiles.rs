//! The products over transformed tiles.

use super::super::chunk::Chunk;
use super::super::lattice::Side;
use super::super::winograd::{TileOrigin, WinogradTiling};
use super::products::Products;
use super::task::{Task, padded};
use crate::lanes::{BLOCK, Lanes, VECTORS};

impl Task<'_> {
    /// Adds the products over the tiles of a chunk to the sums (matrix, input, column).
    #[inline(always)]
    pub(super) fn multiply_tiles<L: Lanes>(
        &mut self,
        lanes: L,
        tiling: WinogradTiling,
        chunk: &Chunk,
        sums: &mut [f32],
    ) {
        let (inputs, side) = (self.pass.input, self.gradient_side());
        let [x_blocks, g_blocks] = [&inputs, &side].map(|side| side.channels.div_ceil(BLOCK));
        let room = tiling.strip(x_blocks.max(g_blocks), L::ROWS);
        let scratch = &mut *self.scratch;
        scratch.input_tiles.set_len(tiling.matrices() * x_blocks * room * BLOCK);
        scratch.gradient_tiles.set_len(tiling.matrices() * g_blocks * room * BLOCK);
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
        tiling: WinogradTiling,
        places: &[TileOrigin],
        out: &mut [f32],
        room: usize,
    ) {
        let Self { chunk, side, .. } = *self;
        let (blocks, phases) = (side.channels / BLOCK, side.phases);
        let plane = chunk.panel_positions() * BLOCK;
        let end_y = (chunk.rows.end * phases).min(side.height);
        for block in 0..blocks {
            for (index, place) in places.iter().enumerate() {
                let pixel = |i: usize, j: usize| {
                    let (y, x) = (place.y * phases + i, place.x * phases + j);
                    let grid = i % phases * phases + j % phases;
                    let first = place.from + chunk.first();
                    let position = first + i / phases * chunk.pitch() + j / phases;
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
