//! Instruction sets: the registers of each, and the blocks of products that fit them.
//!
//! A value of a type here is a token: it exists only where the instructions do, so its methods are safe to call but
//! for those that follow pointers.

mod microkernel;
mod vectors;

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
pub(crate) use microkernel::{BLOCK, DepthBlock, OuterBlock, ProductBlock, VECTORS};
pub(crate) use portable::Portable;
pub(crate) use vectors::{Registers, Vectors};

/// An instruction set: its registers and microkernels.
pub(crate) trait Lanes: Registers {
    /// Positions of one block of a product: as many as registers hold, with two vectors of sums each.
    const ROWS: usize;
    /// Input channels of one block of a sum of outer products.
    const OUTER_ROWS: usize;

    /// Vectors of `f32`, for work that is not products.
    type Floats: Vectors;

    /// The token for them.
    fn floats(self) -> Self::Floats;

    /// The block of a product that fits the registers of this kind.
    ///
    /// # Safety
    /// As [`ProductBlock::compute`], with `ROWS` positions.
    unsafe fn product(self, block: &ProductBlock<'_>, out: *mut f32);

    /// The block of a sum of outer products that fits the registers of this kind.
    ///
    /// # Safety
    /// As [`OuterBlock::accumulate`], with `OUTER_ROWS` channels.
    unsafe fn outer_product(self, block: &OuterBlock);
}

/// Work that is compiled once for every instruction set: see [`Isa::run`](crate::isa::Isa::run).
///
/// A type, not a closure, since only what is `#[inline(always)]` is sure to be compiled for the instructions of its
/// caller.
pub(crate) trait Work {
    /// Result of the work.
    type Output;

    /// Does the work on the calling thread: it must not hand any of it to others. Implementations are
    /// `#[inline(always)]`, and so is all that they call in loops.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// The microkernels of an instruction set whose registers are [`Vectors`].
macro_rules! microkernels_of_vectors {
    () => {
        #[inline(always)]
        unsafe fn product(self, block: &ProductBlock<'_>, out: *mut f32) {
            // SAFETY: the caller's promise is that of the callee.
            unsafe { block.compute::<Self, { Self::ROWS }>(self, out) }
        }

        #[inline(always)]
        unsafe fn outer_product(self, block: &OuterBlock) {
            // SAFETY: the caller's promise is that of the callee.
            unsafe { block.accumulate::<Self, { Self::OUTER_ROWS }>(self) }
        }
    };
}
use microkernels_of_vectors;
