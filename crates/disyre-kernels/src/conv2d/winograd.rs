//! 3×3 convolutions by tiles, with fewer products.
//!
//! `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`, for every tile d of the input, of which neighbours share two rows or columns, its
//! pixels Y of the result, and the kernel g. The elementwise product, summed over channels, is one product of matrices
//! for each element of the tile: tiles × inputs times inputs × outputs. The sums of the transformations round more than
//! the plain convolution: a little for tiles of 2×2 pixels, about ten times for 4×4.
//!
//! # Source
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308), sections 4.1 and 4.3.

use super::chunk::Chunk;
use super::lattice::ConvKind;
use super::product::BLOCK;
use super::weights::Way;
use crate::lanes::Vectors;

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
pub(crate) enum Tiling {
    /// 2×2 pixels of the result, from 4×4: 16 products instead of 36.
    Two,
    /// 4×4 pixels of the result, from 6×6: 36 products instead of 144.
    Four,
    /// Of the doubled image 2×2 pixels of the result, from 3×3 pixels before doubling: 9 products instead of 16.
    ///
    /// As [`Two`](Self::Two), which sees rows a, b, b, c: of Bᵀ d one row is 2 b and one is 0.
    Doubled,
}

impl Tiling {
    /// The fastest for a convolution, if any is faster than its taps. By sizes alone, not by how many images there are.
    pub(crate) fn best(
        kind: ConvKind,
        [height, width]: [usize; 2],
        channels: [usize; 2],
        way: Way,
    ) -> Option<Self> {
        if channels.iter().any(|&channels| channels < LEAST_CHANNELS) {
            return None;
        }
        match (kind, height.min(width)) {
            (ConvKind::Conv3x3, 32..) => Some(Self::Four),
            (ConvKind::Conv3x3, LEAST_SIDE..) => Some(Self::Two),
            (ConvKind::Upsampled, LEAST_SIDE..) if way == Way::Forward => Some(Self::Doubled),
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
    pub(crate) fn sums(self, way: Way) -> Vec<Vec<(usize, f32)>> {
        let turned = |i: usize| if way == Way::Transposed { 2 - i } else { i };
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
    pub(crate) fn places(self, chunk: &Chunk) -> impl Iterator<Item = Place> + '_ {
        assert_eq!(
            chunk.images.len(),
            1,
            "images that are cut into tiles have chunks of their own"
        );
        let (rows, step) = (chunk.rows.clone(), self.step());
        rows.step_by(step).flat_map(move |y| {
            let row = (y - chunk.rows.start) * chunk.pitch();
            (0..chunk.width).step_by(step).map(move |x| Place { from: row + x, y, x })
        })
    }

    /// That of the gradient by the weights.
    pub(crate) fn best_backward_filter(
        kind: ConvKind,
        size: [usize; 2],
        channels: [usize; 2],
    ) -> Option<Self> {
        let best = Self::best(kind, size, channels, Way::Forward)?;
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
        places: &[Place],
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
            Self::Two => transform_gradient::<V, 4, 2>(lanes, panel, pixel, out, plane),
            Self::Four => transform_gradient::<V, 6, 4>(lanes, panel, pixel, out, plane),
            Self::Doubled => transform_gradient::<V, 3, 2>(lanes, panel, pixel, out, plane),
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
            Self::Two => input::<V, 4>(lanes, panel, pitch, out, plane),
            Self::Four => input::<V, 6>(lanes, panel, pitch, out, plane),
            Self::Doubled => input::<V, 3>(lanes, panel, pitch, out, plane),
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
            Self::Two => output::<V, 4, 2>(lanes, sums, plane, out, row),
            Self::Four => output::<V, 6, 4>(lanes, sums, plane, out, row),
            Self::Doubled => output::<V, 3, 2>(lanes, sums, plane, out, row),
        }
    }
}

/// Where a tile lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position in the panel of the first pixel that it reads.
    pub(crate) from: usize,
    /// Row and column on the coarse grid of its first result.
    pub(crate) y: usize,
    pub(crate) x: usize,
}

#[inline(always)]
fn input<V: Vectors, const READ: usize>(
    lanes: V,
    panel: &[f32],
    pitch: usize,
    out: &mut [f32],
    plane: usize,
) {
    assert!(panel.len() >= ((READ - 1) * pitch + READ) * BLOCK);
    assert!(out.len() >= (READ * READ - 1) * plane + BLOCK);
    for first in (0..BLOCK).step_by(V::COUNT) {
        let mut rows = [[lanes.zero(); READ]; READ];
        for column in 0..READ {
            let mut d = [lanes.zero(); READ];
            for (row, d) in d.iter_mut().enumerate() {
                // SAFETY: as just asserted, `READ` rows of `READ` positions lie within the panel.
                *d = unsafe {
                    lanes.load(panel.as_ptr().add((row * pitch + column) * BLOCK + first))
                };
            }
            rows.iter_mut().zip(differences(lanes, d)).for_each(|(row, d)| row[column] = d);
        }
        for (row, values) in rows.into_iter().enumerate() {
            for (column, value) in differences(lanes, values).into_iter().enumerate() {
                let at = (READ * row + column) * plane + first;
                // SAFETY: as asserted, `out` has a block of each matrix.
                unsafe { lanes.store(value, out.as_mut_ptr().add(at)) }
            }
        }
    }
}

/// `Bᵀ d`.
#[inline(always)]
fn differences<V: Vectors, const READ: usize>(lanes: V, d: [V::Vector; READ]) -> [V::Vector; READ] {
    let of = |factor: f32, a, b| lanes.fma(lanes.constant(factor), a, b);
    let mut out = d;
    match READ {
        3 => {
            out[0] = lanes.sub(d[0], d[1]);
            out[2] = lanes.sub(d[1], d[2]);
        }
        4 => {
            out[0] = lanes.sub(d[0], d[2]);
            out[1] = lanes.add(d[1], d[2]);
            out[2] = lanes.sub(d[2], d[1]);
            out[3] = lanes.sub(d[1], d[3]);
        }
        _ => {
            let (even, odd) = (of(-4.0, d[2], d[4]), of(-4.0, d[1], d[3]));
            let (outer, inner) = (lanes.sub(d[4], d[2]), lanes.sub(d[3], d[1]));
            out[0] = of(4.0, lanes.sub(d[0], d[2]), outer);
            out[1] = lanes.add(even, odd);
            out[2] = lanes.sub(even, odd);
            out[3] = of(2.0, inner, outer);
            out[4] = of(-2.0, inner, outer);
            out[5] = of(-4.0, inner, lanes.sub(d[5], d[3]));
        }
    }
    out
}

#[inline(always)]
fn output<V: Vectors, const READ: usize, const SIDE: usize>(
    lanes: V,
    sums: &[f32],
    plane: usize,
    out: &mut [f32],
    row: usize,
) {
    assert!(sums.len() >= (READ * READ - 1) * plane + V::COUNT);
    assert!(out.len() >= (SIDE * SIDE - 1) * row + V::COUNT);
    let mut rows = [[lanes.zero(); READ]; SIDE];
    for column in 0..READ {
        let mut m = [lanes.zero(); READ];
        for (row, m) in m.iter_mut().enumerate() {
            // SAFETY: as just asserted, a vector of each matrix lies within the sums.
            *m = unsafe { lanes.load(sums.as_ptr().add((READ * row + column) * plane)) };
        }
        let m = joined::<V, READ, SIDE>(lanes, m);
        rows.iter_mut().zip(m).for_each(|(row, m)| row[column] = m);
    }
    for (y, values) in rows.into_iter().enumerate() {
        for (x, value) in joined::<V, READ, SIDE>(lanes, values).into_iter().enumerate() {
            // SAFETY: as asserted, `out` has a vector of each pixel.
            unsafe { lanes.store(value, out.as_mut_ptr().add((SIDE * y + x) * row)) }
        }
    }
}

#[inline(always)]
fn transform_gradient<V: Vectors, const READ: usize, const SIDE: usize>(
    lanes: V,
    panel: &[f32],
    pixel: impl Fn(usize, usize) -> Option<usize>,
    out: &mut [f32],
    plane: usize,
) {
    assert!(out.len() >= (READ * READ - 1) * plane + BLOCK);
    for first in (0..BLOCK).step_by(V::COUNT) {
        let mut rows = [[lanes.zero(); SIDE]; READ];
        for column in 0..SIDE {
            let mut y = [lanes.zero(); SIDE];
            for (row, y) in y.iter_mut().enumerate() {
                if let Some(at) = pixel(row, column) {
                    let values = &panel[at + first..][..V::COUNT];
                    // SAFETY: it has a vector's length.
                    *y = unsafe { lanes.load(values.as_ptr()) };
                }
            }
            let y = times_a::<V, READ, SIDE>(lanes, y);
            rows.iter_mut().zip(y).for_each(|(row, y)| row[column] = y);
        }
        for (row, values) in rows.into_iter().enumerate() {
            let values = times_a::<V, READ, SIDE>(lanes, values);
            for (column, value) in values.into_iter().enumerate() {
                let at = (READ * row + column) * plane + first;
                // SAFETY: as asserted, `out` has a block of each matrix.
                unsafe { lanes.store(value, out.as_mut_ptr().add(at)) }
            }
        }
    }
}

/// `A y`.
#[inline(always)]
fn times_a<V: Vectors, const READ: usize, const SIDE: usize>(
    lanes: V,
    y: [V::Vector; SIDE],
) -> [V::Vector; READ] {
    let of = |factor: f32, a, b| lanes.fma(lanes.constant(factor), a, b);
    let mut out = [y[0]; READ];
    match READ {
        3 => {
            out[1] = lanes.add(y[0], y[1]);
            out[2] = lanes.sub(lanes.zero(), y[1]);
        }
        4 => {
            out[1] = lanes.add(y[0], y[1]);
            out[2] = lanes.sub(y[0], y[1]);
            out[3] = lanes.sub(lanes.zero(), y[1]);
        }
        _ => {
            let (even, odd) = (lanes.add(y[0], y[2]), lanes.add(y[1], y[3]));
            let far = of(4.0, y[2], y[0]);
            let far_odd = of(4.0, y[3], y[1]);
            out[1] = lanes.add(even, odd);
            out[2] = lanes.sub(even, odd);
            out[3] = of(2.0, far_odd, far);
            out[4] = of(-2.0, far_odd, far);
            out[5] = y[3];
        }
    }
    out
}

/// `Aᵀ m`.
#[inline(always)]
fn joined<V: Vectors, const READ: usize, const SIDE: usize>(
    lanes: V,
    m: [V::Vector; READ],
) -> [V::Vector; SIDE] {
    let of = |factor: f32, a, b| lanes.fma(lanes.constant(factor), a, b);
    let mut out = [lanes.zero(); SIDE];
    match READ {
        3 => {
            out[0] = lanes.add(m[0], m[1]);
            out[1] = lanes.sub(m[1], m[2]);
        }
        4 => {
            out[0] = lanes.add(lanes.add(m[0], m[1]), m[2]);
            out[1] = lanes.sub(lanes.sub(m[1], m[2]), m[3]);
        }
        _ => {
            let (near, near_odd) = (lanes.add(m[1], m[2]), lanes.sub(m[1], m[2]));
            let (far, far_odd) = (lanes.add(m[3], m[4]), lanes.sub(m[3], m[4]));
            out[0] = lanes.add(lanes.add(m[0], near), far);
            out[1] = of(2.0, far_odd, near_odd);
            out[2] = of(4.0, far, near);
            out[3] = lanes.add(of(8.0, far_odd, near_odd), m[5]);
        }
    }
    out
}
