//! AVX2 with FMA: vectors of 8 `f32`.

use std::arch::x86_64::{
    __m256, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_storeu_ps, _mm256_sub_ps,
};

use super::{Lanes, OuterBlock, ProductBlock, Registers, Vectors, Work, microkernels_of_vectors};

/// Eight numbers; exists only where AVX2 and FMA do.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The token, if the CPU has the instructions.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Runs work compiled for these instructions.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: the token exists, so the CPU has the features of the callee.
        unsafe { with_features(self, work) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn with_features<W: Work>(lanes: Avx2, work: W) -> W::Output {
    work.run(lanes)
}

impl Registers for Avx2 {
    const COUNT: usize = 8;
    const PAIRS: bool = false;
    const FUSED: bool = true;
}

impl Lanes for Avx2 {
    const ROWS: usize = 6;
    const OUTER_ROWS: usize = 4;

    type Floats = Self;

    #[inline(always)]
    fn floats(self) -> Self {
        self
    }

    microkernels_of_vectors!();
}

impl Vectors for Avx2 {
    type Vector = __m256;

    #[inline(always)]
    fn zero(self) -> __m256 {
        // SAFETY: the token exists, so the CPU has AVX.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    fn constant(self, value: f32) -> __m256 {
        // SAFETY: the token exists, so the CPU has AVX.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the read, the token for the instruction.
        unsafe { _mm256_set1_ps(from.read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the read, the token for the instruction, which takes any alignment.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m256, to: *mut f32) {
        // SAFETY: the caller vouches for the write, the token for the instruction, which takes any alignment.
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token exists, so the CPU has AVX.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token exists, so the CPU has AVX.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        // SAFETY: the token exists, so the CPU has FMA.
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }
}
