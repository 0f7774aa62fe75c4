//! AMX-BF16: hardware tiles of 16 × 32 bf16.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;

use super::{Avx512, DepthBlock, Lanes, OuterBlock, ProductBlock, Registers, Work};

/// Bytes of one tile: 16 rows of 64 bytes.
const TILE_BYTES: usize = 1024;
/// Bytes of one row of a tile.
const ROW_BYTES: usize = 64;
/// Words of one row of a tile.
const ROW_WORDS: usize = 16;

/// Tiles of bf16; exists only on a thread whose tiles are configured, within [`Amx::run`].
///
/// Bound to its thread: another one's tiles are not configured.
#[derive(Clone, Copy)]
pub(crate) struct Amx(Avx512, PhantomData<*const ()>);

impl Amx {
    /// Whether the CPU has the instructions and the system lets this process use them.
    pub(crate) fn is_available() -> bool {
        /// Leaf 7, register EDX.
        const AMX_BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
        Avx512::detect().is_some()
            && cpuid(0)[0] >= 7
            && cpuid(7)[1] & AMX_BF16_AND_TILE == AMX_BF16_AND_TILE
            && is_permitted()
    }

    /// Runs work with configured tiles; only where [`is_available`](Self::is_available) was true.
    pub(crate) fn run<W: Work>(work: W) -> W::Output {
        let configured = Configured::new();
        let avx512 = Avx512::detect().expect("CPUs with AMX have AVX-512");
        let output = avx512.run_as(Self(avx512, PhantomData), work);
        drop(configured);
        output
    }
}

/// Registers EAX and EDX of a leaf.
fn cpuid(leaf: u32) -> [u32; 2] {
    #[allow(unused_unsafe, reason = "safe in newer compilers than the oldest that is supported")]
    // SAFETY: every x86-64 CPU has the instruction.
    let found = unsafe { __cpuid_count(leaf, 0) };
    [found.eax, found.edx]
}

/// Asks the kernel for the state of the tiles: without it their first use ends the process.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the call takes two numbers, touches no memory of ours, and is refused with a negative number where the
    // kernel or the CPU does not know it; rcx and r11 are what the instruction overwrites.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// A thread whose eight tiles have 16 rows of 64 bytes, until this is dropped.
struct Configured(());

impl Configured {
    fn new() -> Self {
        /// Palette 1, then at byte 16 the row lengths (16 bits each) and at byte 48 the numbers of rows.
        #[repr(C, align(64))]
        struct Configuration([u8; 64]);
        let mut configuration = Configuration([0; 64]);
        configuration.0[0] = 1;
        for tile in 0..8 {
            configuration.0[16 + 2 * tile] = ROW_BYTES as u8;
            configuration.0[48 + tile] = 16;
        }
        // SAFETY: the pointer is to 64 readable bytes in the form of palette 1, which every CPU with AMX knows;
        // `Amx::run` is called only where the system permits the tiles.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) configuration.0.as_ptr(), options(nostack, readonly));
        }
        Self(())
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: gives the tiles of this thread back; nothing reads them afterwards, since tokens end with `Amx::run`.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

// The loop below reads steps in this form.
const _: () = assert!(size_of::<DepthBlock>() == 24 && size_of::<usize>() == 8);
const _: () = assert!(
    std::mem::offset_of!(DepthBlock, panel) == 0 && std::mem::offset_of!(DepthBlock, weights) == 8
);

impl Registers for Amx {
    const COUNT: usize = 16;
    const PAIRS: bool = true;
    const FUSED: bool = true;
}

impl Lanes for Amx {
    const ROWS: usize = 32;
    const OUTER_ROWS: usize = 32;

    type Floats = Avx512;

    #[inline(always)]
    fn floats(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    unsafe fn product(self, block: &ProductBlock<'_>, out: *mut f32) {
        debug_assert!(!block.steps.is_empty(), "every convolution has a tap");
        if block.steps.is_empty() {
            return;
        }
        // SAFETY: every step reads two tiles of 16 positions, each of which holds 16 words in a row, and two tiles of
        // 16 rows of weights; the caller vouches for these reads, for that of the steps, and for the write of 32 rows
        // of 32 sums. The tiles are configured, since the token exists, and nothing else uses them. Steps are not
        // empty, so the loop ends. `DepthBlock` is three words of 8 bytes, panel and weights first.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "mov {x}, [{step}]",
                "mov {w}, [{step} + 8]",
                "lea {x}, [{panel} + {x}*4]",
                "lea {w}, [{weights} + {w}*4]",
                "tileloadd tmm4, [{x} + {row}*1]",
                "tileloadd tmm6, [{w} + {row}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{w} + {row}*1 + {tile}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{x} + {row}*1 + {tile}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {step}, 24",
                "dec {count}",
                "jnz 2b",
                "tilestored [{out} + {out_row}*1], tmm0",
                "tilestored [{out} + {out_row}*1 + {row_bytes}], tmm1",
                "tilestored [{lower} + {out_row}*1], tmm2",
                "tilestored [{lower} + {out_row}*1 + {row_bytes}], tmm3",
                x = out(reg) _,
                w = out(reg) _,
                step = inout(reg) block.steps.as_ptr() => _,
                count = inout(reg) block.steps.len() => _,
                panel = in(reg) block.panel,
                weights = in(reg) block.weights,
                row = in(reg) ROW_BYTES,
                out = in(reg) out,
                lower = in(reg) out.add(16 * 2 * ROW_WORDS),
                out_row = in(reg) 2 * ROW_BYTES,
                tile = const TILE_BYTES,
                row_bytes = const ROW_BYTES,
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack),
            );
        }
    }

    #[inline(always)]
    unsafe fn outer_product(self, block: &OuterBlock) {
        debug_assert!(block.count.is_multiple_of(ROW_WORDS));
        if block.count == 0 {
            return;
        }
        // SAFETY: every step reads 16 words of each of 32 rows of `x`, and 16 rows of 16 words of two blocks of `g`;
        // the sums are 32 rows of 32 words. The caller vouches for all these. The tiles are configured, since the
        // token exists, and nothing else uses them. `count` is a multiple of 16 above 0, so the loop ends.
        unsafe {
            asm!(
                "tileloadd tmm0, [{sums} + {sums_row}*1]",
                "tileloadd tmm1, [{sums} + {sums_row}*1 + {row_bytes}]",
                "tileloadd tmm2, [{lower} + {sums_row}*1]",
                "tileloadd tmm3, [{lower} + {sums_row}*1 + {row_bytes}]",
                "2:",
                "tileloadd tmm4, [{x} + {x_row}*1]",
                "tileloadd tmm6, [{g} + {g_row}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{g1} + {g_row}*1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{x1} + {x_row}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {x}, {row_bytes}",
                "add {x1}, {row_bytes}",
                "add {g}, {tile}",
                "add {g1}, {tile}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {sums_row}*1], tmm0",
                "tilestored [{sums} + {sums_row}*1 + {row_bytes}], tmm1",
                "tilestored [{lower} + {sums_row}*1], tmm2",
                "tilestored [{lower} + {sums_row}*1 + {row_bytes}], tmm3",
                x = inout(reg) block.x => _,
                x1 = inout(reg) block.x.add(16 * block.x_row) => _,
                x_row = in(reg) 4 * block.x_row,
                g = inout(reg) block.g => _,
                g1 = inout(reg) block.g.add(block.g_vector) => _,
                g_row = in(reg) ROW_BYTES,
                steps = inout(reg) block.count / ROW_WORDS => _,
                sums = in(reg) block.sums,
                lower = in(reg) block.sums.add(16 * block.sums_row),
                sums_row = in(reg) 4 * block.sums_row,
                tile = const TILE_BYTES,
                row_bytes = const ROW_BYTES,
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack),
            );
        }
    }
}
