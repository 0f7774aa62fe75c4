//! Requests of safe code that must do no harm on a GPU: after failures that were reported, panics, buffers of another backend, shapes
//! that do not belong together, and several threads.
#![cfg(feature = "emulation")]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use disyre_core::Distance;
use disyre_cuda::{Cuda, Emulator, Mode};
use disyre_kernels::backend::{
    Added, Affine, Backend, BackendError, Columns, Conv, Ensemble, FeatureMaps, Input,
};
use disyre_kernels::{Attention, ConvKind, Convolution, Extent, GroupNorm, Precision};

/// More numbers than any address space holds.
const TOO_MANY: usize = 1 << 46;
const EXTENT: Extent = Extent { count: 1, height: 2, width: 2 };

fn emulated() -> Cuda<Emulator> {
    Cuda::emulated(Mode::default(), Precision::F32)
}

/// A pointwise convolution of one channel, and the parameters that it has.
fn pointwise() -> Conv {
    let layer = Convolution { kind: ConvKind::Pointwise, inputs: 1, outputs: 1 };
    Conv { layer, weight: 0..1, bias: 1..2 }
}

/// Its result on ones, with moments.
fn convolved<B: Backend>(backend: &B, weights: &B::Values) -> FeatureMaps<B> {
    let ones = backend.maps(&[1.0; 4], EXTENT, 1);
    let input = Input { parts: &[&ones], through: None };
    backend.convolve(&pointwise(), weights, &input, &Added::default(), true)
}

/// Fails unless the work panics with these words.
fn assert_refused<T>(words: &str, work: impl FnOnce() -> T) {
    let caught = catch_unwind(AssertUnwindSafe(|| drop(work()))).expect_err(words);
    let message = caught.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| caught.downcast_ref::<&str>().copied()).unwrap();
    assert!(message.contains(words), "{message}");
}

#[test]
fn memory_that_could_not_be_had_never_reaches_a_kernel() {
    let gpu = emulated();
    let weights = gpu.zeros(TOO_MANY);
    let is_memory = |error| matches!(error, Err(BackendError::Memory { .. }));
    assert!(is_memory(gpu.take_error()), "the upload failed");
    assert!(gpu.take_error().is_ok(), "which is told once");
    // A launch with address 0 before; now the failure again.
    let y = convolved(&gpu, &weights);
    assert!(is_memory(gpu.download_maps(&y).map(drop)));
    assert!(is_memory(gpu.download(&weights).map(drop)));
    let weights = gpu.upload(&[2.0, 1.0]);
    assert_eq!(gpu.download_maps(&convolved(&gpu, &weights)).unwrap(), [3.0; 4]);
}

#[test]
fn a_panic_ends_the_recording_that_it_leaves() {
    let gpu = Cuda::emulated_graphs(Precision::F32);
    let weights = gpu.upload(&[2.0, 1.0]);
    assert_refused("in the work", || gpu.record(|| panic!("in the work")));
    // Refused as "it is recording" before.
    assert_eq!(gpu.download_maps(&convolved(&gpu, &weights)).unwrap(), [3.0; 4]);
}

/// Work on the first of these, which only launches kernels.
fn scaled<B: Backend>(gpu: &B, weights: &B::Values, x: &FeatureMaps<B>) -> FeatureMaps<B> {
    let input = Input { parts: &[x], through: None };
    gpu.convolve(&pointwise(), weights, &input, &Added::default(), false)
}

#[test]
fn a_recording_is_repeated_on_what_lies_in_its_memory_now() {
    let gpu = Cuda::emulated_graphs(Precision::F32);
    let (weights, mut x) = (gpu.upload(&[2.0, 1.0]), gpu.maps(&[1.0; 4], EXTENT, 1));
    let (y, graph) = gpu.record(|| scaled(&gpu, &weights, &x));
    assert_eq!(gpu.download_maps(&y).unwrap(), [3.0; 4]);
    gpu.replace(&[2.0; 4], &mut x);
    gpu.replay(&mut graph.unwrap());
    assert_eq!(gpu.download_maps(&y).unwrap(), [5.0; 4]);
}

#[test]
fn work_that_failed_while_it_was_recorded_is_no_recording() {
    let gpu = Cuda::emulated_graphs(Precision::F32);
    let weights = gpu.upload(&[2.0, 1.0]);
    let x = gpu.maps(&[1.0; 4], EXTENT, 1);
    let (_, graph) = gpu.record(|| (gpu.zeros(TOO_MANY), scaled(&gpu, &weights, &x)));
    assert!(graph.is_none());
    assert!(matches!(gpu.take_error(), Err(BackendError::Memory { .. })));
}

#[test]
fn a_recording_outlives_its_backend_and_is_refused_by_another() {
    let mut graph = {
        let gpu = Cuda::emulated_graphs(Precision::F32);
        let (weights, x) = (gpu.upload(&[2.0, 1.0]), gpu.maps(&[1.0; 4], EXTENT, 1));
        gpu.record(|| scaled(&gpu, &weights, &x)).1.unwrap()
    };
    let other = Cuda::emulated_graphs(Precision::F32);
    assert_refused("made by another backend", || other.replay(&mut graph));
}

#[test]
fn a_recording_within_a_recording_is_an_error() {
    let gpu = Cuda::emulated_graphs(Precision::F32);
    let (_, graph) = gpu.record(|| gpu.record(|| ()).1.is_some());
    assert!(graph.is_none() && gpu.take_error().unwrap_err().to_string().contains("recording"));
}

#[test]
fn numbers_in_the_memory_of_another_backend_are_refused() {
    let [gpu, other] = [emulated(), emulated()];
    let weights = other.upload(&[2.0, 1.0]);
    assert_refused("memory of another backend", || convolved(&gpu, &weights));
    let maps = other.maps(&[1.0; 4], EXTENT, 1);
    assert_refused("memory of another backend", || gpu.squared_error(&maps, &maps));
}

#[test]
fn parameters_that_end_outside_all_are_refused() {
    let gpu = emulated();
    let weights = gpu.upload(&[2.0, 1.0]);
    // Only where they begin was compared before.
    let x = gpu.maps(&[1.0; 4], EXTENT, 1);
    let input = Input { parts: &[&x], through: None };
    let conv = Conv { bias: 2..3, ..pointwise() };
    assert_refused("bias is among the parameters", || {
        gpu.convolve(&conv, &weights, &input, &Added::default(), false)
    });
    let conv = Conv { weight: 2..3, ..pointwise() };
    let gradient = gpu.maps(&[1.0; 4], EXTENT, 1).into_values();
    let mut out = gpu.zeros(2);
    assert_refused("weight has a place", || {
        gpu.backward_filter(&conv, &input, &gradient, &mut out, None);
    });
    let norm = GroupNorm { groups: 1, epsilon: 1e-5 };
    let affine = Affine { norm, weight: 1..2, bias: 2..3 };
    let y = convolved(&gpu, &weights);
    assert_refused("are among the parameters", || gpu.normalise(&affine, &weights, &[&y]));
}

#[test]
fn columns_of_another_shape_are_refused() {
    let gpu = emulated();
    let weights = gpu.upload(&[2.0, 1.0]);
    let x = gpu.maps(&[1.0; 4], EXTENT, 1);
    // One pixel wide, as the one image, but without a row.
    let none = gpu.maps(&[], Extent { count: 1, height: 0, width: 1 }, 1);
    let by_image = Some(Columns { maps: &none, first: 0 });
    let input = Input { parts: &[&x], through: None };
    let addends = Added { by_image, map: None };
    assert_refused("a pixel for each image", || {
        gpu.convolve(&pointwise(), &weights, &input, &addends, false)
    });
}

#[test]
fn channels_that_are_not_whole_heads_are_refused() {
    let gpu = emulated();
    let qkv = gpu.maps(&[0.0; 4 * 9], EXTENT, 9);
    for head_channels in [0, 2] {
        let attention = Attention { channels: 3, head_channels };
        assert_refused("whole heads", || gpu.attend(&attention, &qkv));
    }
}

#[test]
fn sums_of_an_ensemble_in_bf16_are_refused() {
    let gpu = Cuda::emulated(Mode::default(), Precision::Bf16);
    let weights = gpu.upload(&[2.0, 1.0]);
    let x = gpu.maps(&[1.0; 4], EXTENT, 1);
    // With moments a convolution keeps its result in bf16, half as long as the sums that were added to it before.
    let [distances, members] = [(); 2].map(|()| convolved(&gpu, &weights));
    let onto = Some(Ensemble { distances, members });
    assert_refused("in f32", || gpu.add_member(Distance::Absolute, &x, &x, onto));
}

#[test]
fn threads_share_a_backend() {
    let gpu = emulated();
    let work = |value: f32| {
        for _ in 0..20 {
            let weights = gpu.upload(&[value, 1.0]);
            let y = convolved(&gpu, &weights);
            assert_eq!(gpu.download_maps(&y).unwrap(), [value + 1.0; 4]);
        }
    };
    std::thread::scope(|scope| {
        for value in [1.0, 2.0, 3.0, 4.0] {
            scope.spawn(move || work(value));
        }
    });
}
