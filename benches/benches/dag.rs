//! Synthetic anomalies by family and by stage. Throughput counts images.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{brain, key, time};
use disyre_core::ndarray::ArrayView4;
use disyre_core::ndarray::{Array3, Array4};
use disyre_dag::{
    Family, PlacedMask, PlacementParams, Sources,
    corruptions::{
        BiasConfig, Corruption, DeformationConfig, PoissonConfig, SharpnessConfig, TextureConfig,
    },
    shapes::{
        BlobShapes, DiscShapes, EllipsoidShapes, PatchShapes, PublishedShapes, RectangleShapes,
        ShapeSource, gaussian_blur,
    },
    textures::{NoiseTexture, TextureSource, VolumeBank},
};
use disyre_tissue::Codebook;
use rayon::prelude::*;

fn bank() -> VolumeBank {
    let scans = (0..4u64).map(|index| brain(key("bank").child(index), [16, 128, 128]));
    VolumeBank::new(scans.collect()).expect("scans with foreground")
}

/// Draw and apply, a new anomaly per iteration: the time is the mean over draws.
///
/// Every family with its published values, on slices and on volumes, in windows of half their extents.
fn families(c: &mut Criterion) {
    let sources = Sources::new().with_textures(bank()).with_tissues(Codebook::published());
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

/// The families on two threads, for the speed-up over one.
fn two_threads(c: &mut Criterion) {
    const SAMPLES: u64 = 128;
    let sources = Sources::new().with_textures(bank()).with_tissues(Codebook::published());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    let mut group = c.benchmark_group("dag");
    group.throughput(Throughput::Elements(SAMPLES)).sample_size(10);
    for (size, shape, window) in
        [("128x128", [1, 128, 128], [1, 64, 64]), ("128x128x128", [128; 3], [64; 3])]
    {
        let clean = brain(key("dag"), shape);
        // One output per thread, as in training, which writes batches in place.
        let outputs: Vec<_> = (0..2).map(|_| Array4::zeros(clean.raw_dim())).collect();
        for family in Family::ALL {
            let anomalies = family.config(window).build(&sources).expect("all sources are given");
            let (mut first, mut outputs) = (0, outputs.clone());
            group.bench_function(format!("{family}/{size}/2-threads"), |b| {
                time(b, || {
                    first += SAMPLES;
                    pool.install(|| {
                        outputs.par_iter_mut().enumerate().try_for_each(|(thread, out)| {
                            (first..first + SAMPLES).skip(thread).step_by(2).try_for_each(
                                |sample| {
                                    let key = key("sample").child(sample);
                                    anomalies.corrupt(key, clean.view(), out.view_mut()).map(drop)
                                },
                            )
                        })
                    })
                });
            });
        }
    }
    group.finish();
}

/// A soft mask in the middle of an image, half its length along each axis.
fn middle(clean: ArrayView4<'_, f32>, window: [usize; 3]) -> PlacedMask {
    let (_, z, y, x) = clean.dim();
    let origin = [(z - window[0]) / 2, (y - window[1]) / 2, (x - window[2]) / 2];
    let mut mask = Array3::zeros(window);
    EllipsoidShapes::default().fill(key("mask"), mask.view_mut()).expect("any window will do");
    let across = if window[0] == 1 { 0.0 } else { 1.0 };
    gaussian_blur(mask.view_mut(), [across, 1.0, 1.0]).expect("a mask and its widths");
    // A sum of rounded weights may exceed 1.
    mask.mapv_inplace(|m| m.min(1.0));
    PlacedMask::on_foreground(origin, mask, clean).expect("a mask inside")
}

/// Each stage alone: placement, and each corruption inside a given mask.
fn stages(c: &mut Criterion) {
    let textures: Arc<dyn TextureSource> = Arc::new(bank());
    let bias = BiasConfig::default().build(Codebook::published());
    let corruptions: [(&str, Box<dyn Corruption>); 5] = [
        ("bias", Box::new(bias.expect("defaults"))),
        ("linear", Box::new(TextureConfig::default().build(textures.clone()).expect("defaults"))),
        ("poisson", Box::new(PoissonConfig::default().build(textures).expect("defaults"))),
        ("deformation", Box::new(DeformationConfig::default().build().expect("defaults"))),
        ("sharpness", Box::new(SharpnessConfig::default().build().expect("defaults"))),
    ];
    let mut group = c.benchmark_group("dag");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for (size, shape, window) in
        [("128x128", [1, 128, 128], [1, 64, 64]), ("128x128x128", [128; 3], [64; 3])]
    {
        let clean = brain(key("dag"), shape);
        let mut sample = 0u64;
        group.bench_function(format!("stage/placement/{size}"), |b| {
            time(b, || {
                sample += 1;
                let placement = PlacementParams::draw(key("place").child(sample));
                placement.origin(window, clean.view())
            });
        });
        let mask = middle(clean.view(), window);
        let mut corrupted = Array4::zeros(clean.raw_dim());
        for (stage, corruption) in &corruptions {
            let mut sample = 0u64;
            group.bench_function(format!("stage/{stage}/{size}"), |b| {
                time(b, || {
                    sample += 1;
                    let key = key("stage").child(sample);
                    corruption.corrupt(key, clean.view(), &mask, corrupted.view_mut())
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

criterion_group!(benches, families, two_threads, stages, shapes, textures, blur);
criterion_main!(benches);
