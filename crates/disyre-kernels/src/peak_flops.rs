//! Peak throughput of the microkernels, for the benchmarks alone.
//!
//! It lies here and not beside the benchmarks because it calls a microkernel without anything around it: those are private
//! and `unsafe`, and every public product also packs weights and fills panels, which would be part of the time.

use std::time::Instant;

use crate::lanes::{BLOCK, DepthBlock, Lanes, ProductBlock, VECTORS, Work};
use crate::{Compute, Pool};

/// Steps of one product: enough that starting and storing it cost nothing.
const STEPS: usize = 4096;
/// Products whose fastest counts.
const TRIALS: usize = 50;

/// Peak throughput of one core in FLOP/s, on factors that lie in its first-level cache: the ceiling that convolutions are
/// measured against. Multiplications and additions count one each.
///
/// Factors of two terms count as one, so that the numbers of all precisions compare.
#[doc(hidden)]
pub fn peak_flops(compute: &Compute) -> f64 {
    compute.isa().run(Peak) / compute.products().len() as f64
}

struct Peak;

impl Work for Peak {
    type Output = f64;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> f64 {
        let pool = Pool::new();
        let panel = pool.zeros(L::ROWS * BLOCK);
        let weights = pool.zeros(VECTORS * BLOCK * L::COUNT);
        let mut out = pool.take(L::ROWS * VECTORS * L::COUNT);
        let steps = vec![DepthBlock { panel: 0, weights: 0, depth: BLOCK }; STEPS];
        let (factors, sums) = (panel.as_ptr(), out.as_mut_ptr());
        let block = ProductBlock {
            panel: factors,
            weights: weights.as_ptr(),
            steps: &steps,
            narrow: false,
        };
        let in_word = if L::PAIRS { 2 } else { 1 };
        let flops = 2 * in_word * STEPS * BLOCK * L::ROWS * VECTORS * L::COUNT;
        let mut best = 0.0f64;
        // A loop and not a closure: only what is surely inlined is compiled for the instructions.
        for _ in 0..TRIALS {
            let start = Instant::now();
            // SAFETY: every step reads the one block of panel and weights that there is, of the size that a block of products has.
            unsafe { lanes.product(&block, sums) }
            best = best.max(flops as f64 / start.elapsed().as_secs_f64());
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compute_has_a_peak() {
        assert!(Compute::all().iter().all(|compute| peak_flops(compute) > 1e6));
    }
}
