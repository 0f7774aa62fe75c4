//! Vectors for the innermost loops of the products.
//!
//! A value of a type here is a token: it exists only where the instructions do, so its methods are safe to call but
//! for those that follow pointers.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::Amx;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, Avx512Bf16};
pub(crate) use portable::Portable;

use crate::conv2d::product::{Outer, Tile};

/// A kind of vector. Words are 32 bits: an `f32`, or a pair of bf16.
pub(crate) trait Lanes: Copy {
    /// Words of a vector.
    const COUNT: usize;
    /// Positions of one block of a product: as many as registers hold, with two vectors of sums each.
    const ROWS: usize;
    /// Input channels of one block of a sum of outer products.
    const OUTER_ROWS: usize;
    /// Whether a word of the factors is a pair of bf16.
    const PAIRS: bool;
    /// Whether `f32::mul_add` is one instruction.
    const FUSED: bool;

    /// Vectors of `f32`, for work that is not products.
    type Floats: Vectors;

    /// The token for them.
    fn floats(self) -> Self::Floats;

    /// The block of a product that fits the registers of this kind.
    ///
    /// # Safety
    /// As [`Tile::compute`], with `ROWS` positions.
    unsafe fn tile(self, tile: &Tile<'_>, out: *mut f32);

    /// The block of a sum of outer products that fits the registers of this kind.
    ///
    /// # Safety
    /// As [`Outer::accumulate`], with `OUTER_ROWS` channels.
    unsafe fn outer(self, outer: &Outer);
}

/// What [`Tile::compute`] and [`Outer::accumulate`] need of vectors.
pub(crate) trait Vectors: Lanes {
    /// The vector.
    type Vector: Copy;

    /// All words 0.
    fn zero(self) -> Self::Vector;

    /// One number in all lanes.
    fn constant(self, value: f32) -> Self::Vector;

    /// One word in all lanes.
    ///
    /// # Safety
    /// `from` is valid for an unaligned read of one word.
    unsafe fn splat(self, from: *const f32) -> Self::Vector;

    /// `COUNT` words.
    ///
    /// # Safety
    /// `from` is valid for a read of `COUNT` words.
    unsafe fn load(self, from: *const f32) -> Self::Vector;

    /// Writes `COUNT` words.
    ///
    /// # Safety
    /// `to` is valid for a write of `COUNT` words.
    unsafe fn store(self, value: Self::Vector, to: *mut f32);

    /// The sum in each lane, of `f32`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The difference in each lane, of `f32`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a · b + sum` in each lane; of pairs, both products are added.
    fn fma(self, a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector;
}
