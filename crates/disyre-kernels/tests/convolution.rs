//! All passes of all kinds of convolution, on all instructions of this CPU, against plain loops in `f64`.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod common;

use common::{assert_within, every_compute, numbers, on_pools, tolerance};
use disyre_kernels::{
    Addends, Compute, ConvInput, ConvKind, Convolution, Cpu, Extent, InputPart, InputTransform,
};
use proptest::prelude::*;

const KINDS: [ConvKind; 4] =
    [ConvKind::Pointwise, ConvKind::Conv3x3, ConvKind::Strided, ConvKind::Upsampled];

/// A convolution of a source in two parts, with all that can go into it.
#[derive(Debug, Clone)]
struct Case {
    layer: Convolution,
    extent: Extent,
    /// Channels of the first part.
    first: usize,
    silu: bool,
}

/// Numbers for a case.
struct Data {
    parts: [Vec<f32>; 2],
    scale: Vec<f32>,
    shift: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    by_image: Vec<f32>,
    images: Vec<f32>,
    gradient: Vec<f32>,
}

/// Results of all passes of one case.
struct Results {
    y: Vec<f32>,
    moments: Vec<[f64; 2]>,
    backward_data: Vec<f32>,
    by_z: Vec<f32>,
    sums: Vec<[f64; 2]>,
    backward_filter: Vec<f32>,
    by_image: Vec<f64>,
}

/// Sums of products, and of their squares.
struct Sums {
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn new(count: usize) -> Self {
        Self { values: vec![0.0; count], squares: vec![0.0; count] }
    }

    fn add(&mut self, at: usize, term: f64) {
        self.values[at] += term;
        self.squares[at] += term * term;
    }

    /// Scale of the roundings: the greatest sum, or the greatest root of squared terms where more of these is
    /// lost. Terms of both signs may leave little of a sum (and of a single sum nothing greater), but they leave all of
    /// their roundings.
    fn size(&self) -> f32 {
        let squares = self.squares.iter().copied().fold(0.0, f64::max);
        let greatest = self.values.iter().fold(0.0f64, |max, v| max.max(v.abs()));
        greatest.max(squares.sqrt()) as f32
    }
}

/// The sizes of the results, as [`Sums::size`].
struct Sizes {
    y: f32,
    backward_data: f32,
    backward_filter: f32,
    by_image: f32,
}

impl Case {
    fn pixels(&self) -> usize {
        self.extent.count * self.extent.height * self.extent.width
    }

    fn data(&self) -> Data {
        let Convolution { inputs, outputs, .. } = self.layer;
        let result = self.layer.result(self.extent);
        let y = self.extent.count * result.height * result.width * outputs;
        let (n, rest) = (self.extent.count, inputs - self.first);
        Data {
            parts: [numbers(self.pixels() * self.first, 1), numbers(self.pixels() * rest, 2)],
            scale: numbers(n * inputs, 3),
            shift: numbers(n * inputs, 4),
            weight: numbers(self.layer.weight_len(), 5),
            bias: numbers(outputs, 6),
            by_image: numbers(n * outputs, 7),
            images: numbers(y, 8),
            gradient: numbers(y, 9),
        }
    }

    fn ours(&self, cpu: &Cpu, data: &Data) -> Results {
        let parts = [
            InputPart::new(&data.parts[0], self.first),
            InputPart::new(&data.parts[1], self.layer.inputs - self.first),
        ];
        let parts = if self.first == self.layer.inputs { &parts[..1] } else { &parts[..] };
        let transform = InputTransform { scale: &data.scale, shift: &data.shift, silu: self.silu };
        let source = ConvInput { parts, transform: Some(transform) };
        let addends = Addends {
            bias: Some(&data.bias),
            by_image: Some(&data.by_image),
            images: Some(&data.images),
        };
        let (layer, weight) = (self.layer, &data.weight[..]);
        let y = layer.forward(cpu, self.extent, &source, weight, &addends, true);
        let backward_data = layer.backward_data(cpu, self.extent, &data.gradient, weight);
        let statistics = (&data.scale[..], &data.shift[..]);
        let norm = layer.backward_data_through_norm(
            cpu,
            self.extent,
            &data.gradient,
            weight,
            &source,
            statistics,
        );
        let mut backward_filter = vec![f32::NAN; layer.weight_len()];
        let by_image =
            layer.backward_filter(cpu, self.extent, &source, &data.gradient, &mut backward_filter);
        Results {
            y: y.values.to_vec(),
            moments: y.moments,
            backward_data: backward_data.to_vec(),
            by_z: norm.by_z.to_vec(),
            sums: norm.sums,
            backward_filter,
            by_image,
        }
    }

    /// z = scale · x + shift at a place of the source, and x itself.
    fn z(&self, data: &Data, pixel: usize, channel: usize) -> (f64, f64) {
        let rest = self.layer.inputs - self.first;
        let x = match channel < self.first {
            true => data.parts[0][pixel * self.first + channel],
            false => data.parts[1][pixel * rest + channel - self.first],
        };
        let image = pixel / (self.extent.height * self.extent.width);
        let at = image * self.layer.inputs + channel;
        (f64::from(data.scale[at]) * f64::from(x) + f64::from(data.shift[at]), f64::from(x))
    }

    /// Calls `term(y index, source pixel, input channel, output channel, weight index)` for every product.
    fn for_each_product(&self, mut term: impl FnMut(usize, usize, usize, usize, usize)) {
        let Convolution { kind, inputs, outputs } = self.layer;
        let (result, k) = (self.layer.result(self.extent), kind.kernel());
        let stride = if kind == ConvKind::Strided { 2 } else { 1 };
        let doubled = if kind == ConvKind::Upsampled { 2 } else { 1 };
        let inside = |i: usize, u: usize, extent: usize| {
            (i * stride + u)
                .checked_sub(k / 2)
                .filter(|&i| i < extent * doubled)
                .map(|i| i / doubled)
        };
        for n in 0..result.count {
            for (i, j) in (0..result.height).flat_map(|i| (0..result.width).map(move |j| (i, j))) {
                for (u, v) in (0..k).flat_map(|u| (0..k).map(move |v| (u, v))) {
                    let place = (inside(i, u, self.extent.height), inside(j, v, self.extent.width));
                    let (Some(y), Some(x)) = place else { continue };
                    let pixel = (n * self.extent.height + y) * self.extent.width + x;
                    let out = ((n * result.height + i) * result.width + j) * outputs;
                    for c in 0..inputs {
                        for o in 0..outputs {
                            term(out + o, pixel, c, o, ((u * k + v) * inputs + c) * outputs + o);
                        }
                    }
                }
            }
        }
    }

    fn plain(&self, data: &Data) -> (Results, Sizes) {
        let Convolution { inputs, outputs, .. } = self.layer;
        let pixels = self.extent.height * self.extent.width;
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let activated: Vec<f64> = (0..self.pixels() * inputs)
            .map(|i| self.z(data, i / inputs, i % inputs).0)
            .map(|z| if self.silu { z * sigmoid(z) } else { z })
            .collect();
        let result = self.layer.result(self.extent);
        let out_pixels = result.height * result.width;
        let mut y = Sums::new(data.images.len());
        let mut by_image = Sums::new(self.extent.count * outputs);
        for i in 0..data.images.len() {
            let at = i / outputs / out_pixels * outputs + i % outputs;
            y.add(i, f64::from(data.bias[i % outputs]));
            y.add(i, f64::from(data.by_image[at]));
            y.add(i, f64::from(data.images[i]));
            by_image.add(at, f64::from(data.gradient[i]));
        }
        let mut backward_data = Sums::new(activated.len());
        let mut backward_filter = Sums::new(data.weight.len());
        self.for_each_product(|out, pixel, c, _, w| {
            let (weight, g) = (f64::from(data.weight[w]), f64::from(data.gradient[out]));
            y.add(out, weight * activated[pixel * inputs + c]);
            backward_data.add(pixel * inputs + c, weight * g);
            backward_filter.add(w, activated[pixel * inputs + c] * g);
        });
        let mut sums = vec![[0.0; 2]; self.extent.count * inputs];
        let by_z: Vec<f64> = (0..backward_data.values.len())
            .map(|i| {
                let (z, x) = self.z(data, i / inputs, i % inputs);
                let s = sigmoid(z);
                let slope = if self.silu { s * (1.0 + z * (1.0 - s)) } else { 1.0 };
                let at = i / inputs / pixels * inputs + i % inputs;
                let g = backward_data.values[i] * slope;
                let normal = f64::from(data.scale[at]) * x + f64::from(data.shift[at]);
                sums[at] = [sums[at][0] + g, sums[at][1] + g * normal];
                g
            })
            .collect();
        let each = || (0..self.extent.count).flat_map(|n| (0..outputs).map(move |o| (n, o)));
        let moments = each().map(|(n, o)| {
            let image = &y.values[n * out_pixels * outputs..][..out_pixels * outputs];
            let values = || image.iter().skip(o).step_by(outputs);
            let mean = values().sum::<f64>() / out_pixels as f64;
            [mean, values().map(|v| (v - mean) * (v - mean)).sum()]
        });
        let results = Results {
            moments: moments.collect(),
            y: single(&y.values),
            backward_data: single(&backward_data.values),
            by_z: single(&by_z),
            sums,
            backward_filter: single(&backward_filter.values),
            by_image: by_image.values.clone(),
        };
        let [y, backward_data, backward_filter, by_image] =
            [&y, &backward_data, &backward_filter, &by_image].map(Sums::size);
        (results, Sizes { y, backward_data, backward_filter, by_image })
    }

    fn assert_agrees(&self, compute: Compute) {
        let data = self.data();
        let (ours, (plain, sizes)) = (self.ours(&Cpu::new(compute), &data), self.plain(&data));
        let close = |what, ours: &[f32], plain: &[f32], size: f32| {
            let name = format!("{what} of {self:?} in {compute}");
            assert_within(&name, ours, plain, tolerance(compute) * size);
        };
        let pixels = |extent: Extent| (extent.height * extent.width) as f32;
        let (of_y, of_x) = (pixels(self.layer.result(self.extent)), pixels(self.extent));
        let [means, squares] = [0, 1].map(|k| [&ours, &plain].map(|r| column(&r.moments, k)));
        close("y", &ours.y, &plain.y, sizes.y);
        close("means", &means[0], &means[1], sizes.y);
        // Of (v + e)² − v² over all pixels, e at most what y may be off by.
        let greatest = squares[1].iter().fold(0.0f32, |max, &s| max.max(s));
        let of_squares = 2.0 * (of_y * greatest).sqrt() + of_y * tolerance(compute) * sizes.y;
        close("squares", &squares[0], &squares[1], sizes.y * of_squares);
        close("backward data", &ours.backward_data, &plain.backward_data, sizes.backward_data);
        close("by z", &ours.by_z, &plain.by_z, sizes.backward_data);
        let by_z = sizes.backward_data * of_x.sqrt();
        close("sums", &flat(&ours.sums), &flat(&plain.sums), by_z);
        close(
            "backward filter",
            &ours.backward_filter,
            &plain.backward_filter,
            sizes.backward_filter,
        );
        let by_image = [&ours, &plain].map(|r| single(&r.by_image));
        assert_within("by image", &by_image[0], &by_image[1], 1e-5 * sizes.by_image);
    }
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

fn column(pairs: &[[f64; 2]], k: usize) -> Vec<f32> {
    single(&pairs.iter().map(|pair| pair[k]).collect::<Vec<_>>())
}

fn flat(pairs: &[[f64; 2]]) -> Vec<f32> {
    single(&pairs.iter().flatten().copied().collect::<Vec<_>>())
}

fn case() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![Just(1), Just(16), Just(32), Just(48), 1..70usize];
    let sizes = (1..4usize, 1..14usize, 1..19usize);
    let options = (0..4usize, any::<bool>(), 0.0..1.0f64);
    (sizes, (channels.clone(), channels), options).prop_map(
        |((count, height, width), (inputs, outputs), (kind, silu, share))| Case {
            layer: Convolution { kind: KINDS[kind], inputs, outputs },
            extent: Extent { count, height, width },
            first: ((inputs as f64 * share) as usize).max(1),
            silu,
        },
    )
}

/// Sizes that are cut into several pieces along images, rows and channels.
fn large() -> Vec<Case> {
    let case = |kind, [inputs, outputs]: [usize; 2], [count, height, width]: [usize; 3]| Case {
        layer: Convolution { kind, inputs, outputs },
        extent: Extent { count, height, width },
        first: inputs / 2,
        silu: true,
    };
    vec![
        case(ConvKind::Conv3x3, [96, 32], [1, 64, 65]),
        case(ConvKind::Conv3x3, [33, 20], [2, 35, 39]),
        case(ConvKind::Conv3x3, [40, 70], [1, 17, 15]),
        // By weight in tiles of another size, and in the shortest strips.
        case(ConvKind::Conv3x3, [130, 112], [1, 33, 34]),
        case(ConvKind::Conv3x3, [64, 160], [9, 4, 4]),
        case(ConvKind::Strided, [40, 33], [2, 63, 33]),
        // Half of the sub-grids have no column.
        case(ConvKind::Strided, [3, 16], [2, 5, 1]),
        case(ConvKind::Upsampled, [34, 64], [2, 20, 31]),
        case(ConvKind::Pointwise, [130, 48], [3, 30, 16]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_pass_agrees_with_plain_loops(case in case()) {
        every_compute().into_iter().for_each(|compute| case.assert_agrees(compute));
    }
}

#[test]
fn large_layers_agree_with_plain_loops() {
    for case in large() {
        every_compute().into_iter().for_each(|compute| case.assert_agrees(compute));
    }
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    for case in large() {
        let data = case.data();
        for compute in every_compute() {
            on_pools(|| {
                let results = case.ours(&Cpu::new(compute), &data);
                let Results { y, moments, backward_data, by_z, sums, backward_filter, by_image } =
                    results;
                [
                    y,
                    flat(&moments),
                    backward_data,
                    by_z,
                    flat(&sums),
                    backward_filter,
                    single(&by_image),
                ]
            });
        }
    }
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    for mut case in large() {
        case.extent.count = 7;
        let data = case.data();
        for compute in every_compute() {
            let whole = case.ours(&Cpu::new(compute), &data);
            let alone = Case { extent: Extent { count: 1, ..case.extent }, ..case.clone() };
            let data = case.data();
            let first = |values: &[f32]| values[..values.len() / 7].to_vec();
            let data = Data {
                parts: [first(&data.parts[0]), first(&data.parts[1])],
                scale: first(&data.scale),
                shift: first(&data.shift),
                by_image: first(&data.by_image),
                images: first(&data.images),
                gradient: first(&data.gradient),
                ..data
            };
            let alone = alone.ours(&Cpu::new(compute), &data);
            assert!(alone.y == first(&whole.y) && alone.by_z == first(&whole.by_z), "{compute}");
            assert!(flat(&alone.moments) == first(&flat(&whole.moments)), "{compute}");
        }
    }
}
