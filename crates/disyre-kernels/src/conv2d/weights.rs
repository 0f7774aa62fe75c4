//! Packed weights: in the order in which products read them.

use rayon::prelude::*;

use super::bf16_panel::{bf16_term, pair};
use super::kind::{ConvKind, Direction};
use super::winograd::WinogradTiling;
use crate::lanes::{BLOCK, Lanes, VECTORS, Work};
use crate::{Buffer, Compute, Pool};

/// Weights as products read them: (term, block of columns, matrix, block of depth, vector, word, lane).
#[derive(Debug)]
pub(crate) struct Packed {
    words: Buffer,
    /// Words of one term.
    term: usize,
    /// Words of one block of columns.
    columns: usize,
    /// Words of one step.
    step: usize,
    /// Blocks of depth.
    pub(crate) blocks: usize,
    /// Convolution, pass and instructions that they were packed for.
    pub(crate) purpose: Purpose,
}

/// Everything that the order of packed weights depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Purpose {
    pub(crate) compute: Compute,
    pub(crate) kind: ConvKind,
    pub(crate) form: Form,
    /// Inputs and outputs.
    pub(crate) channels: [usize; 2],
    pub(crate) direction: Direction,
}

/// Matrices of weights that a convolution multiplies by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// One for each tap.
    Taps,
    /// Those of the transformed kernel.
    Tiles(WinogradTiling),
}

impl Packed {
    /// Packs `weights` (kernel, input, output).
    pub(crate) fn new(purpose: Purpose, pool: &Pool, weights: &[f32]) -> Self {
        let Purpose { compute, kind, form, channels: [inputs, outputs], direction } = purpose;
        let sums = match (kind, form) {
            (_, Form::Tiles(tiling)) => Some(tiling.sums(direction)),
            (ConvKind::Upsampled, _) => Some(kind.sums()),
            _ => None,
        };
        let summed = sums.map(|sums| summed(pool, kind, weights, &sums));
        let weights = summed.as_ref().map_or(weights, |summed| summed);
        let (depth, columns) = match direction {
            Direction::Forward => (inputs, outputs),
            Direction::BackwardData => (outputs, inputs),
        };
        let (isa, terms) = (compute.isa(), compute.terms());
        let (lanes, pairs) = (isa.lanes(), isa.multiplies_bf16());
        let matrices = weights.len() / (inputs * outputs);
        let blocks = depth.div_ceil(if pairs { 2 * BLOCK } else { BLOCK });
        let step = VECTORS * BLOCK * lanes;
        let of_columns = matrices * blocks * step;
        let term = columns.div_ceil(VECTORS * lanes) * of_columns;
        let mut words = pool.take(terms * term);
        let order = PackOrder { outputs, depth, columns, direction, lanes, pairs };
        words.par_chunks_mut(blocks * step).enumerate().for_each(|(index, out)| {
            let (term, index) =
                (index / (term / (blocks * step)), index % (term / (blocks * step)));
            let (matrix, column) = (index % matrices, index / matrices * VECTORS * lanes);
            let matrix = &weights[matrix * inputs * outputs..][..inputs * outputs];
            isa.elementwise().run(PackBlocks { order: &order, matrix, column, term, out });
        });
        Self { words, term, columns: of_columns, step, blocks, purpose }
    }

    /// The words of one block of columns and those behind it.
    pub(crate) fn columns(&self, block: usize) -> &[f32] {
        &self.words[block * self.columns..]
    }

    /// Where a step starts within its block of columns.
    pub(crate) fn step(&self, term: usize, matrix: usize, block: usize) -> usize {
        term * self.term + (matrix * self.blocks + block) * self.step
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

/// Order in which weights are packed.
#[derive(Clone, Copy)]
struct PackOrder {
    outputs: usize,
    depth: usize,
    columns: usize,
    direction: Direction,
    lanes: usize,
    pairs: bool,
}

/// Packs all blocks of depth of one matrix for one block of columns.
struct PackBlocks<'a> {
    order: &'a PackOrder,
    matrix: &'a [f32], // (input, output)
    column: usize,
    term: usize,
    out: &'a mut [f32], // (block, vector, word, lane)
}

impl Work for PackBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let PackOrder { lanes, pairs, depth, columns, .. } = *self.order;
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
            let block = Block { order: self.order, matrix: self.matrix, first, column, size };
            match pairs {
                false => block.singles(out),
                true => block.pairs(self.term, out),
            }
        }
    }
}

/// A piece of a matrix: `size` rows of depth from `first` on, and columns from `column` on.
struct Block<'a> {
    order: &'a PackOrder,
    matrix: &'a [f32],
    first: usize,
    column: usize,
    size: [usize; 2],
}

impl Block<'_> {
    #[inline(always)]
    fn singles(&self, out: &mut [f32]) {
        let (lanes, outputs, [rows, columns]) = (self.order.lanes, self.order.outputs, self.size);
        match self.order.direction {
            Direction::Forward => {
                for (row, out) in out.chunks_exact_mut(lanes).take(rows).enumerate() {
                    let start = (self.first + row) * outputs + self.column;
                    let values = &self.matrix[start..][..columns];
                    match (out.first_chunk_mut::<BLOCK>(), values.first_chunk::<BLOCK>()) {
                        (Some(out), Some(values)) => *out = *values,
                        _ => out[..columns].copy_from_slice(values),
                    }
                }
            }
            Direction::BackwardData => {
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
    fn pairs(&self, term: usize, out: &mut [f32]) {
        let (lanes, outputs, [rows, columns]) = (self.order.lanes, self.order.outputs, self.size);
        let value = |row: usize, lane: usize| match self.order.direction {
            _ if row >= rows => 0.0,
            Direction::Forward => self.matrix[(self.first + row) * outputs + self.column + lane],
            Direction::BackwardData => {
                self.matrix[(self.column + lane) * outputs + self.first + row]
            }
        };
        for (word, out) in out.chunks_exact_mut(lanes).take(rows.div_ceil(2)).enumerate() {
            for (lane, out) in out[..columns].iter_mut().enumerate() {
                let two = [value(2 * word, lane), value(2 * word + 1, lane)];
                let [low, high] = two.map(|value| bf16_term(value, term));
                *out = pair(low, high);
            }
        }
    }
}
