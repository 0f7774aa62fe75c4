//! Files, resampling and scaling.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{brain, key, time};
use disyre_core::ndarray::Axis;
use disyre_core::{Grid, Volume};
use disyre_volume::{
    IntensityScaling, Interpolation, Scan, nonzero_mask, resample_to_grid, resample_to_spacing,
    to_ras, write_map, write_volume,
};

const SHAPE: [usize; 3] = [80, 120, 100];
const SIZE: &str = "80x120x100";

fn volume() -> Volume {
    let data = brain(key("volume"), SHAPE).index_axis_move(Axis(0), 0);
    Volume::new(data, Grid::from_spacing(SHAPE, [1.0; 3])).expect("data of the grid's shape")
}

/// Throughput counts the bytes of the voxels in memory, not those of the file.
fn files(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let volume = volume();
    let mut group = c.benchmark_group("volume");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(4 * volume.data.len() as u64));
    for variant in ["nii", "nii.gz"] {
        let path: PathBuf = folder.path().join(format!("scan.{variant}"));
        write_volume(&path, &volume).expect("a writable folder");
        let read = || Scan::read(black_box(&path));
        group.bench_function(format!("read/{variant}/{SIZE}"), |b| time(b, read));
        let scan = read().expect("the file just written");
        let out = folder.path().join(format!("map.{variant}"));
        group.bench_function(format!("write/{variant}/{SIZE}"), |b| {
            time(b, || write_map(&out, &scan, volume.data.view()));
        });
    }
    group.finish();
}

/// Throughput counts the voxels of the source.
fn geometry(c: &mut Criterion) {
    let volume = volume();
    let mut oblique = volume.grid;
    let (sin, cos) = 0.2_f64.sin_cos();
    (oblique.affine[0][0], oblique.affine[0][1]) = (cos, -sin);
    (oblique.affine[1][0], oblique.affine[1][1]) = (sin, cos);
    let mut mirrored = volume.clone();
    mirrored.grid.affine[0][0] = -1.0;

    let mut group = c.benchmark_group("volume");
    group.sample_size(20);
    group.throughput(Throughput::Elements(volume.data.len() as u64));
    for (variant, spacing, how) in [
        ("area-2mm", 2.0, Interpolation::Area),
        ("linear-2mm", 2.0, Interpolation::Linear),
        ("linear-0.8mm", 0.8, Interpolation::Linear),
        ("nearest-2mm", 2.0, Interpolation::Nearest),
    ] {
        group.bench_function(format!("resample/{variant}/{SIZE}"), |b| {
            time(b, || resample_to_spacing(black_box(&volume), [spacing; 3], how));
        });
    }
    group.bench_function(format!("resample/oblique-linear/{SIZE}"), |b| {
        time(b, || resample_to_grid(black_box(&volume), &oblique, Interpolation::Linear));
    });
    group.bench_function(format!("orient/mirrored/{SIZE}"), |b| {
        b.iter(|| to_ras(black_box(&mirrored)));
    });
    group.finish();
}

fn scaling(c: &mut Criterion) {
    let volume = volume();
    let mask = nonzero_mask(volume.data.view());
    let mut group = c.benchmark_group("volume");
    group.sample_size(20);
    group.throughput(Throughput::Elements(volume.data.len() as u64));
    let variants = [
        ("published", IntensityScaling::Published { upper: 0.98 }),
        ("brain", IntensityScaling::Brain { upper: 0.98 }),
    ];
    for (variant, scaling) in variants {
        group.bench_function(format!("scale/{variant}/{SIZE}"), |b| {
            b.iter_batched(
                || volume.data.clone(),
                |mut data| {
                    let range = scaling.fit(data.view(), mask.view(), None).expect("a brain");
                    range.apply(&mut data.view_mut());
                    data
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, files, geometry, scaling);
criterion_main!(benches);
