//! Outer products of one matrix, over positions or tiles.

use crate::lanes::{BLOCK, Lanes, OuterBlock, VECTORS};

/// Outer products of one matrix: all inputs times two vectors of columns, over positions or tiles. Factors are `f32`, in
/// blocks of channels.
pub(super) struct Products<'a> {
    /// From the first position of the first block of inputs on.
    pub(super) x: &'a [f32],
    /// From the first position and column on.
    pub(super) g: &'a [f32],
    /// Words from one block of channels to the next, of both.
    pub(super) plane: usize,
    /// Positions.
    pub(super) count: usize,
    pub(super) inputs: usize,
    /// Whether the second vector of columns is not needed.
    pub(super) narrow: bool,
}

impl Products<'_> {
    /// Adds them to sums (input, column), whose rows are `width` apart.
    #[inline(always)]
    pub(super) fn add<L: Lanes>(&self, lanes: L, sums: &mut [f32], width: usize) {
        let Self { g, plane, count, narrow, .. } = *self;
        let last = (count - 1) * BLOCK;
        for channel in (0..self.inputs).step_by(L::OUTER_ROWS) {
            let x = &self.x[channel / BLOCK * plane + channel % BLOCK..];
            let sums = &mut sums[channel * width..];
            let outer = OuterBlock {
                x: x.as_ptr(),
                x_row: 1,
                g: g.as_ptr(),
                g_vector: if L::COUNT == BLOCK { plane } else { L::COUNT },
                count,
                sums: sums.as_mut_ptr(),
                sums_row: width,
                narrow,
            };
            assert!(x.len() >= last + L::OUTER_ROWS);
            assert!(g.len() >= last + outer.g_vector + L::COUNT);
            assert!(sums.len() >= (L::OUTER_ROWS - 1) * width + VECTORS * L::COUNT);
            // SAFETY: as just asserted, `count` positions of `OUTER_ROWS` channels lie within the input's factors (a
            // block has 16 channels, which `OUTER_ROWS` divides), as many of two vectors within the gradient's, and all
            // rows within the sums.
            unsafe { lanes.outer_product(&outer) }
        }
    }
}
