//! AVX-512, vectors of 16 `f32`, and AVX512-BF16, vectors of 16 pairs of bf16.

use std::arch::x86_64::{
    __m512, __m512bh, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
};
use std::mem::transmute;

use super::{Lanes, OuterBlock, ProductBlock, Registers, Vectors, Work, microkernels_of_vectors};

/// Sixteen numbers; exists only where AVX-512 does.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The token, if the CPU has the instructions.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("avx2");
        found.then_some(Self(()))
    }

    /// Runs work compiled for these instructions.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        self.run_as(self, work)
    }

    /// Runs work compiled for these instructions, with products on other lanes.
    pub(super) fn run_as<L: Lanes, W: Work>(self, lanes: L, work: W) -> W::Output {
        // SAFETY: the token exists, so the CPU has the features of the callee.
        unsafe { with_features(lanes, work) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn with_features<L: Lanes, W: Work>(lanes: L, work: W) -> W::Output {
    work.run(lanes)
}

impl Registers for Avx512 {
    const COUNT: usize = 16;
    const PAIRS: bool = false;
    const FUSED: bool = true;
}

impl Lanes for Avx512 {
    const ROWS: usize = 8;
    const OUTER_ROWS: usize = 8;

    type Floats = Self;

    #[inline(always)]
    fn floats(self) -> Self {
        self
    }

    microkernels_of_vectors!();
}

impl Vectors for Avx512 {
    type Vector = __m512;

    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: the token exists, so the CPU has AVX-512.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    fn constant(self, value: f32) -> __m512 {
        // SAFETY: the token exists, so the CPU has AVX-512.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the read, the token for the instruction.
        unsafe { _mm512_set1_ps(from.read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the read, the token for the instruction, which takes any alignment.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m512, to: *mut f32) {
        // SAFETY: the caller vouches for the write, the token for the instruction, which takes any alignment.
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token exists, so the CPU has AVX-512.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token exists, so the CPU has AVX-512.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: the token exists, so the CPU has AVX-512.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }
}

/// Sixteen pairs of bf16, multiplied and added in `f32`; exists only where AVX512-BF16 does.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16(Avx512);

impl Avx512Bf16 {
    /// The token, if the CPU has the instructions.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        Avx512::detect().filter(|_| is_x86_feature_detected!("avx512bf16")).map(Self)
    }

    /// Runs work compiled for these instructions.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        // SAFETY: the token exists, so the CPU has the features of the callee.
        unsafe { with_bf16(self, work) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
fn with_bf16<W: Work>(lanes: Avx512Bf16, work: W) -> W::Output {
    work.run(lanes)
}

impl Registers for Avx512Bf16 {
    const COUNT: usize = 16;
    const PAIRS: bool = true;
    const FUSED: bool = true;
}

impl Lanes for Avx512Bf16 {
    const ROWS: usize = 8;
    const OUTER_ROWS: usize = 8;

    type Floats = Avx512;

    #[inline(always)]
    fn floats(self) -> Avx512 {
        self.0
    }

    microkernels_of_vectors!();
}

impl Vectors for Avx512Bf16 {
    type Vector = __m512;

    #[inline(always)]
    fn zero(self) -> __m512 {
        self.0.zero()
    }

    #[inline(always)]
    fn constant(self, value: f32) -> __m512 {
        self.0.constant(value)
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const f32) -> __m512 {
        // SAFETY: the caller's promise is that of the callee.
        unsafe { self.0.splat(from) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller's promise is that of the callee.
        unsafe { self.0.load(from) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m512, to: *mut f32) {
        // SAFETY: the caller's promise is that of the callee.
        unsafe { self.0.store(value, to) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        self.0.add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        self.0.sub(a, b)
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: the token exists, so the CPU has the instruction; both types are 512 plain bits.
        unsafe {
            _mm512_dpbf16_ps(
                sum,
                transmute::<__m512, __m512bh>(a),
                transmute::<__m512, __m512bh>(b),
            )
        }
    }
}
