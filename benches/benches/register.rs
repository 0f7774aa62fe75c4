//! Registration to MNI152.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::time;
use disyre_core::Volume;
use disyre_register::{Freedom, Metric, RegisterConfig, Start, Template};
use disyre_volume::{Interpolation, crop, foreground_box, nonzero_mask, resample_to_spacing};

/// The template as a scan of the given spacing, cropped to its brain, its header moved by 20 mm and turned by 17°.
fn scan(template: &Template, spacing_mm: f64) -> Volume {
    let brain = resample_to_spacing(&template.volume, [spacing_mm; 3], Interpolation::Linear)
        .expect("a grid that fits into memory");
    let region = foreground_box(nonzero_mask(brain.data.view()).view()).expect("a brain");
    let mut scan = crop(&brain, region);
    let (sin, cos) = 0.3f64.sin_cos();
    for column in 0..4 {
        let [x, y] = [0, 1].map(|row: usize| scan.grid.affine[row][column]);
        scan.grid.affine[0][column] = cos * x - sin * y;
        scan.grid.affine[1][column] = sin * x + cos * y;
    }
    scan.grid.affine[2][3] += 20.0;
    scan
}

/// Throughput counts scans.
fn register(c: &mut Criterion) {
    let template = Template::mni152().expect("the template is part of the program");
    let mut group = c.benchmark_group("register");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1));
    let default = RegisterConfig::default;
    let rigid = RegisterConfig { freedom: Freedom::Rigid, ..default() };
    let local = RegisterConfig { metric: Metric::LocalCorrelation { radius: 2 }, ..default() };
    let search = RegisterConfig { start: Start::Orientations, ..default() };
    let variants =
        [("affine", default()), ("rigid", rigid), ("local-correlation", local), ("search", search)];
    for (size, spacing_mm) in [("1mm", 1.0), ("2mm", 2.0)] {
        let scan = scan(&template, spacing_mm);
        for (variant, config) in &variants {
            let registrar = config.build().expect("valid settings");
            group.bench_function(format!("register/{variant}/{size}"), |b| {
                time(b, || registrar.register(&template, black_box(&scan), None));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, register);
criterion_main!(benches);
