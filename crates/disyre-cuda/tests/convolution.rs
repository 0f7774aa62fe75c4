//! All passes of a normalised convolution by the CUDA kernels against those of the CPU.
#![cfg(any(feature = "cuda", feature = "emulation"))]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

#[path = "../../disyre-kernels/tests/common/mod.rs"]
mod common;
mod devices;

use common::numbers;
use devices::{Found, Work, assert_agrees, found, greatest};
use disyre_kernels::backend::{
    Added, Affine, Backend, Columns, Conv, FeatureMaps, Input, PartGradients, Through,
};
use disyre_kernels::{ConvKind, Convolution, Extent, GroupNorm};
use proptest::prelude::*;

const KINDS: [ConvKind; 4] =
    [ConvKind::Pointwise, ConvKind::Conv3x3, ConvKind::Strided, ConvKind::Upsampled];

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

    fn pixels(&self) -> usize {
        self.extent.count * self.extent.height * self.extent.width
    }

    /// Numbers of the result.
    fn len(&self) -> usize {
        let result = self.layer.result(self.extent);
        result.count * result.height * result.width * self.layer.outputs
    }

    fn parts<B: Backend>(&self, backend: &B) -> Vec<FeatureMaps<B>> {
        let parts = [(self.first, 1), (self.layer.inputs - self.first, 11)].into_iter();
        let parts = parts.filter(|(channels, _)| *channels > 0);
        parts.map(|(channels, seed)| self.part(backend, channels, seed)).collect()
    }

    /// FeatureMaps with moments: what a convolution of one channel made. Of few bits, so that bf16 holds them exactly: the
    /// normalisation of a group of nearly equal numbers makes much of their last bits.
    fn part<B: Backend>(&self, backend: &B, channels: usize, seed: u64) -> FeatureMaps<B> {
        let layer = Convolution { kind: ConvKind::Pointwise, inputs: 1, outputs: channels };
        let conv = Conv { layer, weight: 0..channels, bias: channels..2 * channels };
        let rounded = |count, seed, steps: f32| -> Vec<f32> {
            numbers(count, seed).into_iter().map(|v| (v * steps).round() / steps).collect()
        };
        let signs = numbers(channels, seed).into_iter().map(|v| 0.5f32.copysign(v));
        let weights: Vec<f32> = signs.chain(rounded(channels, seed + 1, 4.0)).collect();
        let weights = backend.upload(&weights);
        let image = backend.maps(&rounded(self.pixels(), seed + 2, 16.0), self.extent, 1);
        let input = Input { parts: &[&image], through: None };
        backend.convolve(&conv, &weights, &input, &Added::default(), true)
    }

    /// A row of pixels, one for each image, of three channels more than the result has.
    fn columns<B: Backend>(&self, backend: &B) -> FeatureMaps<B> {
        let (width, channels) = (self.extent.count, self.layer.outputs + 3);
        let row = Extent { count: 1, height: 1, width };
        backend.maps(&numbers(width * channels, 6), row, channels)
    }
}

impl Work for Case {
    fn run<B: Backend>(&self, backend: &B) -> Found {
        let weights = backend.upload(&numbers(self.affine().bias.end, 5));
        let parts = self.parts(backend);
        let parts: Vec<&FeatureMaps<B>> = parts.iter().collect();
        let normalised = backend.normalise(&self.affine(), &weights, &parts);
        let through = Some(Through { normalised: &normalised, silu: self.silu });
        let input = Input { parts: &parts, through };
        let on = On { case: self, backend, weights: &weights, input: &input };
        [on.forward(), on.backward()].concat()
    }
}

/// A case on one device.
struct On<'a, B: Backend> {
    case: &'a Case,
    backend: &'a B,
    weights: &'a B::Values,
    input: &'a Input<'a, B>,
}

impl<B: Backend> On<'_, B> {
    fn forward(&self) -> Found {
        let Self { case, backend, .. } = self;
        let (columns, result) = (case.columns(*backend), case.layer.result(case.extent));
        let added = backend.maps(&numbers(case.len(), 7), result, case.layer.outputs);
        let addends = Added {
            by_image: Some(Columns { maps: &columns, first: 2 }),
            map: Some(added.values()),
        };
        let y = backend.convolve(&case.conv(), self.weights, self.input, &addends, true);
        vec![
            found("y", backend.download_maps(&y).unwrap()),
            found("normalised y", backend.download_maps(&self.normalised(&y)).unwrap()),
        ]
    }

    /// The moments of y, seen through a normalisation of their own.
    fn normalised(&self, y: &FeatureMaps<B>) -> FeatureMaps<B> {
        let channels = y.channels();
        let affine = Affine {
            norm: GroupNorm { groups: 1, epsilon: 1.0 },
            weight: 0..channels,
            bias: channels..2 * channels,
        };
        let weights = self.backend.upload(&numbers(2 * channels, 10));
        let normalised = self.backend.normalise(&affine, &weights, &[y]);
        let layer = Convolution { kind: ConvKind::Pointwise, inputs: channels, outputs: 1 };
        let look = Conv { layer, weight: 0..channels, bias: channels..channels + 1 };
        let through = Some(Through { normalised: &normalised, silu: false });
        let input = Input { parts: &[y], through };
        self.backend.convolve(&look, &weights, &input, &Added::default(), false)
    }

    fn backward(&self) -> Found {
        let Self { case, backend, .. } = self;
        let (conv, affine, result) = (case.conv(), case.affine(), case.layer.result(case.extent));
        let gradient =
            backend.maps(&numbers(case.len(), 8), result, case.layer.outputs).into_values();
        let mut out = backend.zeros(affine.bias.end + 4);
        let mut columns = case.columns(*backend);
        let sums = Some(Columns { maps: &mut columns, first: 1 });
        backend.backward_filter(&conv, self.input, &gradient, &mut out, sums);
        let by_data = self.by_data(&gradient);
        let by_parts = self.by_parts(&gradient, &by_data, &mut out);
        let out = backend.download(&out).unwrap();
        let by_data = backend.download_maps(&by_data).unwrap();
        let by_z = greatest(&by_data) * (case.pixels() as f32).sqrt();
        let terms = (case.len() as f32 / case.layer.outputs as f32).sqrt();
        let mut all = vec![
            found("by data", by_data),
            found("by weight", out[conv.weight].to_vec()),
            ("by bias", out[conv.bias].to_vec(), terms),
            ("by norm", out[affine.weight.start..affine.bias.end].to_vec(), by_z),
            ("elsewhere", out[affine.bias.end..].to_vec(), 0.0),
            ("by image", backend.download_maps(&columns).unwrap(), terms),
        ];
        let by_parts = by_parts.iter().map(|maps| backend.download_maps(maps).unwrap());
        all.extend(by_parts.map(|values| found("by x", values)));
        all
    }

    /// The gradient by the input without its normalisation, added to itself.
    fn by_data(&self, gradient: &B::Map) -> FeatureMaps<B> {
        let (conv, extent) = (self.case.conv(), self.case.extent);
        let by_data =
            |onto| self.backend.backward_data(&conv, self.weights, extent, gradient, onto);
        let values = by_data(Some(by_data(None)));
        FeatureMaps::new(extent, self.case.layer.inputs, values)
    }

    /// The gradients by the parts, and those by the normalisation to `out`.
    fn by_parts(
        &self,
        gradient: &B::Map,
        addend: &FeatureMaps<B>,
        out: &mut B::Values,
    ) -> Vec<FeatureMaps<B>> {
        let Self { case, backend, weights, input } = self;
        let by_z = backend.backward_data_through_norm(&case.conv(), weights, input, gradient);
        let mut by_parts: Vec<Option<B::Map>> = input.parts.iter().map(|_| None).collect();
        // The first part has a gradient already, where there are two.
        if by_parts.len() == 2 {
            let before = numbers(case.pixels() * case.first, 9);
            by_parts[0] = Some(backend.maps(&before, case.extent, case.first).into_values());
        }
        let to = PartGradients { addend: Some(addend.values()), by_parts: &mut by_parts };
        backend.backward_norm(&case.affine(), weights, input, by_z, out, to);
        let maps = |(part, values): (&&FeatureMaps<B>, Option<B::Map>)| {
            FeatureMaps::new(case.extent, part.channels(), values.unwrap())
        };
        input.parts.iter().zip(by_parts).map(maps).collect()
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
    fn every_pass_agrees_with_the_cpu(case in case()) {
        assert_agrees(&case);
    }
}

#[test]
fn layers_of_many_tiles_agree_with_the_cpu() {
    let case = |kind, [inputs, outputs]: [usize; 2], [count, height, width]: [usize; 3]| Case {
        layer: Convolution { kind, inputs, outputs },
        extent: Extent { count, height, width },
        first: inputs / 2,
        groups: 2,
        silu: true,
    };
    let cases = [
        case(ConvKind::Conv3x3, [96, 32], [1, 24, 33]),
        case(ConvKind::Conv3x3, [64, 160], [9, 4, 4]),
        case(ConvKind::Strided, [40, 33], [2, 31, 17]),
        case(ConvKind::Upsampled, [34, 64], [2, 10, 15]),
        case(ConvKind::Pointwise, [130, 48], [1, 50, 60]),
    ];
    cases.iter().for_each(assert_agrees);
}

#[cfg(feature = "emulation")]
#[test]
fn an_image_does_not_depend_on_its_batch() {
    let case = |count| Case {
        layer: Convolution { kind: ConvKind::Conv3x3, inputs: 36, outputs: 34 },
        extent: Extent { count, height: 5, width: 6 },
        first: 20,
        groups: 4,
        silu: true,
    };
    for precision in devices::PRECISIONS {
        let device = devices::emulated(precision);
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
