//! Augmentation of patches. Throughput counts patches.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_augment::{AugmentConfig, SpatialConfig};
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

criterion_group!(benches, patches);
criterion_main!(benches);
