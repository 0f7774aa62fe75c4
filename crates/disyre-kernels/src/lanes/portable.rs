use super::{Lanes, Vectors};
use crate::conv2d::product::{Outer, Tile};

/// Four numbers in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    const COUNT: usize = 4;
    const ROWS: usize = 6;
    const OUTER_ROWS: usize = 4;
    const PAIRS: bool = false;
    const FUSED: bool = false;

    type Floats = Self;

    #[inline(always)]
    fn floats(self) -> Self {
        self
    }

    #[inline(always)]
    unsafe fn tile(self, tile: &Tile<'_>, out: *mut f32) {
        // SAFETY: the caller's promise is that of the callee.
        unsafe { tile.compute::<Self, { Self::ROWS }>(self, out) }
    }

    #[inline(always)]
    unsafe fn outer(self, outer: &Outer) {
        // SAFETY: the caller's promise is that of the callee.
        unsafe { outer.accumulate::<Self, { Self::OUTER_ROWS }>(self) }
    }
}

impl Vectors for Portable {
    type Vector = [f32; 4];

    #[inline(always)]
    fn zero(self) -> [f32; 4] {
        [0.0; 4]
    }

    #[inline(always)]
    fn constant(self, value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller vouches for the read.
        [unsafe { from.read_unaligned() }; 4]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller vouches for the read; an array has the alignment of its elements.
        unsafe { from.cast::<[f32; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, value: [f32; 4], to: *mut f32) {
        // SAFETY: the caller vouches for the write.
        unsafe { to.cast::<[f32; 4]>().write(value) }
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    fn fma(self, a: [f32; 4], b: [f32; 4], sum: [f32; 4]) -> [f32; 4] {
        // Not `mul_add`: without an instruction for it that is a call of libm.
        std::array::from_fn(|lane| a[lane] * b[lane] + sum[lane])
    }
}
