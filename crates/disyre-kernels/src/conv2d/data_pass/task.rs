//! A pass over data, cut into tasks: their inputs, their memory, and how a task writes its results.

use std::ops::Range;

use super::super::chunk::Chunk;
use super::super::input::{ConvInput, InputTransform};
use super::super::lattice::{Side, Tap};
use super::super::weights::Packed;
use super::super::winograd::TileOrigin;
use crate::lanes::{DepthBlock, Lanes, Registers, Vectors};
use crate::shared_slice::SharedSlice;
use crate::{Buffer, Compute, Pool};

/// Room for the sums of one block of products: 32 positions of 32 outputs.
pub(super) const BLOCK_SUMS: usize = 1024;

/// A product of images with packed weights: a convolution, or its backward pass by the data.
pub(crate) struct DataPass<'a> {
    pub(crate) compute: &'a Compute,
    pub(crate) pool: &'a Pool,
    pub(crate) images: usize,
    pub(crate) taps: &'a [Tap],
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) source: ConvInput<'a>,
    pub(crate) weights: &'a Packed,
    /// Value that each channel of each image starts from, `(n, c)`.
    pub(crate) start: &'a [f32],
    pub(crate) addend: Addend<'a>,
    pub(crate) finish: Finish<'a>,
}

/// Addend of the sums of products.
#[derive(Clone, Copy)]
pub(crate) enum Addend<'a> {
    Nothing,
    /// Images of the shape of the result.
    Images(&'a [f32]),
    /// The values that the result's memory holds.
    Result,
}

/// One piece of work: a chunk of images and some blocks of the result's channels.
pub(super) struct Task<'a> {
    pub(super) pass: &'a DataPass<'a>,
    pub(super) chunk: &'a Chunk,
    pub(super) blocks: Range<usize>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a SharedSlice<'a>,
}

/// Memory of one thread.
pub(super) struct Scratch {
    pub(super) panel: Buffer,
    pub(super) pairs: Buffer,
    pub(super) tile: Buffer,
    pub(super) steps: Vec<DepthBlock>,
    /// Tiles, their transformed input, and sums of products.
    pub(super) places: Vec<TileOrigin>,
    pub(super) transformed: Buffer,
    pub(super) products: Buffer,
}

/// Work on each piece of the result while it is in the cache.
#[derive(Clone, Copy)]
pub(crate) enum Finish<'a> {
    Nothing,
    /// Mean and sum of squared deviations of each channel of each image.
    Moments,
    /// The result is the gradient by a transformed source: it becomes the gradient before SiLU, and summed up.
    ThroughNorm(ThroughNorm<'a>),
}

/// A normalised source `z = scale · x + shift`, `ẋ = rstd · x + offset`, all `(n, c)`.
#[derive(Clone, Copy)]
pub(crate) struct ThroughNorm<'a> {
    pub(crate) source: ConvInput<'a>,
    pub(crate) transform: InputTransform<'a>,
    pub(crate) rstd: &'a [f32],
    pub(crate) offset: &'a [f32],
}

/// Statistics that [`Finish`] asks for: two numbers for each channel of each image, `(n, c)`.
pub(crate) type ChannelStats = Vec<[f64; 2]>;

impl Scratch {
    pub(super) fn new(pool: &Pool) -> Self {
        let empty = || pool.take(0);
        Self {
            panel: empty(),
            pairs: empty(),
            tile: pool.take(BLOCK_SUMS),
            steps: Vec::new(),
            places: Vec::new(),
            transformed: empty(),
            products: empty(),
        }
    }
}

impl Task<'_> {
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
        let DataPass { to, start, addend, .. } = self.pass;
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
