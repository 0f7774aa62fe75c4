//! Convolutions of the published network in all passes, precisions and instruction sets of this CPU, and the other
//! operations. Throughput counts multiplications and additions; compare it with the printed ceiling times the threads.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::layers::{LAYERS, Layer, uniform};
use disyre_kernels::{Addends, Attention, Compute, ConvInput, Cpu, Extent, InputPart, peak_flops};

fn convolution(c: &mut Criterion) {
    let mut group = c.benchmark_group("kernels");
    group.sample_size(10);
    for compute in Compute::all() {
        println!("kernels: ceiling of {compute}: {:.0} GFLOP/s a core", peak_flops(&compute) / 1e9);
    }
    for (kind, size) in LAYERS {
        let data = Layer::new(kind, size);
        let Layer { layer, extent, x, weight, gradient, ones, zeros } = &data;
        let parts = [InputPart::new(x, layer.inputs)];
        let source = ConvInput { parts: &parts, transform: Some(data.transform()) };
        group.throughput(Throughput::Elements(data.flops()));
        for compute in Compute::all() {
            let cpu = Cpu::new(compute);
            let name = |pass| {
                let [n, s, i, o] = size;
                format!(
                    "{pass}/{}-{}/{kind:?}-{n}x{s}x{s}-{i}-{o}",
                    compute.isa(),
                    compute.precision()
                )
                .to_lowercase()
            };
            group.bench_function(name("forward"), |b| {
                b.iter(|| {
                    layer.forward(
                        &cpu,
                        *extent,
                        black_box(&source),
                        weight,
                        &Addends::default(),
                        true,
                    )
                });
            });
            group.bench_function(name("backward_data"), |b| {
                b.iter(|| {
                    layer.backward_data_through_norm(
                        &cpu,
                        *extent,
                        black_box(gradient),
                        weight,
                        &source,
                        (ones, zeros),
                    )
                });
            });
            let mut out = vec![0.0; layer.weight_len()];
            group.bench_function(name("backward_filter"), |b| {
                b.iter(|| {
                    layer.backward_filter(&cpu, *extent, black_box(&source), gradient, &mut out)
                });
            });
        }
    }
    group.finish();
}

fn attention(c: &mut Criterion) {
    let layer = Attention { channels: 256, head_channels: 8 };
    let extent = Extent { count: 8, height: 8, width: 8 };
    let (qkv, gradient) = (uniform("qkv", 8 * 64 * 768), uniform("gradient", 8 * 64 * 256));
    let cpu = Cpu::default();
    let mut group = c.benchmark_group("kernels");
    group.bench_function("attention/forward/8x8x8-256", |b| {
        b.iter(|| layer.forward(&cpu, extent, black_box(&qkv)));
    });
    group.bench_function("attention/backward/8x8x8-256", |b| {
        b.iter(|| layer.backward(&cpu, extent, black_box(&qkv), &gradient));
    });
    group.finish();
}

criterion_group!(benches, convolution, attention);
criterion_main!(benches);
