//! The operations on candle tensors by the CUDA kernels against the plain forms: on CPU tensors by the emulator, on CUDA
//! tensors by a GPU. The same code carries the numbers of both, but for the copies themselves.
#![cfg(any(feature = "candle-cuda", feature = "emulation"))]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

#[path = "../../disyre-kernels/tests/common/mod.rs"]
mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::{assert_close, numbers};
use disyre_kernels::candle::reference::{self, channels_last};
use disyre_kernels::candle::{TensorBackend, attention, conv2d, group_norm, squared_error};
use disyre_kernels::{ConvKind, GroupNorm, Precision};

const KINDS: [ConvKind; 4] =
    [ConvKind::Pointwise, ConvKind::Conv3x3, ConvKind::Strided, ConvKind::Upsampled];

fn var(device: &Device, dims: &[usize], seed: u64) -> Var {
    let values = numbers(dims.iter().product(), seed);
    Var::from_tensor(&Tensor::from_vec(values, dims, device).unwrap()).unwrap()
}

fn vars(device: &Device, shapes: &[&[usize]]) -> Vec<Var> {
    shapes.iter().zip(1..).map(|(dims, seed)| var(device, dims, seed)).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A result, and the gradients of a sum of it in which every element has a weight of its own.
fn found(y: &Tensor, variables: &[Var]) -> Vec<Vec<f32>> {
    let weights = Tensor::from_vec(numbers(y.elem_count(), 77), y.shape(), y.device()).unwrap();
    let store = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = variables.iter().map(|variable| flat(store.get(variable).unwrap()));
    std::iter::once(flat(y)).chain(gradients).collect()
}

/// Compares an operation on tensors of `device`, and its gradients, with the plain form on the CPU.
fn assert_plain(
    name: &str,
    device: &Device,
    shapes: &[&[usize]],
    ours: impl Fn(&[Var]) -> Result<Tensor>,
    plain: impl Fn(&[Var]) -> Result<Tensor>,
) {
    let variables = vars(device, shapes);
    let y = ours(&variables).unwrap();
    assert_eq!(y.device().location(), device.location(), "{name}");
    let found_here = found(&y, &variables);
    let variables = vars(&Device::Cpu, shapes);
    let expected = found(&plain(&variables).unwrap(), &variables);
    for (index, (values, expected)) in found_here.iter().zip(&expected).enumerate() {
        assert_close(&format!("{name}, result {index}"), values, expected, 5e-5);
    }
}

/// Compares all operations with their plain forms.
fn assert_operations<B: TensorBackend>(backend: &B, device: &Device) {
    assert!(backend.holds(device));
    for kind in KINDS {
        let (k, [h, w]) = (kind.kernel(), kind.output_size([7, 10]));
        let all: [&[usize]; 4] = [&[2, 7, 10, 33], &[k, k, 33, 19], &[19], &[2, h, w, 19]];
        let by_image: [&[usize]; 4] = [all[0], all[1], all[2], &[2, 1, 1, 19]];
        for shapes in [&all[..3], &all, &by_image] {
            let addend = |v: &[Var]| v.get(3).map(|v| v.as_tensor().clone());
            assert_plain(
                &format!("{kind:?} of {shapes:?}"),
                device,
                shapes,
                |v| conv2d(backend, kind, &v[0], &v[1], &v[2], addend(v).as_ref()),
                |v| channels_last::conv2d(kind, &v[0], &v[1], &v[2], addend(v).as_ref()),
            );
        }
    }
    for (groups, silu) in [(1, true), (4, true), (12, false)] {
        let norm = GroupNorm { groups, epsilon: 1e-5 };
        assert_plain(
            &format!("{groups} groups"),
            device,
            &[&[2, 5, 9, 12], &[12], &[12]],
            |v| group_norm(backend, norm, silu, &v[0], &v[1], &v[2]),
            |v| channels_last::group_norm(norm, silu, &v[0], &v[1], &v[2]),
        );
    }
    for (shape, head) in [([2, 4, 4, 72], 8), ([2, 3, 7, 72], 4)] {
        let (ours, plain) = (
            |v: &[Var]| attention(backend, head, &v[0]),
            |v: &[Var]| channels_last::attention(head, &v[0]),
        );
        assert_plain(&format!("attention of {shape:?}"), device, &[&shape], ours, plain);
    }
    let (ours, plain) = (
        |v: &[Var]| squared_error(backend, &v[0], &v[1]),
        |v: &[Var]| reference::squared_error(&v[0], &v[1]),
    );
    assert_plain("loss", device, &[&[3, 5, 7], &[3, 5, 7]], ours, plain);
}

/// A part of a tensor, which begins in the midst of its memory, and a transposed one.
fn assert_views<B: TensorBackend>(backend: &B, device: &Device) {
    let whole = var(device, &[5, 4, 6, 3], 1);
    let (part, turned) = (whole.narrow(0, 2, 2).unwrap(), whole.transpose(1, 2).unwrap());
    for x in [&part, &turned] {
        let (weight, bias) = (var(device, &[1, 1, 3, 2], 2), var(device, &[2], 3));
        let kind = ConvKind::Pointwise;
        let ours = conv2d(backend, kind, x, &weight, &bias, None).unwrap();
        let plain = channels_last::conv2d(kind, x, &weight, &bias, None).unwrap();
        assert_close("a view", &flat(&ours), &flat(&plain), 1e-5);
    }
}

/// Errors of the backend and of types are candle's errors, and the backend works on.
fn assert_errors<B: TensorBackend>(backend: &B, device: &Device) {
    let message = |result: Result<Tensor>| result.unwrap_err().to_string();
    let wide = attention(backend, 40, &var(device, &[1, 2, 2, 120], 1));
    assert!(message(wide).contains("at most 32"));
    let doubles = Tensor::zeros((2, 2), DType::F64, device).unwrap();
    assert!(message(squared_error(backend, &doubles, &doubles)).contains("dtype"));
    let y = var(device, &[2, 2], 1);
    assert_eq!(flat(&squared_error(backend, &y, &y).unwrap()), [0.0]);
}

#[cfg(feature = "emulation")]
mod emulated {
    use disyre_cuda::{Cuda, Mode};

    use super::*;

    #[test]
    fn kernels_on_cpu_tensors_agree_with_the_plain_forms() {
        for mode in [Mode::Forward, Mode::Reversed] {
            assert_operations(&Cuda::emulated(mode, Precision::F32), &Device::Cpu);
        }
    }

    #[test]
    fn views_and_errors() {
        let backend = Cuda::emulated(Mode::Watched, Precision::F32);
        assert_views(&backend, &Device::Cpu);
        assert_errors(&backend, &Device::Cpu);
    }

    #[test]
    fn a_backend_in_bf16_is_refused() {
        let backend = Cuda::emulated(Mode::default(), Precision::Bf16);
        let y = var(&Device::Cpu, &[2, 2], 1);
        let error = squared_error(&backend, &y, &y).unwrap_err().to_string();
        assert!(error.contains("open the backend in precision f32"), "{error}");
    }
}

#[cfg(feature = "candle-cuda")]
mod on_device {
    use disyre_cuda::{Cuda, Gpu, Stream};
    use disyre_kernels::Cpu;

    use super::*;

    /// The first GPU and candle's device on it; without one the test says so, or fails if `DISYRE_REQUIRE_CUDA` is 1.
    fn device() -> Option<(Cuda<Stream>, Device)> {
        match Gpu::open(0).and_then(|gpu| Cuda::on(&gpu, Precision::F32)) {
            Ok(backend) => Some((backend, Device::new_cuda(0).unwrap())),
            Err(error) => {
                let required = std::env::var("DISYRE_REQUIRE_CUDA").is_ok_and(|value| value == "1");
                assert!(!required, "DISYRE_REQUIRE_CUDA is 1, but {error}");
                println!("no GPU is tested: {error}");
                None
            }
        }
    }

    #[test]
    fn kernels_on_cuda_tensors_agree_with_the_plain_forms() {
        let Some((backend, device)) = device() else { return };
        assert!(!backend.holds(&Device::Cpu));
        assert_operations(&backend, &device);
        assert_views(&backend, &device);
        assert_errors(&backend, &device);
    }

    #[test]
    fn threads_share_a_backend() {
        let Some((backend, device)) = device() else { return };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_operations(&backend, &device));
            }
        });
    }

    #[test]
    fn tensors_that_the_cpu_does_not_hold_take_the_plain_form() {
        let Some((_, device)) = device() else { return };
        let (y, target) = (var(&device, &[3, 4], 1), var(&device, &[3, 4], 2));
        let ours = squared_error(&Cpu::default(), &y, &target).unwrap();
        let plain = reference::squared_error(&y, &target).unwrap();
        assert_eq!(flat(&ours), flat(&plain));
    }
}
