//! Fitting and applying tissue classes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{brain, key, time};
use disyre_core::ndarray::{Array2, ArrayView4};
use disyre_tissue::{Codebook, KMeansConfig, MixtureConfig, TissueModel, sample_cohort};

fn fit(c: &mut Criterion) {
    let cohort: Vec<_> =
        (0..10u64).map(|index| brain(key("tissue").child(index), [32, 64, 64])).collect();
    let views: Vec<ArrayView4<'_, f32>> = cohort.iter().map(|scan| scan.view()).collect();
    let mut group = c.benchmark_group("tissue");
    group.sample_size(10);
    for (size, per_scan) in [("10k", 1_000), ("200k", 20_000)] {
        group.throughput(Throughput::Elements(10 * per_scan as u64));
        let draw = || sample_cohort(&views, per_scan, key("draw"));
        group.bench_function(format!("sample/cohort/{size}"), |b| time(b, draw));
        let samples = draw().expect("scans with foreground");
        group.bench_function(format!("kmeans/one-channel/{size}"), |b| {
            time(b, || KMeansConfig::default().fit(black_box(samples.view()), key("fit")));
        });
        // One iteration; a fit takes up to 200 of them.
        let config = MixtureConfig { max_iterations: 1, ..MixtureConfig::default() };
        let start =
            KMeansConfig::default().fit(samples.view(), key("fit")).expect("a fit").codebook;
        group.bench_function(format!("mixture/one-iteration/{size}"), |b| {
            time(b, || config.refine(black_box(samples.view()), &start));
        });
    }
    group.finish();
}

fn label(c: &mut Criterion) {
    let slice = brain(key("tissue"), [1, 128, 128]);
    let voxels = slice.to_shape((slice.len(), 1)).expect("one channel a row");
    let codebook = Codebook::published();
    let mut labels = vec![0; slice.len()];
    let mut memberships = Array2::zeros((slice.len(), codebook.classes()));
    let mut group = c.benchmark_group("tissue");
    group.throughput(Throughput::Elements(slice.len() as u64));
    group.bench_function("hard/published/128x128", |b| {
        time(b, || codebook.hard(black_box(voxels.view()), &mut labels));
    });
    group.bench_function("soft/published/128x128", |b| {
        time(b, || codebook.soft(black_box(voxels.view()), memberships.view_mut()));
    });
    group.finish();
}

criterion_group!(benches, fit, label);
criterion_main!(benches);
