//! Ensembles and metrics. Throughput counts voxels.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{Copies, brain, key, time, voxels};
use disyre_core::ndarray::{Array5, Axis};
use disyre_score::{Ensemble, RankedScores, protocols::reference};

fn metrics(c: &mut Criterion) {
    let mut group = c.benchmark_group("score");
    group.sample_size(10);
    for (size, count) in [("100k", 100_000), ("10M", 10_000_000)] {
        group.throughput(Throughput::Elements(count as u64));
        let variants = [("distinct", 0.0, 0.02), ("background", 0.8, 0.02), ("lesions", 0.0, 0.15)];
        for (variant, background, lesion) in variants {
            let (scores, labels) = voxels(count, background, lesion);
            group.bench_function(format!("rank/{variant}/{size}"), |b| {
                time(b, || RankedScores::new(black_box(&scores), &labels));
            });
        }
    }
    group.finish();
}

fn published(c: &mut Criterion) {
    let (scores, labels) = voxels(1_000_000, 0.5, 0.02);
    let mut group = c.benchmark_group("score");
    group.throughput(Throughput::Elements(reference::VOXELS_PER_VOLUME as u64));
    let draw =
        || reference::sample_voxels(key("draw"), &scores, &labels, reference::VOXELS_PER_VOLUME);
    group.bench_function("sample/published/10k", |b| time(b, draw));
    let (drawn, drawn_labels) = draw().expect("a volume with voxels");
    group.bench_function("dice/published/10k", |b| {
        time(b, || reference::best_dice(black_box(&drawn), &drawn_labels));
    });
    group.finish();
}

fn ensemble(c: &mut Criterion) {
    let ensemble = Ensemble::default();
    let window = brain(key("score"), [1, 128, 128]).insert_axis(Axis(0));
    let windows = window.broadcast((32, 1, 1, 128, 128)).expect("repeats one window").to_owned();
    let mut score = Array5::zeros(windows.raw_dim());
    let mut restored = score.clone();
    let mut group = c.benchmark_group("score");
    group.throughput(Throughput::Elements(windows.len() as u64));
    group.bench_function("ensemble/published/32x128x128", |b| {
        time(b, || {
            ensemble.score_into(&Copies, windows.view(), score.view_mut(), restored.view_mut())
        });
    });
    group.finish();
}

criterion_group!(benches, metrics, published, ensemble);
criterion_main!(benches);
