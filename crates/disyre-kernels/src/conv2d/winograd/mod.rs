//! 3×3 convolutions by tiles, with fewer products.
//!
//! `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`, for every tile d of the input, of which neighbours share two rows or columns, its
//! pixels Y of the result, and the kernel g. The elementwise product, summed over channels, is one product of matrices
//! for each element of the tile: tiles × inputs times inputs × outputs. The sums of the transformations round more than
//! the plain convolution: a little for tiles of 2×2 pixels, about ten times for 4×4.
//!
//! # Source
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308), sections 4.1 and 4.3.

mod transforms;

use super::chunk::Chunk;
use super::kind::{ConvKind, Direction};
use crate::lanes::{BLOCK, Vectors};

/// Channels below which the transformations cost more than they save.
const LEAST_CHANNELS: usize = 16;
/// Height and width below which reading more matrices costs what the products save.
const LEAST_SIDE: usize = 8;
/// Words of transformed input that stay in the second-level cache beside products and weights.
const STRIP_WORDS: usize = 64 * 1024;

/// Words of the sums of one gradient by the weights that stay in the second-level cache.
const CACHED_SUMS: usize = 400 * 1024;

/// Sizes of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WinogradTiling {
    /// 2×2 pixels of the result, from 4×4: 16 products instead of 36.
    Two,
    /// 4×4 pixels of the result, from 6×6: 36 products instead of 144.
    Four,
    /// Of the doubled image 2×2 pixels of the result, from 3×3 pixels before doubling: 9 products instead of 16.
    ///
    /// As [`Two`](Self::Two), which sees rows a, b, b, c: of Bᵀ d one row is 2 b and one is 0.
    Doubled,
}

impl WinogradTiling {
    /// The fastest for a convolution, if any is faster than its taps. By sizes alone, not by how many images there are.
    pub(crate) fn best(
        kind: ConvKind,
        [height, width]: [usize; 2],
        channels: [usize; 2],
        direction: Direction,
    ) -> Option<Self> {
        if channels.iter().any(|&channels| channels < LEAST_CHANNELS) {
            return None;
        }
        match (kind, height.min(width)) {
            (ConvKind::Conv3x3, 32..) => Some(Self::Four),
            (ConvKind::Conv3x3, LEAST_SIDE..) => Some(Self::Two),
            (ConvKind::Upsampled, LEAST_SIDE..) if direction == Direction::Forward => {
                Some(Self::Doubled)
            }
            _ => None,
        }
    }

    /// Positions read along a side.
    pub(crate) fn read(self) -> usize {
        match self {
            Self::Two => 4,
            Self::Four => 6,
            Self::Doubled => 3,
        }
    }

    /// Products of matrices.
    pub(crate) fn matrices(self) -> usize {
        self.read() * self.read()
    }

    /// Pixels of the result along a side.
    pub(crate) fn side(self) -> usize {
        if self == Self::Four { 4 } else { 2 }
    }

    /// Positions from one tile to the next.
    fn step(self) -> usize {
        self.read() - 2
    }

    /// Tiles that are transformed at a time: a multiple of those that are multiplied at a time.
    pub(crate) fn strip(self, blocks: usize, rows: usize) -> usize {
        (STRIP_WORDS / (self.matrices() * blocks * BLOCK)).clamp(16, 64).next_multiple_of(rows)
    }

    /// G.
    fn kernel(self) -> &'static [[f32; 3]] {
        const TWO: [[f32; 3]; 4] =
            [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
        const FOUR: [[f32; 3]; 6] = [
            [1.0 / 4.0, 0.0, 0.0],
            [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
            [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
            [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
            [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
            [0.0, 0.0, 1.0],
        ];
        const DOUBLED: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]];
        match self {
            Self::Two => &TWO,
            Self::Four => &FOUR,
            Self::Doubled => &DOUBLED,
        }
    }

    /// For each matrix the weights, as indices into the kernel, that it is a sum of, with their factors. The gradient
    /// by the input has the kernel turned by half a circle.
    pub(crate) fn sums(self, direction: Direction) -> Vec<Vec<(usize, f32)>> {
        let turned = |i: usize| if direction == Direction::BackwardData { 2 - i } else { i };
        let square = |n: usize| (0..n).flat_map(move |y| (0..n).map(move |x| (y, x)));
        let kernel = self.kernel();
        let factor = |(i, j): (usize, usize), (u, v)| kernel[i][turned(u)] * kernel[j][turned(v)];
        let all = |matrix| square(3).map(move |(u, v)| (3 * u + v, factor(matrix, (u, v))));
        let nonzero = |matrix| all(matrix).filter(|&(_, factor)| factor != 0.0).collect();
        square(self.read()).map(nonzero).collect()
    }

    /// All tiles of a chunk.
    ///
    /// # Panics
    /// If the chunk has several images: a tile over the last rows of one would read the next, and though what it reads
    /// cancels, the last bits of a result would depend on the neighbour. Images that share a chunk are smaller than
    /// [`LEAST_SIDE`].
    pub(crate) fn places(self, chunk: &Chunk) -> impl Iterator<Item = TileOrigin> + '_ {
        assert_eq!(
            chunk.images.len(),
            1,
            "images that are cut into tiles have chunks of their own"
        );
        let (rows, step) = (chunk.rows.clone(), self.step());
        rows.step_by(step).flat_map(move |y| {
            let row = (y - chunk.rows.start) * chunk.pitch();
            (0..chunk.width).step_by(step).map(move |x| TileOrigin { from: row + x, y, x })
        })
    }

    /// The fastest for the gradient by the weights.
    pub(crate) fn best_backward_filter(
        kind: ConvKind,
        size: [usize; 2],
        channels: [usize; 2],
    ) -> Option<Self> {
        let best = Self::best(kind, size, channels, Direction::Forward)?;
        let sums = best.matrices() * channels[0] * channels[1];
        Some(if best == Self::Four && sums > CACHED_SUMS { Self::Two } else { best })
    }

    /// Transforms the input of some tiles, from a panel whose blocks of channels are `of_block` words each:
    /// (matrix, block of channels, tile, channel), with room for `room` tiles.
    #[inline(always)]
    pub(crate) fn transform<V: Vectors>(
        self,
        lanes: V,
        (panel, of_block, pitch): (&[f32], usize, usize),
        places: &[TileOrigin],
        out: &mut [f32],
        room: usize,
    ) {
        let blocks = panel.len() / of_block;
        for (block, panel) in panel.chunks_exact(of_block).enumerate() {
            for (index, place) in places.iter().enumerate() {
                let out = &mut out[(block * room + index) * BLOCK..];
                let from = &panel[place.from * BLOCK..];
                self.input(lanes, from, pitch, out, blocks * room * BLOCK);
            }
        }
    }

    /// `A y Aᵀ` of one block of channels of the gradient y by the pixels of a tile: matrix k goes to `out[k · plane..]`.
    /// `pixel(i, j)` is where one pixel's block lies; none outside the image.
    #[inline(always)]
    pub(crate) fn transform_gradient<V: Vectors>(
        self,
        lanes: V,
        panel: &[f32],
        pixel: impl Fn(usize, usize) -> Option<usize>,
        out: &mut [f32],
        plane: usize,
    ) {
        match self {
            Self::Two => transforms::transform_gradient::<V, 4, 2>(lanes, panel, pixel, out, plane),
            Self::Four => {
                transforms::transform_gradient::<V, 6, 4>(lanes, panel, pixel, out, plane);
            }
            Self::Doubled => {
                transforms::transform_gradient::<V, 3, 2>(lanes, panel, pixel, out, plane);
            }
        }
    }

    /// `Bᵀ d B` of one block of channels, from the panel's positions of the tile on: matrix k goes to
    /// `out[k · plane..]`.
    #[inline(always)]
    fn input<V: Vectors>(
        self,
        lanes: V,
        panel: &[f32],
        pitch: usize,
        out: &mut [f32],
        plane: usize,
    ) {
        match self {
            Self::Two => transforms::input::<V, 4>(lanes, panel, pitch, out, plane),
            Self::Four => transforms::input::<V, 6>(lanes, panel, pitch, out, plane),
            Self::Doubled => transforms::input::<V, 3>(lanes, panel, pitch, out, plane),
        }
    }

    /// `Aᵀ m A` of one vector: matrix k lies at `sums[k · plane..]`, pixel k goes to `out[k · row..]`.
    #[inline(always)]
    pub(crate) fn output<V: Vectors>(
        self,
        lanes: V,
        sums: &[f32],
        plane: usize,
        out: &mut [f32],
        row: usize,
    ) {
        match self {
            Self::Two => transforms::output::<V, 4, 2>(lanes, sums, plane, out, row),
            Self::Four => transforms::output::<V, 6, 4>(lanes, sums, plane, out, row),
            Self::Doubled => transforms::output::<V, 3, 2>(lanes, sums, plane, out, row),
        }
    }
}

/// Position of a tile in its panel and on the coarse grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileOrigin {
    /// Position in the panel of the first pixel that it reads.
    pub(crate) from: usize,
    /// Row and column on the coarse grid of its first result.
    pub(crate) y: usize,
    pub(crate) x: usize,
}
