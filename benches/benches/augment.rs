//! Augmentation of patches. Throughput counts patches.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_augment::{AugmentConfig, ScannerConfig, SpatialConfig};
use disyre_benches::{brain, key, time};
use disyre_core::ndarray::Array4;

/// The published probabilities, and patches that are always interpolated: affine, and affine with a deformation.
fn variants() -> [(&'static str, AugmentConfig); 3] {
    let spatial = |elastic_probability| AugmentConfig {
        spatial: SpatialConfig {
            elastic_probability,
            rotation_probability: 1.0,
            scale_probability: 1.0,
            ..SpatialConfig::default()
        },
        ..AugmentConfig::default()
    };
    [("published", AugmentConfig::default()), ("affine", spatial(0.0)), ("elastic", spatial(1.0))]
}

fn patches(c: &mut Criterion) {
    let sizes = [("128x128", [1, 180, 150], [1, 128, 128]), ("64x64x64", [90, 100, 80], [64; 3])];
    let mut group = c.benchmark_group("augment");
    group.sample_size(10);
    for (size, image, [z, y, x]) in sizes {
        let image = brain(key("augment"), image);
        let mut patch = Array4::zeros((1, z, y, x));
        for (name, config) in variants() {
            let augmenter = config.build().expect("settings in range");
            let mut sample = 0u64;
            group.throughput(Throughput::Elements(1));
            // A new sample per iteration: the time is the mean over draws.
            group.bench_function(format!("patch/{name}/{size}"), |b| {
                time(b, || {
                    sample += 1;
                    let drawn = augmenter.draw(key("draw").child(sample));
                    drawn.apply(black_box(image.view()), patch.view_mut())
                });
            });
        }
    }
    group.finish();
}

/// Differences between scanners at their default probabilities, and all of them on every patch.
fn scanners(c: &mut Criterion) {
    let always = ScannerConfig {
        curve_probability: 1.0,
        field_probability: 1.0,
        blur_probability: 1.0,
        noise_probability: 1.0,
        crop_probability: 1.0,
        ..ScannerConfig::default()
    };
    let mut group = c.benchmark_group("augment");
    group.throughput(Throughput::Elements(1));
    for (size, shape) in [("64x64", [1, 64, 64]), ("128x128", [1, 128, 128])] {
        let original = brain(key("augment"), shape);
        for (name, config) in [("default", ScannerConfig::default()), ("always", always.clone())] {
            let scanner = config.build([2.0; 3]).expect("settings in range");
            let mut sample = 0u64;
            group.bench_function(format!("scanner/{name}/{size}"), |b| {
                time(b, || {
                    sample += 1;
                    let mut patch = black_box(&original).clone();
                    scanner.draw(key("draw").child(sample)).apply(patch.view_mut()).map(|()| patch)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, patches, scanners);
criterion_main!(benches);
