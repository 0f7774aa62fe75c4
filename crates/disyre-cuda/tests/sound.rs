//! Requests of safe code that must do no harm on a GPU: after failures that were reported, panics, buffers of another
//! backend, shapes that do not belong together, and several threads.
#![cfg(feature = "emulation")]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use disyre_core::Distance;
use disyre_cuda::{Cuda, Emulator, Mode};
use disyre_kernels::backend::{
    Added, Affine, Backend, BackendError, Columns, Conv, Ensemble, FeatureMaps, Input,
    PartGradients, Through,
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
fn memory_that_could_not_be_had_never_reaches_a_kernel_though_others_take_its_failure() {
    let gpu = emulated();
    let weights = gpu.zeros(TOO_MANY);
    let ones = gpu.maps(&[1.0; 4], EXTENT, 1);
    let input = Input { parts: &[&ones], through: None };
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A failure that nobody can see does not let a launch through.
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                gpu.take_error().ok();
            }
        });
        let done = Done(&is_done);
        for _ in 0..2000 {
            // With address 0 in place of the weights the kernel reads there.
            gpu.convolve(&pointwise(), &weights, &input, &Added::default(), false);
            let own = gpu.download(&weights).unwrap_err();
            assert!(matches!(own, BackendError::Memory { .. }));
        }
        drop(done);
    });
}

/// Ends the other thread, also after a panic.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_panic_ends_the_recording_that_it_leaves() {
    let gpu = Cuda::emulated_graphs(Mode::default(), Precision::F32);
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
    let gpu = Cuda::emulated_graphs(Mode::default(), Precision::F32);
    let (weights, mut x) = (gpu.upload(&[2.0, 1.0]), gpu.maps(&[1.0; 4], EXTENT, 1));
    let (y, graph) = gpu.record(|| scaled(&gpu, &weights, &x));
    assert_eq!(gpu.download_maps(&y).unwrap(), [3.0; 4]);
    gpu.replace(&[2.0; 4], &mut x);
    gpu.replay(&mut graph.unwrap());
    assert_eq!(gpu.download_maps(&y).unwrap(), [5.0; 4]);
}

#[test]
fn work_that_failed_while_it_was_recorded_is_no_recording() {
    let gpu = Cuda::emulated_graphs(Mode::default(), Precision::F32);
    let weights = gpu.upload(&[2.0, 1.0]);
    let x = gpu.maps(&[1.0; 4], EXTENT, 1);
    let (_, graph) = gpu.record(|| (gpu.zeros(TOO_MANY), scaled(&gpu, &weights, &x)));
    assert!(graph.is_none());
    assert!(matches!(gpu.take_error(), Err(BackendError::Memory { .. })));
}

#[test]
fn a_recording_keeps_the_memory_that_it_uses() {
    let gpu = Cuda::emulated_graphs(Mode::Watched, Precision::F32);
    let (weights, x) = (gpu.upload(&[2.0, 1.0]), gpu.maps(&[1.0; 4], EXTENT, 1));
    let (mut y, graph) = gpu.record(|| scaled(&gpu, &weights, &x));
    drop((weights, x));
    // Without memory for these, whatever lies unused would be given back.
    drop(gpu.zeros(TOO_MANY));
    assert!(matches!(gpu.take_error(), Err(BackendError::Memory { .. })));
    gpu.replace(&[0.0; 4], &mut y);
    gpu.replay(&mut graph.unwrap());
    assert_eq!(gpu.download_maps(&y).unwrap(), [3.0; 4]);
}

#[test]
fn a_recording_outlives_its_backend_and_is_refused_by_another() {
    let mut graph = {
        let gpu = Cuda::emulated_graphs(Mode::default(), Precision::F32);
        let (weights, x) = (gpu.upload(&[2.0, 1.0]), gpu.maps(&[1.0; 4], EXTENT, 1));
        gpu.record(|| scaled(&gpu, &weights, &x)).1.unwrap()
    };
    let other = Cuda::emulated_graphs(Mode::default(), Precision::F32);
    assert_refused("made by another backend", || other.replay(&mut graph));
}

#[test]
fn nothing_is_copied_or_repeated_while_the_device_records() {
    let gpu = Cuda::emulated_graphs(Mode::default(), Precision::F32);
    let (weights, x) = (gpu.upload(&[2.0, 1.0]), gpu.maps(&[1.0; 4], EXTENT, 1));
    let is_refused = |error: Result<(), BackendError>| {
        assert!(error.unwrap_err().to_string().ends_with("it is recording"));
    };
    let mut earlier = gpu.record(|| scaled(&gpu, &weights, &x)).1.unwrap();
    let (_, graph) = gpu.record(|| {
        gpu.upload(&[5.0]);
        is_refused(gpu.take_error());
        is_refused(gpu.download(&weights).map(drop));
        // Was recorded as a part of this recording, without its memory.
        gpu.replay(&mut earlier);
        is_refused(gpu.take_error());
        // Also from another thread.
        std::thread::scope(|scope| scope.spawn(|| gpu.record(|| ()).1.is_none()).join()).unwrap();
        is_refused(gpu.take_error());
    });
    assert!(graph.is_some(), "the failures were taken");
    assert_eq!(gpu.download(&weights).unwrap(), [2.0, 1.0]);
}

#[test]
fn a_recording_within_a_recording_is_an_error() {
    let gpu = Cuda::emulated_graphs(Mode::default(), Precision::F32);
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
    assert_refused("are among the parameters", || {
        gpu.convolve(&conv, &weights, &input, &Added::default(), false)
    });
    let conv = Conv { weight: 2..3, ..pointwise() };
    let gradient = gpu.maps(&[1.0; 4], EXTENT, 1).into_values();
    let mut out = gpu.zeros(2);
    assert_refused("are among the parameters", || {
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
fn parts_of_different_extents_are_refused_by_a_normalisation_backward() {
    let gpu = emulated();
    let smaller = Extent { count: 1, height: 1, width: 1 };
    let [x, y] = [EXTENT, smaller].map(|extent| gpu.maps(&vec![1.0; extent.pixels()], extent, 1));
    let norm = GroupNorm { groups: 1, epsilon: 1e-5 };
    let affine = Affine { norm, weight: 0..2, bias: 2..4 };
    let weights = gpu.upload(&[1.0; 4]);
    let normalised = gpu.identity(2);
    let through = Some(Through { normalised: &normalised, silu: true });
    // The gradient and the sums fit two channels of the first part's size.
    let layer = Convolution { kind: ConvKind::Pointwise, inputs: 2, outputs: 1 };
    let conv = Conv { layer, weight: 0..2, bias: 2..3 };
    let both = gpu.maps(&[1.0; 8], EXTENT, 2);
    let found = || {
        let through = Some(Through { normalised: &normalised, silu: true });
        let whole = Input { parts: &[&both], through };
        let gradient = gpu.maps(&[1.0; 4], EXTENT, 1).into_values();
        gpu.backward_data_through_norm(&conv, &weights, &whole, &gradient)
    };
    let mut by_parts = [None, None];
    let input = Input { parts: &[&x, &y], through };
    assert_refused("the parts have one extent", || {
        let to = PartGradients { addend: None, by_parts: &mut by_parts };
        gpu.backward_norm(&affine, &weights, &input, found(), &mut gpu.zeros(4), to);
    });
    // One part, which has fewer channels than the normalisation.
    let through = Some(Through { normalised: &normalised, silu: true });
    let input = Input { parts: &[&x], through };
    assert_refused("the parts have the layer's channels", || {
        let to = PartGradients { addend: None, by_parts: &mut by_parts[..1] };
        gpu.backward_norm(&affine, &weights, &input, found(), &mut gpu.zeros(4), to);
    });
}

#[test]
fn layers_without_channels_and_maps_without_numbers_are_refused() {
    let gpu = emulated();
    let weights = gpu.upload(&[2.0, 1.0]);
    let x = gpu.maps(&[1.0; 4], EXTENT, 1);
    for [inputs, outputs] in [[0, 1], [1, 0]] {
        let layer = Convolution { kind: ConvKind::Pointwise, inputs, outputs };
        let conv = Conv { layer, weight: 0..0, bias: 0..outputs };
        let input = Input { parts: &[&x], through: None };
        assert_refused("there are images and channels", || {
            gpu.convolve(&conv, &weights, &input, &Added::default(), false)
        });
    }
    let empty = gpu.maps(&[], Extent { count: 0, ..EXTENT }, 1);
    assert_refused("squared_error has something to compute", || gpu.squared_error(&empty, &empty));
}

#[test]
fn images_of_more_pixels_than_kernels_count_are_refused() {
    let gpu = emulated();
    let weights = gpu.upload(&[2.0, 1.0]);
    let gradient = gpu.maps(&[1.0; 4], EXTENT, 1).into_values();
    let side = |height, width| Extent { count: 1, height, width };
    // The second has 2^31 pixels, the third wrapped to no pixels.
    for extent in [side(1 << 15, 1 << 16), side(1 << 30, 2), side(1 << 32, 1 << 32)] {
        let refused = catch_unwind(AssertUnwindSafe(|| {
            gpu.backward_data(&pointwise(), &weights, extent, &gradient, None)
        }));
        let message = refused.unwrap_err();
        let message = message.downcast_ref::<String>().unwrap();
        let words = ["kernels count at most", "images that memory can hold"];
        assert!(words.iter().any(|words| message.contains(words)), "{message}");
    }
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
    // Memory that one thread drops is the next one's at once.
    let gpu = Cuda::emulated_graphs(Mode::default(), Precision::F32);
    let work = |value: f32| {
        for _ in 0..200 {
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
