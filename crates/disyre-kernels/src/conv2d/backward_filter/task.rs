//! Tasks of the pass over filters: their inputs, their memory, the panels that they fill.

use std::ops::Range;

use super::super::chunk::Chunk;
use super::super::input::{ConvInput, InputPart};
use super::super::kind::ConvKind;
use super::super::lattice::{Side, Tap};
use super::super::panel;
use super::super::winograd::{TileOrigin, WinogradTiling};
use crate::lanes::{BLOCK, Lanes};
use crate::{Buffer, Compute, Pool};

/// Channels of the result that one piece of work has a multiple of.
pub(super) const COLUMNS: usize = 32;

/// The gradient of one convolution by its weights.
pub(crate) struct BackwardFilter<'a> {
    pub(crate) compute: &'a Compute,
    pub(crate) pool: &'a Pool,
    pub(crate) kind: ConvKind,
    pub(crate) images: usize,
    pub(crate) input: Side,
    pub(crate) output: Side,
    pub(crate) source: ConvInput<'a>,
    /// The gradient by the result.
    pub(crate) gradient: &'a [f32],
}

/// One piece of work: some chunks of images and some channels of the result.
pub(super) struct Task<'a> {
    pub(super) pass: &'a BackwardFilter<'a>,
    pub(super) tiling: Option<WinogradTiling>,
    pub(super) taps: &'a [Tap],
    pub(super) chunks: &'a [Chunk],
    pub(super) columns: Range<usize>,
    pub(super) scratch: &'a mut Scratch,
}

/// Memory of one thread.
pub(super) struct Scratch {
    pub(super) input: Buffer,
    pub(super) gradient: Buffer,
    pub(super) input_pairs: Buffer,
    pub(super) gradient_pairs: Buffer,
    /// Tiles, and both transformed.
    pub(super) places: Vec<TileOrigin>,
    pub(super) input_tiles: Buffer,
    pub(super) gradient_tiles: Buffer,
}

/// Result of a task: (matrix, input, column) with rows and columns padded, and the sums of the gradient over the
/// pixels of each image.
pub(super) struct Found {
    pub(super) columns: Range<usize>,
    pub(super) sums: Buffer,
    pub(super) by_image: Vec<(usize, Vec<f64>)>,
}

/// Channels with room for whole blocks of products.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(COLUMNS)
}

impl Scratch {
    pub(super) fn new(pool: &Pool) -> Self {
        let empty = || pool.take(0);
        Self {
            input: empty(),
            gradient: empty(),
            input_pairs: empty(),
            gradient_pairs: empty(),
            places: Vec::new(),
            input_tiles: empty(),
            gradient_tiles: empty(),
        }
    }
}

impl Task<'_> {
    /// The side of the gradient with the columns of this task alone, in whole pairs of blocks.
    #[inline(always)]
    pub(super) fn gradient_side(&self) -> Side {
        Side { channels: padded(self.columns.len()), ..self.pass.output }
    }

    #[inline(always)]
    pub(super) fn fill<L: Lanes>(&mut self, chunk: &Chunk) {
        let BackwardFilter { input, source, gradient, output, .. } = self.pass;
        let side = self.gradient_side();
        let scratch = &mut *self.scratch;
        scratch.input.set_len(panel::panel_len(input, chunk));
        panel::fill::<L>(source, input, chunk, true, &mut scratch.input);
        scratch.gradient.set_len(panel::panel_len(&side, chunk));
        let part = InputPart {
            values: gradient,
            stride: output.channels,
            first: self.columns.start,
            channels: self.columns.len(),
        };
        let source = ConvInput { parts: &[part], transform: None };
        panel::fill::<L>(&source, &side, chunk, false, &mut scratch.gradient);
    }

    /// Adds up the gradient over the pixels of each image of a chunk.
    #[inline(always)]
    pub(super) fn sum_images(&self, chunk: &Chunk, by_image: &mut Vec<(usize, Vec<f64>)>) {
        let (plane, known) = (chunk.panel_positions() * BLOCK, by_image.len());
        // Chunk by chunk, so that the order of an image's sum does not depend on how many images a run has.
        for (start, row) in chunk.result_rows() {
            if by_image[known..].last().is_none_or(|(image, _)| *image != row.image) {
                by_image.push((row.image, vec![0.0; self.columns.len()]));
            }
            let Some((_, sums)) = by_image.last_mut() else { continue };
            let blocks = padded(self.columns.len()) / BLOCK;
            for (index, values) in self.scratch.gradient.chunks_exact(plane).enumerate() {
                let mut of_row = [0.0f32; BLOCK];
                let values = &values[(chunk.first() + start) * BLOCK..][..chunk.width * BLOCK];
                for values in values.chunks_exact(BLOCK) {
                    (0..BLOCK).for_each(|i| of_row[i] += values[i]);
                }
                let sums = sums.iter_mut().skip(index % blocks * BLOCK);
                sums.zip(of_row).for_each(|(sum, more)| *sum += f64::from(more));
            }
        }
    }
}
