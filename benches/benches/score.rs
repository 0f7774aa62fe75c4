//! Ensembles and metrics. Throughput counts voxels.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{Copies, brain, key, time};
use disyre_core::ndarray::{Array5, Axis};
use disyre_core::rand::RngExt;
use disyre_score::{Ensemble, RankedScores, protocols::reference};

/// Scores and labels: a share of background with score 0, and 2 % lesion in the rest.
fn voxels(count: usize, background: f32) -> (Vec<f32>, Vec<u8>) {
    let mut rng = key("score").rng();
    (0..count)
        .map(|_| {
            let lesion = rng.random::<f32>() < 0.02;
            let score =
                rng.random::<f32>() * rng.random::<f32>() + 0.3 * f32::from(u8::from(lesion));
            if rng.random::<f32>() < background { (0.0, 0) } else { (score, u8::from(lesion)) }
        })
        .unzip()
}

fn metrics(c: &mut Criterion) {
    let mut group = c.benchmark_group("score");
    group.sample_size(10);
    for (size, count) in [("100k", 100_000), ("10M", 10_000_000)] {
        group.throughput(Throughput::Elements(count as u64));
        for (variant, background) in [("distinct", 0.0), ("background", 0.8)] {
            let (scores, labels) = voxels(count, background);
            group.bench_function(format!("rank/{variant}/{size}"), |b| {
                time(b, || RankedScores::new(black_box(&scores), &labels));
            });
        }
        let (scores, labels) = voxels(count, 0.0);
        let ranked = RankedScores::new(&scores, &labels).expect("finite scores");
        group
            .bench_function(format!("ap/exact/{size}"), |b| time(b, || ranked.average_precision()));
        group.bench_function(format!("dice/exact/{size}"), |b| time(b, || ranked.best_dice()));
        group.bench_function(format!("auroc/exact/{size}"), |b| time(b, || ranked.auroc()));
    }
    group.finish();
}

fn published(c: &mut Criterion) {
    let (scores, labels) = voxels(1_000_000, 0.5);
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
