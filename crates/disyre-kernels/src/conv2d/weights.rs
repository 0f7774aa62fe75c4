//! Weights in the order in which products read them.

use rayon::prelude::*;

use super::lattice::ConvKind;
use super::panel::{bf16_part, pair};
use super::product::{BLOCK, VECTORS};
use super::winograd::Tiling;
use crate::isa::Work;
use crate::lanes::Lanes;
use crate::{Buffer, Compute, Pool};

/// Which way a matrix of weights is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// Inputs are summed over: the convolution.
    Forward,
    /// Outputs are summed over: the gradient by the input.
    Transposed,
}

/// Weights as products read them: (part, block of columns, matrix, block of depth, vector, word, lane).
#[derive(Debug)]
pub(crate) struct Packed {
    words: Buffer,
    /// Words of one part.
    part: usize,
    /// Words of one block of columns.
    columns: usize,
    /// Words of one step.
    step: usize,
    /// Blocks of depth.
    pub(crate) blocks: usize,
    /// What they were packed for.
    pub(crate) purpose: Purpose,
}

/// All that the order of packed weights depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Purpose {
    pub(crate) compute: Compute,
    pub(crate) kind: ConvKind,
    pub(crate) form: Form,
    /// Inputs and outputs.
    pub(crate) channels: [usize; 2],
    pub(crate) way: Way,
}

/// Which matrices of weights a convolution multiplies by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// One for each tap.
    Taps,
    /// Those of the transformed kernel.
    Tiles(Tiling),
}

impl Packed {
    /// Packs `weights` (kernel, input, output).
    pub(crate) fn new(purpose: Purpose, pool: &Pool, weights: &[f32]) -> Self {
        let Purpose { compute, kind, form, channels: [inputs, outputs], way } = purpose;
        let sums = match (kind, form) {
            (_, Form::Tiles(tiling)) => Some(tiling.sums(way)),
            (ConvKind::Upsampled, _) => Some(kind.sums()),
            _ => None,
        };
        let summed = sums.map(|sums| summed(pool, kind, weights, &sums));
        let weights = summed.as_ref().map_or(weights, |summed| summed);
        let (depth, columns) = match way {
            Way::Forward => (inputs, outputs),
            Way::Transposed => (outputs, inputs),
        };
        let (isa, parts) = (compute.isa(), compute.parts());
        let (lanes, pairs) = (isa.lanes(), isa.multiplies_bf16());
        let matrices = weights.len() / (inputs * outputs);
        let blocks = depth.div_ceil(if pairs { 2 * BLOCK } else { BLOCK });
        let step = VECTORS * BLOCK * lanes;
        let of_columns = matrices * blocks * step;
        let part = columns.div_ceil(VECTORS * lanes) * of_columns;
        let mut words = pool.take(parts * part);
        let layout = Layout { outputs, depth, columns, way, lanes, pairs };
        words.par_chunks_mut(blocks * step).enumerate().for_each(|(index, out)| {
            let (part, index) =
                (index / (part / (blocks * step)), index % (part / (blocks * step)));
            let (matrix, column) = (index % matrices, index / matrices * VECTORS * lanes);
            let matrix = &weights[matrix * inputs * outputs..][..inputs * outputs];
            isa.elementwise().run(PackBlocks { layout: &layout, matrix, column, part, out });
        });
        Self { words, part, columns: of_columns, step, blocks, purpose }
    }

    /// The words of one block of columns and those behind it.
    pub(crate) fn columns(&self, block: usize) -> &[f32] {
        &self.words[block * self.columns..]
    }

    /// Where a step starts within its block of columns.
    pub(crate) fn step(&self, part: usize, matrix: usize, block: usize) -> usize {
        part * self.part + (matrix * self.blocks + block) * self.step
    }
}

/// Matrices that are sums of the weights' own.
fn summed(pool: &Pool, kind: ConvKind, weights: &[f32], sums: &[Vec<(usize, f32)>]) -> Buffer {
    let matrix = weights.len() / kind.weights();
    let mut out = pool.take(sums.len() * matrix);
    out.par_chunks_mut(matrix).zip(sums).for_each(|(out, sum)| {
        out.fill(0.0);
        for &(weight, factor) in sum {
            let term = &weights[weight * matrix..][..matrix];
            out.iter_mut().zip(term).for_each(|(out, term)| *out += factor * term);
        }
    });
    out
}

/// What is packed how.
#[derive(Clone, Copy)]
struct Layout {
    outputs: usize,
    depth: usize,
    columns: usize,
    way: Way,
    lanes: usize,
    pairs: bool,
}

/// Packs all blocks of depth of one matrix for one block of columns.
struct PackBlocks<'a> {
    layout: &'a Layout,
    matrix: &'a [f32], // (input, output)
    column: usize,
    part: usize,
    out: &'a mut [f32], // (block, vector, word, lane)
}

impl Work for PackBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Layout { lanes, pairs, depth, columns, .. } = *self.layout;
        let in_word = if pairs { 2 } else { 1 };
        for (index, out) in self.out.chunks_exact_mut(BLOCK * lanes).enumerate() {
            let (first, column) =
                (index / VECTORS * BLOCK * in_word, self.column + index % VECTORS * lanes);
            let size = [
                depth.saturating_sub(first).min(BLOCK * in_word),
                columns.saturating_sub(column).min(lanes),
            ];
            if size != [BLOCK * in_word, lanes] {
                out.fill(0.0);
            }
            if size.contains(&0) {
                continue;
            }
            let block = Block { layout: self.layout, matrix: self.matrix, first, column, size };
            match pairs {
                false => block.singles(out),
                true => block.pairs(self.part, out),
            }
        }
    }
}

/// A part of a matrix: `size` rows of depth from `first` on, and columns from `column` on.
struct Block<'a> {
    layout: &'a Layout,
    matrix: &'a [f32],
    first: usize,
    column: usize,
    size: [usize; 2],
}

impl Block<'_> {
    #[inline(always)]
    fn singles(&self, out: &mut [f32]) {
        let (lanes, outputs, [rows, columns]) = (self.layout.lanes, self.layout.outputs, self.size);
        match self.layout.way {
            Way::Forward => {
                for (row, out) in out.chunks_exact_mut(lanes).take(rows).enumerate() {
                    let start = (self.first + row) * outputs + self.column;
                    let values = &self.matrix[start..][..columns];
                    match (out.first_chunk_mut::<BLOCK>(), values.first_chunk::<BLOCK>()) {
                        (Some(out), Some(values)) => *out = *values,
                        _ => out[..columns].copy_from_slice(values),
                    }
                }
            }
            Way::Transposed => {
                for lane in 0..columns {
                    let values =
                        &self.matrix[(self.column + lane) * outputs + self.first..][..rows];
                    for (row, &value) in values.iter().enumerate() {
                        out[row * lanes + lane] = value;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pairs(&self, part: usize, out: &mut [f32]) {
        let (lanes, outputs, [rows, columns]) = (self.layout.lanes, self.layout.outputs, self.size);
        let value = |row: usize, lane: usize| match self.layout.way {
            _ if row >= rows => 0.0,
            Way::Forward => self.matrix[(self.first + row) * outputs + self.column + lane],
            Way::Transposed => self.matrix[(self.column + lane) * outputs + self.first + row],
        };
        for (word, out) in out.chunks_exact_mut(lanes).take(rows.div_ceil(2)).enumerate() {
            for (lane, out) in out[..columns].iter_mut().enumerate() {
                let two = [value(2 * word, lane), value(2 * word + 1, lane)];
                let [low, high] = two.map(|value| bf16_part(value, part));
                *out = pair(low, high);
            }
        }
    }
}
