//! Instruction sets of the CPU, found once at run time.

use std::fmt;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::lanes::{Amx, Avx2, Avx512, Avx512Bf16};
use crate::lanes::{Portable, Registers, Work};

/// Vector instructions that products of numbers run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, compiled to instructions that every CPU of the target has (SSE2, NEON).
    Portable,
    /// x86-64 with AVX2 and FMA: 8 numbers at once.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, DQ, VL): 16 numbers at once.
    Avx512,
    /// x86-64 with AVX512-BF16: 16 pairs of bf16 at once, added up in `f32`.
    Avx512Bf16,
    /// x86-64 with AMX-BF16: tiles of 16 × 16 × 32 bf16 at once, added up in `f32`. On Linux only.
    Amx,
}

impl Isa {
    /// All, slowest first.
    pub const ALL: [Self; 5] =
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// Whether this CPU has it.
    pub fn is_available(self) -> bool {
        static AVAILABLE: OnceLock<[bool; 5]> = OnceLock::new();
        let available = AVAILABLE.get_or_init(|| Self::ALL.map(Self::detect));
        available[self as usize]
    }

    /// Whether its products are of bf16 pairs, not of `f32`.
    pub fn multiplies_bf16(self) -> bool {
        matches!(self, Self::Avx512Bf16 | Self::Amx)
    }

    /// The fastest of this CPU for products of bf16 or of `f32`; plain Rust multiplies `f32` on every CPU.
    pub(crate) fn best(bf16: bool) -> Option<Self> {
        let fits = |isa: &Self| isa.multiplies_bf16() == bf16 && isa.is_available();
        Self::ALL.into_iter().rev().find(fits)
    }

    /// Words of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Portable => Portable::COUNT,
            Self::Avx2 => 8,
            Self::Avx512 | Self::Avx512Bf16 | Self::Amx => 16,
        }
    }

    /// The instructions for work without products: those for `f32` of the same width.
    pub(crate) fn elementwise(self) -> Self {
        if self.multiplies_bf16() { Self::Avx512 } else { self }
    }

    #[cfg(target_arch = "x86_64")]
    fn detect(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => Avx2::detect().is_some(),
            Self::Avx512 => Avx512::detect().is_some(),
            Self::Avx512Bf16 => Avx512Bf16::detect().is_some(),
            Self::Amx => Amx::is_available(),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect(self) -> bool {
        self == Self::Portable
    }

    /// Runs work compiled for these instructions.
    ///
    /// # Panics
    /// If the CPU lacks them: a defect of this crate, which hands out no such [`Compute`](crate::Compute).
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        const CHECKED: &str = "only available instructions are chosen";
        match self {
            Self::Portable => work.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::detect().expect(CHECKED).run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::detect().expect(CHECKED).run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => Avx512Bf16::detect().expect(CHECKED).run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => {
                assert!(self.is_available(), "{CHECKED}");
                Amx::run(work)
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => panic!("{CHECKED}"),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx-bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Lanes;

    struct Width;

    impl Work for Width {
        type Output = usize;

        #[inline(always)]
        fn run<L: Lanes>(self, _: L) -> usize {
            L::COUNT
        }
    }

    #[test]
    fn work_runs_on_the_lanes_that_were_asked_for() {
        for (isa, width) in Isa::ALL.into_iter().zip([4, 8, 16, 16, 16]) {
            match isa.is_available() {
                true => assert_eq!(isa.run(Width), width, "{isa}"),
                false => println!("not run: this CPU has no {isa}"),
            }
        }
        assert!(Isa::best(false).is_some());
    }
}
