//! Sums over the pixels of each image: the launch code of sum_pixels.cu.

use std::ops::Range;

use crate::buffer::{Array, Element, RawBuffer};
use crate::cuda::{Cuda, Parameters, assert_countable, int};
use crate::device::{Device, Kernel};
use disyre_kernels::Extent;
use disyre_kernels::backend::{Columns, FeatureMaps};

/// Pixels of one piece.
const PIECE: usize = 2048;
/// Channels of one block.
const CHANNELS: usize = 32;

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct SumPixels {
    values: Array,
    out: u64,
    pixels: i32,
    pieces: i32,
    channels: i32,
    unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct JoinPieces {
    pieces: u64,
    out: u64,
    by_image: Array,
    images: i32,
    count: i32,
    channels: i32,
    width: i32,
    first: i32,
    unused: i32,
}

// SAFETY: these structures have the layouts of those of the same names in sum_pixels.cu.
unsafe impl Parameters for SumPixels {}
// SAFETY: as above.
unsafe impl Parameters for JoinPieces {}

impl<D: Device> Cuda<D> {
    /// The sums of each channel over the pixels of all images to their place in `out`, and those of each image to
    /// `by_image`.
    pub(crate) fn sum_pixels(
        &self,
        values: &RawBuffer<D>,
        extent: Extent,
        (out, place): (&RawBuffer<D>, &Range<usize>),
        by_image: Option<Columns<&mut FeatureMaps<Self>>>,
    ) {
        let pixels = extent.image_pixels();
        let (channels, count) = (values.len() / extent.pixels(), pixels.div_ceil(PIECE));
        assert_countable(extent, channels);
        let pieces = self.take(Element::F64, extent.count * count * channels);
        let sum = || {
            Ok(SumPixels {
                values: values.array()?,
                out: pieces.address(0)?,
                pixels: int(pixels),
                pieces: int(count),
                channels: int(channels),
                unused: 0,
            })
        };
        let kernel = |name| Kernel { module: "sum_pixels", name };
        let grid = [count, channels.div_ceil(CHANNELS), extent.count];
        self.run(kernel("sum_pixels"), grid, 256, sum);
        let by_image = by_image
            .as_ref()
            .map(|Columns { maps, first }| Columns { maps: &**maps, first: *first });
        if let Some(columns) = &by_image {
            columns.assert_fit(extent.count, channels);
        }
        assert!(place.len() == channels && place.end <= out.len(), "the sums have a place");
        let join = || {
            let (by_image, width, first) = self.columns(by_image)?;
            Ok(JoinPieces {
                pieces: pieces.address(0)?,
                out: out.address(place.start)?,
                by_image,
                images: int(extent.count),
                count: int(count),
                channels: int(channels),
                width,
                first,
                unused: 0,
            })
        };
        self.run(kernel("join_pieces"), [channels.div_ceil(256), 1, 1], 256, join);
    }
}
