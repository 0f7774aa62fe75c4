//! Sizes of a convolution, and its fixed partition into pieces of work.

use std::ops::Range;

/// Numbers of one piece's columns, at most, unless a piece would fall below
/// [`MIN_PIXELS`]: 512 kB, half of a usual second-level cache.
const MAX_COLUMNS: usize = 128 * 1024;
/// Pixels of a piece, at least, so that the weights are not streamed for a few pixels.
const MIN_PIXELS: usize = 192;

/// The sizes of one convolution; items are images of the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) items: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl Geometry {
    /// The geometry of `x` (n, c, h, w) and `weight` (o, c, k, k), given their dimensions.
    pub(super) fn new(x: &[usize], weight: &[usize], stride: usize) -> Geometry {
        let (items, channels, height, width) = (x[0], x[1], x[2], x[3]);
        let (outputs, kernel) = (weight[0], weight[2]);
        Geometry { items, channels, height, width, outputs, kernel, stride }
    }

    /// The geometry of the gradient by data, stride 1: channels and outputs change places.
    pub(super) fn transposed(&self) -> Geometry {
        Geometry { channels: self.outputs, outputs: self.channels, ..*self }
    }

    pub(super) fn padding(&self) -> usize {
        self.kernel / 2
    }

    /// Weights per input channel and output channel.
    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Weights per output channel.
    pub(super) fn depth(&self) -> usize {
        self.channels * self.taps()
    }

    pub(super) fn in_pixels(&self) -> usize {
        self.height * self.width
    }

    pub(super) fn out_height(&self) -> usize {
        self.height.div_ceil(self.stride)
    }

    pub(super) fn out_width(&self) -> usize {
        self.width.div_ceil(self.stride)
    }

    pub(super) fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Whether the image itself is the matrix of columns.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1
    }

    /// Rows of the result in one piece of work whose columns come from `channels` channels. It
    /// depends on the layer alone: neither on the threads nor on the size of the batch.
    pub(super) fn rows_per_block(&self, channels: usize) -> usize {
        let pixels = (MAX_COLUMNS / (channels * self.taps()).max(1)).max(MIN_PIXELS);
        (pixels / self.out_width().max(1)).clamp(1, self.out_height().max(1))
    }

    /// The rows of the result in blocks of `size`; the last may be smaller.
    pub(super) fn row_blocks(&self, size: usize) -> impl Iterator<Item = Range<usize>> {
        ranges(self.out_height(), size)
    }
}

/// `0..end` in ranges of `size`; the last may be smaller.
pub(super) fn ranges(end: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..end).step_by(size).map(move |start| start..(start + size).min(end))
}
