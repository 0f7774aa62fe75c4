//! The parameters of lattice.cuh: how a convolution's positions are cut into tiles.

use disyre_kernels::{ConvKind, Convolution, Direction, Extent};

use crate::cuda::{assert_countable, int};

const MOST_TAPS: usize = 16;
const MOST_GRIDS: usize = 4;
/// Positions of a tile, as an exponent.
const TILE: u32 = 7;
/// Least height and width of a tile, as exponents: smaller images leave some of it unused.
const LEAST_SIDE: u32 = 2;
/// Pixels of the largest patch.
const MOST_PATCH: i32 = 8 * 6 * 6;

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Side {
    /// Sub-grids along each axis: 2 on the fine side of a convolution that changes the resolution, else 1.
    pub(crate) grids_per_axis: i32,
    height: i32,
    width: i32,
    pub(crate) channels: i32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Tap {
    matrix: i32,
    dy: i32,
    dx: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Lattice {
    images: i32,
    height: i32,
    width: i32,
    tile_images: i32,
    tile_height: i32,
    tile_width: i32,
    patch_top: i32,
    patch_left: i32,
    patch_height: i32,
    patch_width: i32,
    taps: [Tap; MOST_TAPS],
    first_tap: [i32; MOST_GRIDS * MOST_GRIDS + 1],
}

/// A convolution on images of some size, cut into tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GpuTiling {
    pub(crate) lattice: Lattice,
    /// The side that is read, and the one that is written.
    pub(crate) sides: [Side; 2],
}

impl GpuTiling {
    /// `extent` is the input's, whichever direction.
    ///
    /// # Panics
    /// If there are no images or channels, or more than kernels count.
    pub(crate) fn new(layer: &Convolution, extent: Extent, direction: Direction) -> Self {
        let Convolution { inputs, outputs, .. } = *layer;
        assert_countable(extent, inputs);
        let weights = inputs.checked_mul(outputs).filter(|&weights| weights > 0);
        assert!(extent.pixels() > 0 && weights.is_some(), "there are images and channels");
        // As many as kernels count, too.
        assert_countable(Extent { count: inputs, height: 1, width: outputs }, 1);
        let [input, output] = layer.kind.phases();
        let [height, width] = layer.kind.output_size([extent.height, extent.width]);
        let result = Extent { height, width, ..extent };
        assert_countable(result, outputs);
        let sides = [side(input, extent, layer.inputs), side(output, result, layer.outputs)];
        let coarse = if input == 1 { extent } else { result };
        let lattice = Lattice::new(layer.kind, coarse, direction);
        match direction {
            Direction::Forward => Self { lattice, sides },
            Direction::BackwardData => Self { lattice, sides: [sides[1], sides[0]] },
        }
    }

    /// Tiles of one image, or of the few that share them.
    pub(crate) fn tiles_of_image(&self) -> usize {
        let across = |size: i32, exponent: i32| (size as usize).div_ceil(1 << exponent);
        let Lattice { height, width, tile_height, tile_width, .. } = self.lattice;
        across(height, tile_height) * across(width, tile_width)
    }

    pub(crate) fn tiles(&self) -> usize {
        self.images().div_ceil(1 << self.lattice.tile_images) * self.tiles_of_image()
    }

    pub(crate) fn images(&self) -> usize {
        self.lattice.images as usize
    }

    /// Numbers of one side.
    pub(crate) fn len(&self, side: usize) -> usize {
        let Side { height, width, channels, .. } = self.sides[side];
        self.images()
            * [height, width, channels].map(|size| size as usize).iter().product::<usize>()
    }

    /// Sub-grids of what is written.
    pub(crate) fn grids(&self) -> usize {
        (self.sides[1].grids_per_axis * self.sides[1].grids_per_axis) as usize
    }
}

fn side(grids_per_axis: usize, extent: Extent, channels: usize) -> Side {
    Side {
        grids_per_axis: int(grids_per_axis),
        height: int(extent.height),
        width: int(extent.width),
        channels: int(channels),
    }
}

/// The exponents of a tile's images, height and width: as wide as the images are up to 16, then as high.
fn tile(height: usize, width: usize) -> [u32; 3] {
    let exponent = |size: usize| size.next_power_of_two().ilog2();
    let across = exponent(width).clamp(LEAST_SIDE, 4);
    let down = exponent(height).clamp(LEAST_SIDE, TILE - across);
    [TILE - across - down, down, across]
}

impl Lattice {
    fn new(kind: ConvKind, coarse: Extent, direction: Direction) -> Self {
        let taps = kind.taps();
        let mut sorted: Vec<_> = taps
            .into_iter()
            .map(|tap| if direction == Direction::Forward { tap } else { tap.transposed() })
            .collect();
        sorted.sort_by_key(|tap| (tap.to, tap.from, tap.matrix));
        let mut taps = [Tap::default(); MOST_TAPS];
        let mut first_tap = [0; MOST_GRIDS * MOST_GRIDS + 1];
        for (to, tap) in taps.iter_mut().zip(&sorted) {
            *to = Tap { matrix: int(tap.matrix), dy: tap.dy as i32, dx: tap.dx as i32 };
            first_tap[tap.to * MOST_GRIDS + tap.from + 1..].iter_mut().for_each(|at| *at += 1);
        }
        let range = |of: fn(&Tap) -> i32| {
            let (least, most) = (taps.iter().map(of).min(), taps.iter().map(of).max());
            (least.unwrap_or(0).min(0), most.unwrap_or(0).max(0))
        };
        let ((top, bottom), (left, right)) = (range(|tap| tap.dy), range(|tap| tap.dx));
        let [tile_images, tile_height, tile_width] =
            tile(coarse.height, coarse.width).map(|exponent| exponent as i32);
        let patch_height = (1 << tile_height) + bottom - top;
        let patch_width = (1 << tile_width) + right - left;
        assert!(
            (patch_height * patch_width) << tile_images <= MOST_PATCH,
            "a patch fits shared memory"
        );
        Self {
            images: int(coarse.count),
            height: int(coarse.height),
            width: int(coarse.width),
            tile_images,
            tile_height,
            tile_width,
            patch_top: top,
            patch_left: left,
            patch_height,
            patch_width,
            taps,
            first_tap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_has_128_positions_and_its_patch_fits() {
        for height in 1..200 {
            for width in [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 128, 175] {
                let [images, down, across] = tile(height, width);
                assert_eq!(images + down + across, TILE, "{height} x {width}");
                let patch = (((1 << down) + 2) * ((1 << across) + 2)) << images;
                assert!(patch <= MOST_PATCH, "{height} x {width}: {patch}");
                // A partial sum over 16 rows never covers two images.
                assert!(down + across >= 4);
            }
        }
    }

    #[test]
    fn taps_are_found_by_their_two_sub_grids() {
        for kind in [ConvKind::Pointwise, ConvKind::Conv3x3, ConvKind::Strided, ConvKind::Upsampled]
        {
            for direction in [Direction::Forward, Direction::BackwardData] {
                let coarse = Extent { count: 1, height: 4, width: 4 };
                let lattice = Lattice::new(kind, coarse, direction);
                let mut seen = 0;
                for tap in kind.taps() {
                    let tap = if direction == Direction::Forward { tap } else { tap.transposed() };
                    let place = tap.to * MOST_GRIDS + tap.from;
                    let [first, end] = [place, place + 1].map(|i| lattice.first_tap[i] as usize);
                    let between = &lattice.taps[first..end];
                    assert!(between.iter().any(|found| found.matrix as usize == tap.matrix
                        && (found.dy as isize, found.dx as isize) == (tap.dy, tap.dx)));
                    seen += 1;
                }
                assert_eq!(lattice.first_tap[MOST_GRIDS * MOST_GRIDS], seen);
            }
        }
    }
}
