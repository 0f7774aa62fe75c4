//! Bias field correction.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{brain, key, time};
use disyre_core::ndarray::{Array3, Axis};
use disyre_n4::N4Config;

/// A folded brain under a shading of e^±0.3 along y, and its mask.
fn shaded(shape: [usize; 3]) -> (Array3<f32>, Array3<u8>) {
    let mut data = brain(key("n4"), shape).index_axis_move(Axis(0), 0);
    let mask = data.mapv(|value| u8::from(value > 0.0));
    for (y, mut plane) in data.axis_iter_mut(Axis(1)).enumerate() {
        let shading = (0.6 * (y as f32 / shape[1] as f32 - 0.5)).exp();
        plane.mapv_inplace(|value| shading * value);
    }
    (data, mask)
}

/// Throughput counts the voxels of the image.
fn correct(c: &mut Criterion) {
    let mut group = c.benchmark_group("n4");
    group.sample_size(10);
    for (size, shape) in [("80x96x80", [80, 96, 80]), ("150x190x150", [150, 190, 150])] {
        let (image, mask) = shaded(shape);
        group.throughput(Throughput::Elements(image.len() as u64));
        for (variant, shrink) in [("default", 4), ("shrink-2", 2)] {
            let n4 = N4Config { shrink, ..N4Config::default() }.build().expect("valid settings");
            group.bench_function(format!("correct/{variant}/{size}"), |b| {
                time(b, || n4.correct(black_box(image.view()), mask.view()));
            });
        }
        let n4 = N4Config { iterations: vec![1], ..N4Config::default() }.build().expect("settings");
        let field = n4.correct(image.view(), mask.view()).expect("a field").field;
        group.bench_function(format!("evaluate/lattice-4/{size}"), |b| b.iter(|| field.evaluate()));
    }
    group.finish();
}

criterion_group!(benches, correct);
criterion_main!(benches);
