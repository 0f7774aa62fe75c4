//! Microkernels, the innermost loops: blocks of products whose sums fit the registers.
//!
//! Words are 32 bits: one channel in `f32`, or two in bf16. Panels and weights come in blocks of [`BLOCK`] words.

use super::vectors::Vectors;

/// Words of one block of channels.
pub(crate) const BLOCK: usize = 16;
/// Vectors of outputs that one block has.
pub(crate) const VECTORS: usize = 2;

/// One block of channels under one tap, with the offsets of its factors in words from the start of panel and weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct DepthBlock {
    pub(crate) panel: usize,
    pub(crate) weights: usize,
    /// Words of the block that hold channels, 1 to [`BLOCK`].
    pub(crate) depth: usize,
}

/// `out[p][o] = Σ_step Σ_c panel[p][c] · weights[c][o]`, for as many positions p and outputs o as registers hold.
#[derive(Debug)]
pub(crate) struct ProductBlock<'a> {
    /// The first position.
    pub(crate) panel: *const f32,
    /// A block of outputs: for each step and vector, [`BLOCK`] rows of one vector.
    pub(crate) weights: *const f32,
    pub(crate) steps: &'a [DepthBlock],
    /// Whether the second vector of outputs is not needed; its sums are then not written.
    pub(crate) narrow: bool,
}

impl ProductBlock<'_> {
    /// Computes `ROWS` positions of `VECTORS · COUNT` outputs.
    ///
    /// # Safety
    /// For every step, `panel` is valid for reads of `ROWS` blocks from `step.panel` on, and `weights` for reads of
    /// `VECTORS · BLOCK` vectors from `step.weights` on; `out` is valid for writes of `ROWS · VECTORS` vectors.
    #[inline(always)]
    pub(crate) unsafe fn compute<V: Vectors, const ROWS: usize>(&self, lanes: V, out: *mut f32) {
        // SAFETY: the caller's promise covers both.
        unsafe {
            match self.narrow {
                false => self.sums::<V, ROWS, VECTORS>(lanes, out),
                true => self.sums::<V, ROWS, 1>(lanes, out),
            }
        }
    }

    /// # Safety
    /// As [`compute`](Self::compute).
    #[inline(always)]
    unsafe fn sums<V: Vectors, const ROWS: usize, const N: usize>(&self, lanes: V, out: *mut f32) {
        let mut sums = [[lanes.zero(); N]; ROWS];
        for step in self.steps {
            // SAFETY: below `ROWS` blocks of the panel and `VECTORS · BLOCK` vectors of the weights, as depth is at
            // most `BLOCK`; the caller vouches for these reads.
            unsafe {
                let (x, w) = (self.panel.add(step.panel), self.weights.add(step.weights));
                for c in 0..step.depth {
                    let mut weights = [lanes.zero(); N];
                    for (vector, weight) in weights.iter_mut().enumerate() {
                        *weight = lanes.load(w.add((vector * BLOCK + c) * V::COUNT));
                    }
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let factor = lanes.splat(x.add(row * BLOCK + c));
                        for (sum, &weight) in sums.iter_mut().zip(&weights) {
                            *sum = lanes.fma(factor, weight, *sum);
                        }
                    }
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                // SAFETY: below `ROWS · VECTORS` vectors, for which the caller vouches.
                unsafe { lanes.store(sum, out.add((row * VECTORS + vector) * V::COUNT)) }
            }
        }
    }
}

/// `sums[c][o] += Σ_p x[p][c] · g[p][o]`, for as many channels c and outputs o as registers hold.
///
/// In `f32`, x and g are panels: positions one block apart, channels of x one word. In bf16 pairs, p counts pairs of
/// positions: of x they lie one word apart, and channels `x_row`.
#[derive(Debug)]
pub(crate) struct OuterBlock {
    pub(crate) x: *const f32,
    /// Words between channels of x, where its words are pairs.
    pub(crate) x_row: usize,
    pub(crate) g: *const f32,
    /// Words between the vectors of g.
    pub(crate) g_vector: usize,
    /// Positions, or pairs of them; of pairs a multiple of [`BLOCK`].
    pub(crate) count: usize,
    pub(crate) sums: *mut f32,
    /// Words between rows of the sums.
    pub(crate) sums_row: usize,
    /// Whether the second vector of outputs is not needed; it is then neither read nor written.
    pub(crate) narrow: bool,
}

impl OuterBlock {
    /// Adds up `ROWS` channels times `VECTORS · COUNT` outputs.
    ///
    /// # Safety
    /// For p below `count`, r below `ROWS` and v below `VECTORS`: `x` is valid for unaligned reads of one word at
    /// position p and channel r, `g` for reads of one vector at `p · BLOCK + v · g_vector`, and `sums` for reads and
    /// writes of one vector at `r · sums_row + v · COUNT`.
    #[inline(always)]
    pub(crate) unsafe fn accumulate<V: Vectors, const ROWS: usize>(&self, lanes: V) {
        // SAFETY: the caller's promise covers both.
        unsafe {
            match self.narrow {
                false => self.add::<V, ROWS, VECTORS>(lanes),
                true => self.add::<V, ROWS, 1>(lanes),
            }
        }
    }

    /// # Safety
    /// As [`accumulate`](Self::accumulate).
    #[inline(always)]
    unsafe fn add<V: Vectors, const ROWS: usize, const N: usize>(&self, lanes: V) {
        let (step, row) = if V::PAIRS { (1, self.x_row) } else { (BLOCK, 1) };
        let mut sums = [[lanes.zero(); N]; ROWS];
        for p in 0..self.count {
            // SAFETY: the caller vouches for these reads.
            unsafe {
                let (x, g) = (self.x.add(p * step), self.g.add(p * BLOCK));
                let mut factors = [lanes.zero(); N];
                for (vector, factor) in factors.iter_mut().enumerate() {
                    *factor = lanes.load(g.add(vector * self.g_vector));
                }
                for (channel, sums) in sums.iter_mut().enumerate() {
                    let factor = lanes.splat(x.add(channel * row));
                    for (sum, &g) in sums.iter_mut().zip(&factors) {
                        *sum = lanes.fma(factor, g, *sum);
                    }
                }
            }
        }
        for (channel, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                // SAFETY: the caller vouches for this read and write.
                unsafe {
                    let at = self.sums.add(channel * self.sums_row + vector * V::COUNT);
                    lanes.store(lanes.add(lanes.load(at), sum), at);
                }
            }
        }
    }
}
