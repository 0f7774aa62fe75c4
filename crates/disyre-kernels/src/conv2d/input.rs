//! Input of a convolution, and how its values are transformed while they are read.

use crate::activation::{fma, silu};
use crate::lanes::{BLOCK, Lanes};

/// Input of a convolution: images of one size side by side in channels, transformed as they are read if asked for.
///
/// # Shapes and units
/// Each part is `(n, h, w, c)` with its own c.
#[doc(alias = "Source")]
#[derive(Debug, Clone, Copy)]
pub struct ConvInput<'a> {
    /// Values and channels of each part.
    pub parts: &'a [InputPart<'a>],
    /// Transformation of each value before it is multiplied.
    pub transform: Option<InputTransform<'a>>,
}

/// One part of an input: images `(n, h, w, c)`, or some of their channels.
#[doc(alias = "Part")]
#[derive(Debug, Clone, Copy)]
pub struct InputPart<'a> {
    /// The values.
    pub values: &'a [f32],
    /// c.
    pub stride: usize,
    /// First channel of the part.
    pub first: usize,
    /// Channels of the part.
    pub channels: usize,
}

impl<'a> InputPart<'a> {
    /// All channels.
    pub fn new(values: &'a [f32], channels: usize) -> Self {
        Self { values, stride: channels, first: 0, channels }
    }
}

/// Transformation of an input: `z = scale · x + shift`, then, if asked for, SiLU: `z / (1 + e^−z)`.
#[doc(alias = "Transform")]
#[derive(Debug, Clone, Copy)]
pub struct InputTransform<'a> {
    /// `(n, c)`, c over all parts.
    pub scale: &'a [f32],
    /// `(n, c)`.
    pub shift: &'a [f32],
    /// Whether SiLU follows.
    pub silu: bool,
}

impl ConvInput<'_> {
    /// Channels of all parts.
    pub fn channels(&self) -> usize {
        self.parts.iter().map(|part| part.channels).sum()
    }
}

/// Transformation of one block of channels of one image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockTransform {
    scale: [f32; BLOCK],
    shift: [f32; BLOCK],
    pub(crate) silu: bool,
}

impl BlockTransform {
    #[inline(always)]
    pub(crate) fn apply<L: Lanes, const SILU: bool>(
        &self,
        values: &[f32; BLOCK],
        out: &mut [f32; BLOCK],
    ) {
        for i in 0..BLOCK {
            let z = fma::<L>(self.scale[i], values[i], self.shift[i]);
            out[i] = if SILU { silu::<L>(z) } else { z };
        }
    }
}

impl InputTransform<'_> {
    /// The transformation of the block of channels from `first` of all on.
    #[inline(always)]
    pub(crate) fn block(&self, first: usize) -> BlockTransform {
        let of = |values: &[f32]| std::array::from_fn(|i| values[first + i]);
        BlockTransform { scale: of(self.scale), shift: of(self.shift), silu: self.silu }
    }

    /// Transforms values of `out.len()` channels of one pixel, from channel `first` of all on.
    #[inline(always)]
    pub(crate) fn apply<L: Lanes>(&self, first: usize, values: &[f32], out: &mut [f32]) {
        let n = out.len();
        let (scale, shift) = (&self.scale[first..first + n], &self.shift[first..first + n]);
        let values = &values[..n];
        if self.silu {
            for i in 0..n {
                let z = fma::<L>(scale[i], values[i], shift[i]);
                out[i] = silu::<L>(z);
            }
        } else {
            for i in 0..n {
                out[i] = fma::<L>(scale[i], values[i], shift[i]);
            }
        }
    }
}
