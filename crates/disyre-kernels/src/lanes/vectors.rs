//! Registers and the operations on them that microkernels and transformations of tiles need.

/// Registers of one kind. Words are 32 bits: an `f32`, or a pair of bf16.
pub(crate) trait Registers: Copy {
    /// Words of a vector.
    const COUNT: usize;
    /// Whether a word of the factors is a pair of bf16.
    const PAIRS: bool;
    /// Whether `f32::mul_add` is one instruction.
    const FUSED: bool;
}

/// Vectors of one kind: loads, stores and arithmetic.
pub(crate) trait Vectors: Registers {
    /// One vector.
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
