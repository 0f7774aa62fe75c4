//! The operations on candle tensors against their plain forms, finite differences, and PyTorch's values.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, Var, safetensors};
use common::{assert_close, every_compute, numbers, tolerance};
use disyre_kernels::candle::reference::{self, channels_last};
use disyre_kernels::candle::{attention, conv2d, group_norm, squared_error};
use disyre_kernels::{ConvKind, Cpu, GroupNorm};

fn var(dims: &[usize], seed: u64) -> Var {
    let values = numbers(dims.iter().product(), seed);
    Var::from_tensor(&Tensor::from_vec(values, dims, &Device::Cpu).unwrap()).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Channels second to channels last.
fn last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}

/// A sum of a result in which every element has a weight of its own.
fn loss(y: &Tensor) -> Result<Tensor> {
    let weights = Tensor::from_vec(numbers(y.elem_count(), 77), y.shape(), y.device())?;
    (y * weights)?.sum_all()
}

/// Compares two forms of a function, and their gradients.
fn assert_same(
    what: &str,
    variables: &[Var],
    tolerance: f32,
    ours: impl Fn(&[Var]) -> Result<Tensor>,
    plain: impl Fn(&[Var]) -> Result<Tensor>,
) {
    let (ours, plain) = (ours(variables).unwrap(), plain(variables).unwrap());
    assert_close(what, &flat(&ours), &flat(&plain), tolerance);
    let gradients = [&ours, &plain].map(|y| loss(y).unwrap().backward().unwrap());
    for (index, variable) in variables.iter().enumerate() {
        let [ours, plain] = gradients.each_ref().map(|store| flat(store.get(variable).unwrap()));
        assert_close(&format!("{what}, gradient {index}"), &ours, &plain, tolerance);
    }
}

#[test]
fn convolutions_and_their_gradients_agree_with_candles() {
    let kinds = [ConvKind::Pointwise, ConvKind::Conv3x3, ConvKind::Strided, ConvKind::Upsampled];
    for compute in every_compute() {
        let cpu = Cpu::new(compute);
        for kind in kinds {
            let k = kind.kernel();
            let [h, w] = kind.output_size([7, 10]);
            for addend in [None, Some([2, 1, 1, 19]), Some([2, h, w, 19])] {
                let mut v = vec![var(&[2, 7, 10, 33], 1), var(&[k, k, 33, 19], 2), var(&[19], 3)];
                v.extend(addend.map(|dims| var(&dims, 4)));
                assert_same(
                    &format!("{kind:?} with {addend:?} in {compute}"),
                    &v,
                    tolerance(compute),
                    |v| conv2d(&cpu, kind, &v[0], &v[1], &v[2], v.get(3).map(Var::as_tensor)),
                    |v| {
                        channels_last::conv2d(
                            kind,
                            &v[0],
                            &v[1],
                            &v[2],
                            v.get(3).map(Var::as_tensor),
                        )
                    },
                );
            }
        }
    }
}

#[test]
fn normalisations_and_their_gradients_agree_with_candles() {
    for compute in every_compute() {
        let cpu = Cpu::new(compute);
        for (groups, silu) in [(1, true), (4, true), (12, false)] {
            let norm = GroupNorm { groups, epsilon: 1e-5 };
            let v = [var(&[2, 5, 9, 12], 1), var(&[12], 2), var(&[12], 3)];
            let ours = |v: &[Var]| group_norm(&cpu, norm, silu, &v[0], &v[1], &v[2]);
            let plain = |v: &[Var]| channels_last::group_norm(norm, silu, &v[0], &v[1], &v[2]);
            assert_same(&format!("{groups} groups on {compute}"), &v, 2e-5, ours, plain);
        }
    }
}

#[test]
fn attention_and_its_gradient_agree_with_candles() {
    for compute in every_compute() {
        let cpu = Cpu::new(compute);
        for (h, w, head) in [(4, 4, 8), (3, 7, 4)] {
            let v = [var(&[2, h, w, 3 * 24], 5)];
            let plain = |v: &[Var]| channels_last::attention(head, &v[0]);
            let ours = |v: &[Var]| attention(&cpu, head, &v[0]);
            assert_same(&format!("{h}x{w} on {compute}"), &v, 2e-5, ours, plain);
        }
    }
}

#[test]
fn the_loss_and_its_gradients_agree_with_candles() {
    let cpu = Cpu::default();
    let v = [var(&[3, 5, 7, 2], 6), var(&[3, 5, 7, 2], 7)];
    let ours = |v: &[Var]| squared_error(&cpu, &v[0], &v[1]);
    assert_same("loss", &v, 1e-6, ours, |v| reference::squared_error(&v[0], &v[1]));
    assert_gradients_are_differences(&v, ours);
}

/// Compares the gradients of `function` with central differences of its values.
fn assert_gradients_are_differences(
    variables: &[Var],
    function: impl Fn(&[Var]) -> Result<Tensor>,
) {
    let step = 1e-2f32;
    let value = || flat(&loss(&function(variables).unwrap()).unwrap())[0];
    let store = loss(&function(variables).unwrap()).unwrap().backward().unwrap();
    for variable in variables {
        let origin = flat(variable);
        let set = |values: Vec<f32>| {
            variable.set(&Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap())
        };
        let difference = |index: usize| {
            let moved = |by: f32| {
                let mut values = origin.clone();
                values[index] += by;
                set(values).unwrap();
                value()
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        };
        let differences: Vec<f32> = (0..origin.len()).map(difference).collect();
        set(origin.clone()).unwrap();
        assert_close("differences", &flat(store.get(variable).unwrap()), &differences, 3e-3);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let cpu = Cpu::default();
    for kind in [ConvKind::Conv3x3, ConvKind::Strided, ConvKind::Upsampled] {
        let v = [var(&[2, 4, 3, 2], 1), var(&[3, 3, 2, 3], 2), var(&[3], 3)];
        assert_gradients_are_differences(&v, |v| conv2d(&cpu, kind, &v[0], &v[1], &v[2], None));
    }
    let v = [var(&[2, 3, 5, 4], 1), var(&[4], 2), var(&[4], 3)];
    let norm = GroupNorm { groups: 2, epsilon: 1e-5 };
    assert_gradients_are_differences(&v, |v| group_norm(&cpu, norm, true, &v[0], &v[1], &v[2]));
    assert_gradients_are_differences(&[var(&[1, 2, 3, 12], 4)], |v| attention(&cpu, 2, &v[0]));
}

/// The golden layers: tests/fixtures/golden says what made them.
fn layers() -> HashMap<String, Tensor> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    safetensors::load(golden.join("layers.safetensors"), &Device::Cpu).unwrap()
}

#[test]
fn layers_equal_pytorchs_on_every_instruction_set() {
    let layers = layers();
    let x = last(&layers["x"]).unwrap();
    for compute in every_compute() {
        let cpu = Cpu::new(compute);
        for groups in [1, 8, 32, 64] {
            let [weight, bias, y] =
                ["weight", "bias", "y"].map(|name| &layers[&format!("g{groups}.{name}")]);
            let norm = GroupNorm { groups, epsilon: 1e-5 };
            let ours = group_norm(&cpu, norm, false, &x, weight, bias).unwrap();
            assert_close("norm", &flat(&ours), &flat(&last(y).unwrap()), 1e-5);
        }
        let [weight, bias, y] =
            ["weight", "bias", "y"].map(|name| &layers[&format!("down_conv.{name}")]);
        let weight = weight.permute((2, 3, 1, 0)).unwrap();
        let ours = conv2d(&cpu, ConvKind::Strided, &x, &weight, bias, None).unwrap();
        let tolerance = tolerance(compute);
        assert_close("stride 2", &flat(&ours), &flat(&last(y).unwrap()), tolerance);
    }
    let doubled = reference::upsample_nearest2(&layers["x"]).unwrap();
    assert_eq!(flat(&doubled), flat(&layers["upsample_nearest2"]));
}

#[test]
fn errors_say_what_was_expected() {
    let cpu = Cpu::default();
    let (x, bias) = (var(&[1, 4, 4, 2], 1), var(&[3], 2));
    let message = |result: Result<Tensor>| result.unwrap_err().to_string();
    let other = conv2d(&cpu, ConvKind::Conv3x3, &x, &var(&[1, 1, 2, 3], 3), &bias, None);
    assert!(message(other).contains("[1, 1, 2, 3], expected [3, 3, 2, 3]"));
    let weight = var(&[3, 3, 2, 3], 3);
    let addend = conv2d(&cpu, ConvKind::Conv3x3, &x, &weight, &bias, Some(&var(&[1, 2, 1, 3], 4)));
    assert!(message(addend).contains("expected [1, 4, 4, 3] or [1, 1, 1, 3]"));
    let norm = GroupNorm { groups: 4, epsilon: 1e-5 };
    let groups = group_norm(&cpu, norm, true, &x, &var(&[2], 1), &var(&[2], 1));
    assert!(message(groups).contains("2 channels cannot be split into 4 equal groups"));
    let heads = attention(&cpu, 8, &x);
    assert!(message(heads).contains("heads of 8"));
}
