//! Plain Rust: vectors of 4 `f32`.

use super::{Lanes, OuterBlock, ProductBlock, Registers, Vectors, microkernels_of_vectors};

/// Four numbers in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Registers for Portable {
    const COUNT: usize = 4;
    const PAIRS: bool = false;
    const FUSED: bool = false;
}

impl Lanes for Portable {
    const ROWS: usize = 6;
    const OUTER_ROWS: usize = 4;

    type Floats = Self;

    #[inline(always)]
    fn floats(self) -> Self {
        self
    }

    microkernels_of_vectors!();
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
