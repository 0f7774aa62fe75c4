//! The CUDA kernels against the processor's operations: run by the emulator, and on a device where there is one.
#![cfg(any(feature = "cuda", feature = "cuda-emulation"))]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod common;
mod devices;

use common::numbers;
use devices::{Found, Work, assert_agrees, found, greatest};
#[cfg(feature = "cuda-emulation")]
use devices::{PRECISIONS, emulated};
#[cfg(feature = "cuda-emulation")]
use disyre_kernels::Precision;
use disyre_kernels::backend::{
    Added, Affine, Backend, BackendError, Columns, Conv, Input, Maps, PartGradients, State, Through,
};
use disyre_kernels::{AdamW, Attention, Convolution, Extent, GroupNorm, Kind};
use proptest::prelude::*;

const KINDS: [Kind; 4] = [Kind::Pointwise, Kind::Same, Kind::Halving, Kind::Doubling];

/// A normalised convolution of a source of one or two parts, with all that can go into it.
#[derive(Debug, Clone)]
struct Case {
    layer: Convolution,
    extent: Extent,
    /// Channels of the first part.
    first: usize,
    groups: usize,
    silu: bool,
}

impl Case {
    fn conv(&self) -> Conv {
        let (weight, outputs) = (self.layer.weight_len(), self.layer.outputs);
        Conv { layer: self.layer, weight: 3..3 + weight, bias: 3 + weight..3 + weight + outputs }
    }

    fn affine(&self) -> Affine {
        let (start, channels) = (self.conv().bias.end + 2, self.layer.inputs);
        Affine {
            norm: GroupNorm { groups: self.groups, epsilon: 1e-5 },
            weight: start..start + channels,
            bias: start + channels..start + 2 * channels,
        }
    }

    /// Maps with moments: what a convolution of one channel made. Of few bits, so that bf16 holds them exactly: the
    /// normalisation of a group of nearly equal numbers makes much of their last bits.
    fn part<B: Backend>(&self, backend: &B, channels: usize, seed: u64) -> Maps<B> {
        let pixels = self.extent.count * self.extent.height * self.extent.width;
        let layer = Convolution { kind: Kind::Pointwise, inputs: 1, outputs: channels };
        let conv = Conv { layer, weight: 0..channels, bias: channels..2 * channels };
        let rounded = |count, seed, steps: f32| -> Vec<f32> {
            numbers(count, seed).into_iter().map(|v| (v * steps).round() / steps).collect()
        };
        let signs = numbers(channels, seed).into_iter().map(|v| 0.5f32.copysign(v));
        let weights: Vec<f32> = signs.chain(rounded(channels, seed + 1, 4.0)).collect();
        let weights = backend.upload(&weights);
        let image = backend.maps(&rounded(pixels, seed + 2, 16.0), self.extent, 1);
        let input = Input { parts: &[&image], through: None };
        backend.convolve(&conv, &weights, &input, &Added::default(), true)
    }

    fn try_run<B: Backend>(&self, backend: &B) -> Result<Found, BackendError> {
        let (conv, affine, count) = (self.conv(), self.affine(), self.extent.count);
        let (inputs, outputs) = (self.layer.inputs, self.layer.outputs);
        let result = self.layer.result(self.extent);
        let len = count * result.height * result.width * outputs;
        let weights = backend.upload(&numbers(affine.bias.end, 5));
        let parts: Vec<_> = [(self.first, 1), (inputs - self.first, 11)]
            .into_iter()
            .filter(|(channels, _)| *channels > 0)
            .map(|(channels, seed)| self.part(backend, channels, seed))
            .collect();
        let parts: Vec<&Maps<B>> = parts.iter().collect();
        let normalised = backend.normalise(&affine, &weights, &parts);
        let through = Some(Through { normalised: &normalised, silu: self.silu });
        let input = Input { parts: &parts, through };
        let row = Extent { count: 1, height: 1, width: count };
        let mut columns = backend.maps(&numbers(count * (outputs + 3), 6), row, outputs + 3);
        let added = backend.maps(&numbers(len, 7), result, outputs);
        let addends = Added {
            by_image: Some(Columns { maps: &columns, first: 2 }),
            map: Some(&added.values),
        };
        let y = backend.convolve(&conv, &weights, &input, &addends, true);
        let gradient = backend.maps(&numbers(len, 8), result, outputs);
        let by_input = backend.by_data(&conv, &weights, self.extent, &gradient.values, None);
        let twice = backend.by_data(&conv, &weights, self.extent, &gradient.values, Some(by_input));
        let by_data = self.input_maps(twice);
        let mut out = backend.zeros(affine.bias.end + 4);
        let sums = Some(Columns { maps: &mut columns, first: 1 });
        backend.by_weight(&conv, &input, &gradient.values, &mut out, sums);
        let by_z = backend.by_data_through(&conv, &weights, &input, &gradient.values);
        // The first part has a gradient already, where there are two.
        let mut by_parts: Vec<Option<B::Map>> = parts.iter().map(|_| None).collect();
        if parts.len() == 2 {
            let len = parts[0].extent.count * parts[0].extent.height * parts[0].extent.width;
            let before = numbers(len * self.first, 9);
            by_parts[0] = Some(backend.maps(&before, self.extent, self.first).values);
        }
        let to = PartGradients { addend: Some(&by_data.values), by_parts: &mut by_parts };
        backend.by_parts(&affine, &weights, &input, by_z, &mut out, to);
        // The moments of y, seen through a normalisation of their own.
        let out_affine = Affine {
            norm: GroupNorm { groups: 1, epsilon: 1.0 },
            weight: 0..outputs,
            bias: outputs..2 * outputs,
        };
        let affine_weights = backend.upload(&numbers(2 * outputs, 10));
        let normalised = backend.normalise(&out_affine, &affine_weights, &[&y]);
        let identity = Convolution { kind: Kind::Pointwise, inputs: outputs, outputs: 1 };
        let look = Conv { layer: identity, weight: 0..outputs, bias: outputs..outputs + 1 };
        let through = Some(Through { normalised: &normalised, silu: false });
        let normal = Input { parts: &[&y], through };
        let seen = backend.convolve(&look, &affine_weights, &normal, &Added::default(), false);
        let out = backend.download(&out)?;
        let by_data = backend.download_maps(&by_data)?;
        let terms = ((count * self.extent.height * self.extent.width) as f32).sqrt();
        let by_z = greatest(&by_data) * terms;
        let terms = (len as f32 / outputs as f32).sqrt();
        let mut all = vec![
            found("y", backend.download_maps(&y)?),
            found("normalised y", backend.download_maps(&seen)?),
            found("by data", by_data),
            found("by weight", out[conv.weight.clone()].to_vec()),
            ("by bias", out[conv.bias.clone()].to_vec(), terms),
            ("by norm", out[affine.weight.start..affine.bias.end].to_vec(), by_z),
            ("elsewhere", out[affine.bias.end..].to_vec(), 0.0),
            ("by image", backend.download_maps(&columns)?, terms),
        ];
        for (part, by_part) in parts.iter().zip(by_parts) {
            let maps = Maps {
                extent: self.extent,
                channels: part.channels,
                values: by_part.unwrap(),
                moments: None,
            };
            all.push(found("by x", backend.download_maps(&maps)?));
        }
        Ok(all)
    }

    fn input_maps<B: Backend>(&self, values: B::Map) -> Maps<B> {
        Maps { extent: self.extent, channels: self.layer.inputs, values, moments: None }
    }
}

impl Work for Case {
    fn run<B: Backend>(&self, backend: &B) -> Found {
        self.try_run(backend).unwrap()
    }
}

fn case() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![Just(1), Just(16), Just(32), Just(36), 1..70usize];
    let sizes = (1..4usize, 1..12usize, 1..19usize);
    let options = (0..4usize, any::<bool>(), 0.0..1.0f64);
    (sizes, (channels.clone(), channels), options).prop_map(
        |((count, height, width), (inputs, outputs), (kind, silu, share))| Case {
            layer: Convolution { kind: KINDS[kind], inputs, outputs },
            extent: Extent { count, height, width },
            first: ((inputs as f64 * share) as usize).max(1),
            groups: if inputs % 4 == 0 { inputs / 4 } else { 1 },
            silu,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_pass_agrees_with_the_processor(case in case()) {
        assert_agrees(&case);
    }
}

#[test]
fn layers_of_many_tiles_agree_with_the_processor() {
    let case = |kind, [inputs, outputs]: [usize; 2], [count, height, width]: [usize; 3]| Case {
        layer: Convolution { kind, inputs, outputs },
        extent: Extent { count, height, width },
        first: inputs / 2,
        groups: 2,
        silu: true,
    };
    let cases = [
        case(Kind::Same, [96, 32], [1, 24, 33]),
        case(Kind::Same, [64, 160], [9, 4, 4]),
        case(Kind::Halving, [40, 33], [2, 31, 17]),
        case(Kind::Doubling, [34, 64], [2, 10, 15]),
        case(Kind::Pointwise, [130, 48], [1, 50, 60]),
    ];
    cases.iter().for_each(assert_agrees);
}

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
        let values = backend.by_attended(&attention, &qkv, &gradient.values);
        let by_qkv = Maps { extent, channels: qkv.channels, values, moments: None };
        vec![
            found("result", backend.download_maps(&mixed).unwrap()),
            found("gradient", backend.download_maps(&by_qkv).unwrap()),
        ]
    }
}

#[test]
fn attention_agrees_with_the_processor() {
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
        let slope = Maps { extent, channels: 1, values: slope, moments: None };
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
fn loss_and_updates_agree_with_the_processor() {
    for len in [1, 31, 40_001] {
        for clip_norm in [0.0, 0.5] {
            assert_agrees(&Learned { len, clip_norm });
        }
    }
}

#[cfg(feature = "cuda-emulation")]
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

#[cfg(feature = "cuda-emulation")]
#[test]
fn a_failure_is_told_once_and_what_follows_works() {
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

#[cfg(feature = "cuda-emulation")]
#[test]
fn an_image_does_not_depend_on_its_batch() {
    let case = |count| Case {
        layer: Convolution { kind: Kind::Same, inputs: 36, outputs: 34 },
        extent: Extent { count, height: 5, width: 6 },
        first: 20,
        groups: 4,
        silu: true,
    };
    for precision in PRECISIONS {
        let device = emulated(precision);
        let forward = |count| {
            let case = case(count);
            let (first, second) = (case.part(&device, 20, 1), case.part(&device, 16, 11));
            let weights = device.upload(&numbers(case.affine().bias.end, 5));
            let normalised = device.normalise(&case.affine(), &weights, &[&first, &second]);
            let through = Some(Through { normalised: &normalised, silu: true });
            let input = Input { parts: &[&first, &second], through };
            let y = device.convolve(&case.conv(), &weights, &input, &Added::default(), true);
            device.download_maps(&y).unwrap()
        };
        let (alone, many) = (forward(1), forward(7));
        assert!(alone == many[..alone.len()], "{precision}");
    }
}
