use super::product::BLOCK;
use crate::lanes::Lanes;
use crate::sigmoid::{fma, sigmoid};

/// What a convolution reads: images of one size, one behind another in channels, perhaps transformed on the way.
///
/// # Shapes and units
/// Each part is `(n, h, w, c)` with its own c.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Values and channels of each part.
    pub parts: &'a [Part<'a>],
    /// What each value becomes before it is multiplied.
    pub transform: Option<Transform<'a>>,
}

/// Images `(n, h, w, c)`, or some of their channels.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The values.
    pub values: &'a [f32],
    /// c.
    pub stride: usize,
    /// First channel of the part.
    pub first: usize,
    /// Channels of the part.
    pub channels: usize,
}

impl<'a> Part<'a> {
    /// All channels.
    pub fn new(values: &'a [f32], channels: usize) -> Self {
        Self { values, stride: channels, first: 0, channels }
    }
}

/// `z = scale · x + shift`, then, if asked for, SiLU: `z / (1 + e^−z)`.
#[derive(Debug, Clone, Copy)]
pub struct Transform<'a> {
    /// `(n, c)`, c over all parts.
    pub scale: &'a [f32],
    /// `(n, c)`.
    pub shift: &'a [f32],
    /// Whether SiLU follows.
    pub silu: bool,
}

impl Source<'_> {
    /// Channels of all parts.
    pub fn channels(&self) -> usize {
        self.parts.iter().map(|part| part.channels).sum()
    }
}

/// What happens to one block of channels of one image.
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
            out[i] = if SILU { z * sigmoid::<L>(z) } else { z };
        }
    }
}

impl Transform<'_> {
    /// That of the block of channels from `first` of all on.
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
                out[i] = z * sigmoid::<L>(z);
            }
        } else {
            for i in 0..n {
                out[i] = fma::<L>(scale[i], values[i], shift[i]);
            }
        }
    }
}
