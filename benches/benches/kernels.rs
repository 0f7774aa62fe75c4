//! Operations of the network, each beside its plain reference: a kernel stays only if it gains here.

use std::hint::black_box;

use candle_core::{Device, Result, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{key, time};
use disyre_core::rand::RngExt;
use disyre_kernels::reference;

/// Batch, channels in, channels out, extent: a middle layer of the small network, the first level of the published one.
const LAYERS: [(&str, [usize; 4]); 2] =
    [("8x64x32x32", [8, 64, 64, 32]), ("1x32x128x128", [1, 32, 32, 128])];

type Convolution = fn(&Tensor, &Tensor, Option<&Tensor>, usize) -> Result<Tensor>;
type Normalisation = fn(&Tensor, &Tensor, &Tensor, usize, f64) -> Result<Tensor>;

fn uniform(name: &str, shape: &[usize]) -> Tensor {
    let mut rng = key("kernels").child(name).rng();
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values as the shape has")
}

/// Prints how far the fast form is from the plain one, relative to the greatest value.
fn print_difference(name: &str, fast: Result<Tensor>, plain: Result<Tensor>) {
    let difference = || -> Result<f32> {
        let plain = plain?;
        let scale = plain.abs()?.max_all()?.to_scalar::<f32>()?;
        Ok((fast? - plain)?.abs()?.max_all()?.to_scalar::<f32>()? / scale)
    };
    println!("{name}: differs by {:.1e}", difference().expect("both forms compute"));
}

fn convolution(c: &mut Criterion) {
    let forms: [(&str, Convolution); 2] =
        [("fast", disyre_kernels::conv2d), ("reference", reference::conv2d)];
    let mut group = c.benchmark_group("kernels");
    group.sample_size(10);
    for (size, [n, inputs, outputs, extent]) in LAYERS {
        let x = uniform("x", &[n, inputs, extent, extent]);
        let weight = Var::from_tensor(&uniform("weight", &[outputs, inputs, 3, 3]));
        let weight = weight.expect("a copy of a tensor");
        let bias = uniform("bias", &[outputs]);
        let x = Var::from_tensor(&x).expect("a copy of a tensor");
        let apply = |form: Convolution| form(black_box(&x), &weight, Some(&bias), 1);
        print_difference(&format!("kernels/conv2d/{size}"), apply(forms[0].1), apply(forms[1].1));
        // Multiplications and additions, forward.
        group.throughput(Throughput::Elements(
            (2 * 9 * n * inputs * outputs * extent * extent) as u64,
        ));
        for (variant, form) in forms {
            group.bench_function(format!("conv2d/{variant}/{size}"), |b| time(b, || apply(form)));
            group.bench_function(format!("conv2d_and_gradients/{variant}/{size}"), |b| {
                time(b, || apply(form)?.sqr()?.sum_all()?.backward());
            });
        }
    }
    group.finish();
}

fn normalisation(c: &mut Criterion) {
    let forms: [(&str, Normalisation); 2] =
        [("fast", disyre_kernels::group_norm_silu), ("reference", reference::group_norm_silu)];
    let mut group = c.benchmark_group("kernels");
    for (size, [n, channels, _, extent]) in LAYERS {
        let x = uniform("x", &[n, channels, extent, extent]);
        let (weight, bias) = (uniform("weight", &[channels]), uniform("bias", &[channels]));
        let apply = |form: Normalisation| form(black_box(&x), &weight, &bias, 8, 1e-5);
        let name = format!("kernels/group_norm_silu/{size}");
        print_difference(&name, apply(forms[0].1), apply(forms[1].1));
        group.throughput(Throughput::Elements(x.elem_count() as u64));
        for (variant, form) in forms {
            group.bench_function(format!("group_norm_silu/{variant}/{size}"), |b| {
                time(b, || apply(form));
            });
        }
        for (variant, form) in [
            ("fast", disyre_kernels::upsample_nearest2 as fn(&Tensor) -> Result<Tensor>),
            ("reference", reference::upsample_nearest2),
        ] {
            group.bench_function(format!("upsample_nearest2/{variant}/{size}"), |b| {
                time(b, || form(black_box(&x)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, convolution, normalisation);
criterion_main!(benches);
