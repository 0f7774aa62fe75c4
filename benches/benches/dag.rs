//! Synthetic anomalies.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{brain, key, time};
use disyre_core::ndarray::{Array3, Array4};
use disyre_dag::{
    BlobShapes, DiscShapes, EllipsoidShapes, Family, NoiseTexture, PatchShapes, PublishedShapes,
    RectangleShapes, ShapeSource, Sources, TextureSource, VolumeBank, gaussian_blur,
};
use disyre_tissue::Codebook;

fn bank() -> VolumeBank {
    let scans = (0..4u64).map(|index| brain(key("bank").child(index), [16, 128, 128]));
    VolumeBank::new(scans.collect()).expect("scans with foreground")
}

/// Draw and apply; every iteration another anomaly, so the time is the mean over what is drawn.
///
/// Every family with its published values, on slices and on volumes, in windows of half their extents.
fn families(c: &mut Criterion) {
    let sources = Sources {
        shapes: None,
        textures: Some(Arc::new(bank())),
        tissues: Some(Arc::new(Codebook::published())),
    };
    let mut group = c.benchmark_group("dag");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for (size, shape, window) in [
        ("64x64", [1, 64, 64], [1, 32, 32]),
        ("128x128", [1, 128, 128], [1, 64, 64]),
        ("128x128x128", [128; 3], [64; 3]),
    ] {
        let clean = brain(key("dag"), shape);
        let mut corrupted = Array4::zeros(clean.raw_dim());
        for family in Family::ALL {
            let anomalies = family.config(window).build(&sources).expect("all sources are given");
            let mut sample = 0u64;
            group.bench_function(format!("{family}/{size}"), |b| {
                time(b, || {
                    sample += 1;
                    let key = key("sample").child(sample);
                    anomalies.corrupt(key, clean.view(), corrupted.view_mut())
                });
            });
        }
    }
    group.finish();
}

fn shapes(c: &mut Criterion) {
    let kinds: [(&str, &dyn ShapeSource); 6] = [
        ("published", &PublishedShapes::default()),
        ("rectangle", &RectangleShapes::default()),
        ("disc", &DiscShapes::default()),
        ("blob", &BlobShapes::default()),
        ("ellipsoid", &EllipsoidShapes::default()),
        ("patch", &PatchShapes::default()),
    ];
    let mut group = c.benchmark_group("dag");
    group.throughput(Throughput::Elements(1));
    for (variant, source) in kinds {
        let mut shape = Array3::zeros((1, 64, 64));
        let mut sample = 0u64;
        group.bench_function(format!("shape/{variant}/64x64"), |b| {
            time(b, || {
                sample += 1;
                source.fill(key("shape").child(sample), shape.view_mut())
            });
        });
    }
    group.finish();
}

fn textures(c: &mut Criterion) {
    let kinds: [(&str, &dyn TextureSource); 2] =
        [("bank", &bank()), ("noise", &NoiseTexture::default())];
    let mut group = c.benchmark_group("dag");
    group.throughput(Throughput::Elements(1));
    for (variant, source) in kinds {
        let image = brain(key("dag"), [1, 128, 128]);
        let mut texture = Array4::zeros((1, 1, 64, 64));
        let mut sample = 0u64;
        group.bench_function(format!("texture/{variant}/64x64"), |b| {
            time(b, || {
                sample += 1;
                source.fill(key("texture").child(sample), image.view(), texture.view_mut())
            });
        });
    }
    group.finish();
}

fn blur(c: &mut Criterion) {
    let mut group = c.benchmark_group("dag");
    group.throughput(Throughput::Elements(64 * 64));
    for (variant, sigma) in [("sigma1", 1.0), ("sigma5", 5.0)] {
        let mut mask = Array3::zeros((1, 64, 64));
        mask.slice_mut(disyre_core::ndarray::s![.., 20..40, 20..40]).fill(1.0);
        group.bench_function(format!("blur/{variant}/64x64"), |b| {
            time(b, || gaussian_blur(black_box(mask.view_mut()), [0.0, sigma, sigma]));
        });
    }
    group.finish();
}

criterion_group!(benches, families, shapes, textures, blur);
criterion_main!(benches);
