//! Devices that run the CUDA kernels, and work on which they and the CPU must agree.
#![allow(dead_code, reason = "every test target uses a part")]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

use disyre_cuda::Cuda;
#[cfg(feature = "emulation")]
use disyre_cuda::{Emulator, Mode};
use disyre_kernels::backend::Backend;
use disyre_kernels::{Cpu, Precision};

use crate::common::assert_within;

pub(crate) const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Results of a sequence of operations, by name, and how large their values may be: the greatest one, but of sums of terms of
/// both signs the error is that of the terms, however little is left of them.
pub(crate) type Found = Vec<(&'static str, Vec<f32>, f32)>;

pub(crate) fn found(name: &'static str, values: Vec<f32>) -> (&'static str, Vec<f32>, f32) {
    let greatest = greatest(&values);
    (name, values, greatest)
}

pub(crate) fn greatest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |max, value| max.max(value.abs()))
}

/// Operations that run on every device.
pub(crate) trait Work: std::fmt::Debug {
    fn run<B: Backend>(&self, backend: &B) -> Found;
}

/// The emulator in every mode; results must have the same bits in all of them.
#[cfg(feature = "emulation")]
pub(crate) fn emulators(precision: Precision) -> [Cuda<Emulator>; 3] {
    [Mode::Forward, Mode::Reversed, Mode::Watched].map(|mode| Cuda::emulated(mode, precision))
}

#[cfg(feature = "emulation")]
pub(crate) fn emulated(precision: Precision) -> Cuda<Emulator> {
    Cuda::emulated(Mode::default(), precision)
}

#[cfg(feature = "cuda")]
thread_local! {
    static SAID: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The first device; without one the tests say so, or fail if `DISYRE_REQUIRE_CUDA` is 1.
#[cfg(feature = "cuda")]
pub(crate) fn device(precision: Precision) -> Option<Cuda<disyre_cuda::Stream>> {
    match disyre_cuda::Gpu::open(0).and_then(|gpu| Cuda::on(&gpu, precision)) {
        Ok(device) => Some(device),
        Err(error) => {
            let required = std::env::var_os("DISYRE_REQUIRE_CUDA").is_some_and(|v| v == "1");
            assert!(!required, "DISYRE_REQUIRE_CUDA is 1, but {error}");
            // One line for each test, which has a thread of its own, however many cases it tries.
            if !SAID.replace(true) {
                println!("no GPU is tested: {error}");
            }
            None
        }
    }
}

/// Runs operations on the CPU and on the devices, in both precisions.
pub(crate) fn assert_agrees(work: &impl Work) {
    let on_cpu = work.run(&Cpu::default());
    for precision in PRECISIONS {
        let name = format!("{work:?} in {precision}");
        #[cfg(feature = "emulation")]
        assert_runs_agree(&name, precision, emulators(precision).iter(), work, &on_cpu);
        #[cfg(feature = "cuda")]
        if let Some(device) = device(precision) {
            let name = format!("{name} on a device");
            assert_runs_agree(&name, precision, [&device, &device].into_iter(), work, &on_cpu);
        }
    }
}

/// Every run is close to the CPU's results, and has the bits of the first.
fn assert_runs_agree<'a, B: Backend>(
    name: &str,
    precision: Precision,
    runs: impl Iterator<Item = &'a B>,
    work: &impl Work,
    on_cpu: &Found,
) {
    let mut first = None;
    for backend in runs {
        let found = work.run(backend);
        assert_found(name, &found, on_cpu, precision);
        let bits = bits(&found);
        assert!(*first.get_or_insert_with(|| bits.clone()) == bits, "{name}: runs differ");
    }
}

fn assert_found(name: &str, found: &Found, expected: &Found, precision: Precision) {
    assert_eq!(found.len(), expected.len());
    for ((what, values, _), (_, expected, size)) in found.iter().zip(expected) {
        let name = format!("{what} of {name}");
        assert_within(&name, values, expected, tolerance(precision) * size);
    }
}

/// Distance that results may have from those in `f32`, relative to the greatest. In bf16 factors and results are rounded to 8 bits,
/// and the gradient by x is what is left of terms of both signs.
fn tolerance(precision: Precision) -> f32 {
    if precision == Precision::Bf16 { 3e-2 } else { 2e-5 }
}

fn bits(found: &Found) -> Vec<u32> {
    found.iter().flat_map(|(_, values, _)| values.iter().map(|v| v.to_bits())).collect()
}
