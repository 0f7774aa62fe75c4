//! Attention, loss and updates by the CUDA kernels against those of the CPU; convolution.rs has the convolutions.
#![cfg(any(feature = "cuda", feature = "emulation"))]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

#[path = "../../disyre-kernels/tests/common/mod.rs"]
mod common;
mod devices;

use common::numbers;
#[cfg(feature = "emulation")]
use devices::emulated;
use devices::{Found, Work, assert_agrees, found};
#[cfg(feature = "emulation")]
use disyre_kernels::Precision;
use disyre_kernels::backend::{Backend, FeatureMaps, State};
use disyre_kernels::{AdamW, Attention, Extent};

/// Attention and its gradient.
#[derive(Debug)]
struct Attended {
    attention: Attention,
    extent: Extent,
}

impl Work for Attended {
    fn run<B: Backend>(&self, backend: &B) -> Found {
        let Self { attention, extent } = *self;
        let len = extent.count * extent.height * extent.width * attention.channels;
        let qkv: Vec<f32> = numbers(3 * len, 1).into_iter().map(|v| 3.0 * v).collect();
        let qkv = backend.maps(&qkv, extent, 3 * attention.channels);
        let gradient = backend.maps(&numbers(len, 2), extent, attention.channels);
        let mixed = backend.attend(&attention, &qkv);
        let values = backend.backward_attention(&attention, &qkv, gradient.values());
        let by_qkv = FeatureMaps::new(extent, qkv.channels(), values);
        vec![
            found("result", backend.download_maps(&mixed).unwrap()),
            found("gradient", backend.download_maps(&by_qkv).unwrap()),
        ]
    }
}

#[test]
fn attention_agrees_with_the_cpu() {
    let cases = [
        ([2, 8, 8], 16, 8),
        ([1, 4, 4], 24, 8),
        ([1, 9, 13], 12, 12),
        ([3, 1, 1], 3, 1),
        ([1, 7, 10], 64, 32),
    ];
    for ([count, height, width], channels, head_channels) in cases {
        let extent = Extent { count, height, width };
        let attention = Attention { channels, head_channels };
        assert_agrees(&Attended { attention, extent });
    }
}

/// Two updates after one loss.
#[derive(Debug)]
struct Learned {
    len: usize,
    clip_norm: f64,
}

impl Work for Learned {
    fn run<B: Backend>(&self, backend: &B) -> Found {
        let Self { len, clip_norm } = *self;
        let extent = Extent { count: 1, height: 1, width: len };
        let y = backend.maps(&numbers(len, 1), extent, 1);
        let target = backend.maps(&numbers(len, 2), extent, 1);
        let (loss, slope) = backend.squared_error(&y, &target);
        let slope = FeatureMaps::new(extent, 1, slope);
        let gradient = backend.upload(&numbers(len, 3));
        let mut weights = backend.upload(&numbers(len, 4));
        let (mut first, mut second) = (backend.zeros(len), backend.zeros(len));
        let mut average = backend.upload(&numbers(len, 5));
        let mut prepared = None;
        let mut norms = Vec::new();
        for number in 1..=2 {
            let update = AdamW {
                clip_norm,
                keep: 0.99,
                betas: [0.95, 0.999],
                step_size: 0.1 / number as f32,
                correction: 0.03,
                epsilon: 1e-8,
                average: 0.25,
            };
            backend.prepare(&update, &mut prepared);
            let state = State {
                weights: &mut weights,
                first: &mut first,
                second: &mut second,
                average: Some(&mut average),
            };
            norms.push(backend.update(prepared.as_ref().unwrap(), &loss, &gradient, state));
        }
        let scalars = backend.read(&[&loss, &norms[0], &norms[1]]).unwrap();
        let numbers = |values| backend.download(values).unwrap();
        vec![
            found("loss and norms", scalars.iter().map(|&v| v as f32).collect()),
            found("slope", backend.download_maps(&slope).unwrap()),
            found("weights", numbers(&weights)),
            found("first moment", numbers(&first)),
            found("second moment", numbers(&second)),
            found("average", numbers(&average)),
        ]
    }
}

#[test]
fn loss_and_updates_agree_with_the_cpu() {
    for len in [1, 31, 40_001] {
        for clip_norm in [0.0, 0.5] {
            assert_agrees(&Learned { len, clip_norm });
        }
    }
}

#[cfg(feature = "emulation")]
#[test]
fn a_step_that_went_wrong_changes_nothing() {
    let device = emulated(Precision::F32);
    let extent = Extent { count: 1, height: 1, width: 3 };
    let y = device.maps(&[1.0, f32::NAN, 0.0], extent, 1);
    let (loss, _) = device.squared_error(&y, &device.maps(&[0.0; 3], extent, 1));
    let before = [1.0, 2.0, 3.0];
    let mut weights = device.upload(&before);
    let (mut first, mut second) = (device.zeros(3), device.zeros(3));
    let update = AdamW {
        clip_norm: 1.0,
        keep: 0.5,
        betas: [0.9, 0.999],
        step_size: 0.1,
        correction: 1.0,
        epsilon: 1e-8,
        average: 0.0,
    };
    let mut prepared = None;
    device.prepare(&update, &mut prepared);
    let state =
        State { weights: &mut weights, first: &mut first, second: &mut second, average: None };
    let norm = device.update(&prepared.unwrap(), &loss, &device.upload(&[3.0, 0.0, 4.0]), state);
    let scalars = device.read(&[&loss, &norm]).unwrap();
    assert!(scalars[0].is_nan() && scalars[1] == 5.0, "{scalars:?}");
    assert_eq!(device.download(&weights).unwrap(), before);
    assert_eq!(device.download(&first).unwrap(), [0.0; 3]);
}

#[cfg(feature = "emulation")]
#[test]
fn a_failure_is_reported_once_and_what_follows_works() {
    let device = emulated(Precision::F32);
    let extent = Extent { count: 1, height: 2, width: 2 };
    let qkv = device.maps(&[0.0; 4 * 3 * 40], extent, 3 * 40);
    let wide = Attention { channels: 40, head_channels: 40 };
    let mixed = device.attend(&wide, &qkv);
    let error = device.download_maps(&mixed).unwrap_err().to_string();
    assert!(error.contains("heads of 40 channels") && error.contains("at most 32"), "{error}");
    let narrow = Attention { channels: 40, head_channels: 8 };
    assert_eq!(device.download_maps(&device.attend(&narrow, &qkv)).unwrap(), [0.0; 160]);
}
