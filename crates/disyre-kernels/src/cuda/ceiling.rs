//! What a device can do at most: the launch code of ceiling.cu.

use std::time::Instant;

use super::device::{Device, Kernel};
use super::memory::{Element, Numbers};
use super::{Cuda, Parameters, int};
use crate::backend::BackendError;

/// Threads of a block.
const THREADS: usize = 256;
/// Operations of a round of one thread, a multiplication and an addition being two: a warp's product of 16×16 and 16×8
/// numbers is 4096, and there are eight; without tensor cores, sixteen numbers are multiplied and added to.
const OPERATIONS: [usize; 2] = [8 * 4096 / 32, 2 * 16];
/// Blocks that fill any device many times over.
const BLOCKS: usize = 1 << 14;
/// Rounds, so that a launch takes milliseconds.
const ROUNDS: [usize; 2] = [512, 2048];
/// Numbers that are copied, 1 GiB: more than any cache holds.
const COPIED: usize = 1 << 28;
/// Launches whose mean counts.
const RUNS: usize = 10;

/// What a device does in a second at most, as our own kernels could: measured, not read from a data sheet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// Multiplications and additions of bf16, each counted, on tensor cores by the instruction that all architectures
    /// from 8.0 on have (`mma.sync`); those of later ones can be faster.
    pub bf16: f64,
    /// The same of 32-bit numbers, without tensor cores.
    pub f32: f64,
    /// Bytes that are read or written by copying.
    pub bytes: f64,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Multiply {
    out: u64,
    rounds: i32,
    factor: f32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Copied {
    from: u64,
    to: u64,
    count: i64,
}

// SAFETY: these structures have the layouts of `Multiply` and `Copy` in ceiling.cu.
unsafe impl Parameters for Multiply {}
// SAFETY: as above.
unsafe impl Parameters for Copied {}

const fn kernel(name: &'static str) -> Kernel {
    Kernel { module: "ceiling", name }
}

impl<D: Device> Cuda<D> {
    /// The ceilings of this device, within a second on a graphics processor.
    ///
    /// # Errors
    /// The first failure since the last that was told, 2 GiB of memory that cannot be had among them.
    pub fn ceilings(&self) -> Result<Ceilings, BackendError> {
        let rates = [0, 1].map(|which| {
            let out = self.take(Element::F32, BLOCKS * THREADS);
            let seconds = self.seconds(RUNS, || self.multiply(which, ROUNDS[which], &out))?;
            Ok((OPERATIONS[which] * ROUNDS[which] * out.len()) as f64 / seconds)
        });
        let [bf16, f32] = rates;
        let [from, to] = [(); 2].map(|()| self.take(Element::F32, COPIED));
        let seconds = self.seconds(RUNS, || self.copy(&from, &to))?;
        Ok(Ceilings { bf16: bf16?, f32: f32?, bytes: 2.0 * from.bytes() as f64 / seconds })
    }

    /// Seconds of one of some runs, after one that does not count.
    pub(super) fn seconds(&self, runs: usize, mut work: impl FnMut()) -> Result<f64, BackendError> {
        let after = self.take(Element::F64, 1);
        work();
        self.bytes(&after)?;
        let start = Instant::now();
        (0..runs).for_each(|_| work());
        self.bytes(&after)?;
        Ok(start.elapsed().as_secs_f64() / runs as f64)
    }

    /// Adds ones up in every thread, on tensor cores (0) or without (1).
    fn multiply(&self, which: usize, rounds: usize, out: &Numbers<D>) {
        let parameters = Multiply { out: out.address(0), rounds: int(rounds), factor: 1.0 };
        let name = ["multiply_bf16", "multiply_f32"][which];
        self.run(kernel(name), [out.len() / THREADS, 1, 1], THREADS as u32, &parameters);
    }

    fn copy(&self, from: &Numbers<D>, to: &Numbers<D>) {
        let count = from.len() / 4;
        let parameters = Copied { from: from.address(0), to: to.address(0), count: count as i64 };
        self.run(kernel("copy"), [count.div_ceil(THREADS), 1, 1], THREADS as u32, &parameters);
    }
}

#[cfg(all(test, feature = "cuda-emulation"))]
mod tests {
    use super::super::Emulated;
    use super::*;
    use crate::Precision;
    use crate::backend::Backend;

    #[test]
    fn every_operation_that_is_counted_is_done() {
        let cuda = Cuda::new(Emulated::default(), Precision::F32);
        for (which, operations) in OPERATIONS.into_iter().enumerate() {
            let out = cuda.take(Element::F32, 2 * THREADS);
            let (rounds, run) = (3, |rounds| cuda.multiply(which, rounds, &out));
            assert!(cuda.seconds(1, || run(rounds)).unwrap() > 0.0);
            // Every operation but the multiplications, one of two, adds 1.
            let expected = (rounds * operations / 2) as f32;
            assert_eq!(cuda.download(&out).unwrap(), vec![expected; 2 * THREADS]);
        }
    }

    #[test]
    fn everything_is_copied() {
        let cuda = Cuda::new(Emulated::default(), Precision::F32);
        let values: Vec<f32> = (0..4 * 300).map(|value| value as f32).collect();
        let (from, to) = (cuda.upload(&values), cuda.take(Element::F32, values.len()));
        cuda.copy(&from, &to);
        assert_eq!(cuda.download(&to).unwrap(), values);
    }
}
