//! Numbers to compute with, and comparisons.
#![allow(dead_code, reason = "every test target uses a part")]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

pub(crate) mod ensemble;

use disyre_kernels::{Compute, Isa, Precision};
use rayon::ThreadPoolBuilder;

/// Uniform in −1 to 1, of zero mean and no pattern.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let _: Vec<f32> = (0..8).map(|_| next()).collect();
    (0..count).map(|_| next()).collect()
}

/// Every combination that this CPU can compute with; prints which it lacks.
pub(crate) fn every_compute() -> Vec<Compute> {
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        println!("not run: this CPU has no {isa}");
    }
    Compute::all()
}

/// How far results may be from exact ones, relative to the greatest.
pub(crate) fn tolerance(compute: Compute) -> f32 {
    match compute.precision() {
        Precision::F32 => 1e-5,
        Precision::Bf16x3 => 5e-5,
        Precision::Bf16 => 2e-2,
    }
}

/// Fails unless all values are within `tolerance` of the expected ones, relative to the greatest of these.
pub(crate) fn assert_close(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    let greatest = expected.iter().fold(0.0f32, |max, v| max.max(v.abs()));
    assert_within(name, got, expected, tolerance * greatest);
}

/// Fails unless all values are within `allowed` of the expected ones.
pub(crate) fn assert_within(name: &str, got: &[f32], expected: &[f32], allowed: f32) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (index, (a, b)) in got.iter().zip(expected).enumerate() {
        let error = (a - b).abs();
        assert!(error <= allowed, "{name}: {a} is not {b} at {index} (allowed {allowed})");
    }
}

/// Runs `compute` on pools of 1, 2 and 5 threads and fails unless all bits agree.
pub(crate) fn on_pools<const N: usize>(compute: impl Fn() -> [Vec<f32>; N] + Sync) {
    let bits = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&compute)
            .map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    let one = bits(1);
    for threads in [2, 5] {
        assert!(one == bits(threads), "{threads} threads give other bits than one");
    }
}
