//! `disyre implant`: files of the cases, their list for `evaluate`, replay, and cases that fail.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use disyre::core::ndarray::Array3;
use disyre::core::rand::RngExt;
use disyre::core::{Grid, Key, Volume};
use disyre::register::Template;
use disyre::volume::affine::transform;
use disyre::volume::{write_labels, write_volume};
use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{disyre, ensure_contains, fail, names, read, succeed, text};

/// The template's brain in levels of 1 to 250, with a noise of a few levels.
fn write_brain(path: &Path) {
    let template = Template::mni152().unwrap();
    let greatest = template.volume.data.iter().copied().fold(0.0, f32::max);
    let mut scan = Array3::zeros(template.volume.data.raw_dim());
    let mut rng = Key::new(7).rng();
    let voxels = scan.iter_mut().zip(&template.volume.data).zip(&template.mask);
    for ((level, &value), _) in voxels.filter(|(_, inside)| **inside != 0) {
        let noise = 8.0 * rng.random::<f32>() - 4.0;
        *level = (180.0 * value / greatest + noise).round().clamp(1.0, 250.0) as u8;
    }
    write_labels(path, scan.view(), &template.volume.grid).unwrap();
}

/// Masks of lesions in MNI space.
fn write_shapes(folder: &Path) {
    for (name, centre, radius) in [
        ("acute/large.nii.gz", [32.0, -20.0, 28.0], 18.0),
        ("acute/small.nii.gz", [26.0, -32.0, 30.0], 4.0),
        ("chronic/large.nii.gz", [-34.0, -24.0, 26.0], 16.0),
    ] {
        let mut grid = Grid::from_spacing([91, 109, 91], [2.0; 3]);
        for (axis, start) in [-90.0, -126.0, -72.0].into_iter().enumerate() {
            grid.affine[axis][3] = start;
        }
        let mask = Array3::from_shape_fn(grid.shape, |(z, y, x)| {
            let place = transform(&grid.affine, [x as f64, y as f64, z as f64]);
            let square: f64 = (0..3).map(|a| (place[a] - centre[a]).powi(2)).sum();
            u8::from(square <= radius * radius)
        });
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_labels(&path, mask.view(), &grid).unwrap();
    }
}

/// Dimensions, voxel type, spacing and affines of a NIfTI-1 header.
fn header(path: &Path) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    [40..56, 70..74, 76..108, 252..328].map(|field| bytes[field].to_vec()).to_vec()
}

/// A healthy scan with its brain mask, one that cannot be read, shapes, and three cases of which one could be made.
struct Made {
    folder: TempDir,
    shapes: String,
}

/// The case that could be made.
const CASE: &str = "scans/sub-01_implant-2_T1w.nii.gz";

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("healthy")).unwrap();
        write_brain(&at("healthy/sub-01_T1w.nii.gz"));
        // A mask among the scans is no scan.
        let scan = read(&at("healthy/sub-01_T1w.nii.gz")).volume;
        let mask = scan.data.mapv(|value| u8::from(value > 0.0));
        write_labels(&at("healthy/sub-01_T1w_brain.nii.gz"), mask.view(), &scan.grid).unwrap();
        fs::write(at("healthy/sub-02_T1w.nii.gz"), "no scan").unwrap();
        write_shapes(&at("shapes"));
        // The first case of the good scan cannot be written: a folder has its name.
        fs::create_dir_all(at("out/scans/sub-01_implant-1_T1w.nii.gz/taken")).unwrap();
        let [healthy, shapes, out] = ["healthy", "shapes", "out"].map(|name| text(&at(name)));
        let make = ["implant", "--healthy", &healthy, "--shapes", &shapes, "-o", &out];
        let ran = disyre(make.into_iter().chain(["--seed", "3", "-n", "4"]));
        assert_eq!(ran.code, Some(3), "{}\n{}", ran.out, ran.err);
        // Both cases of the scan that cannot be read, and the one that cannot be written.
        assert!(ran.err.contains("3 of 4 cases were not made"), "{}", ran.err);
        ensure_contains(&ran.err, &["sub-02_T1w.nii.gz", "sub-01_implant-1_T1w.nii.gz"]);
        Self { folder, shapes }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.at("out").join(name)
    }

    fn host(&self) -> PathBuf {
        self.at("healthy/sub-01_T1w.nii.gz")
    }

    /// Voxels of the lesions.
    fn lesion(&self) -> usize {
        let label = read(&self.out("labels/sub-01_implant-2_lesion.nii.gz"));
        label.volume.data.iter().filter(|&&value| value == 1.0).count()
    }
}

#[test]
fn cases_are_written_and_replayed_though_others_fail() {
    let made = Made::new();
    assert_eq!(names(&made.out("labels")), ["sub-01_implant-2_lesion.nii.gz"]);
    assert_eq!(names(&made.out("recipes")), ["sub-01_implant-2_T1w.json"]);
    assert_eq!(header(&made.out(CASE)), header(&made.host()));
    let (scan, before) = (read(&made.out(CASE)), read(&made.host()));
    let changed = scan.volume.data.iter().zip(&before.volume.data).filter(|(a, b)| a != b).count();
    assert!(made.lesion() > 0 && changed > 0, "{} {changed}", made.lesion());
    let recipe = text(&made.out("recipes/sub-01_implant-2_T1w.json"));
    let (good, again) = (text(&made.host()), text(&made.at("again")));
    let replay = ["implant", "--healthy", &good, "--shapes", &made.shapes, "-o", &again];
    succeed(replay.into_iter().chain(["--replay", &recipe]));
    for name in [
        CASE,
        "labels/sub-01_implant-2_lesion.nii.gz",
        "brains/sub-01_implant-2_desc-brain_mask.nii.gz",
        "recipes/sub-01_implant-2_T1w.json",
    ] {
        let [first, second] = ["out", "again"].map(|folder| fs::read(made.at(folder).join(name)));
        assert!(first.unwrap() == second.unwrap(), "{name}");
    }
}

#[test]
fn the_lists_are_those_of_the_cases_that_were_made_and_are_evaluated() {
    let made = Made::new();
    let scan = read(&made.out(CASE));
    let cases = fs::read_to_string(made.out("cases.csv")).unwrap();
    assert_eq!(cases.lines().count(), 2, "{cases}");
    assert!(cases.contains("sub-01_implant-2_T1w,sub-01_T1w,"), "{cases}");
    let pairs = fs::read_to_string(made.out("pairs.csv")).unwrap();
    let score = pairs.lines().nth(1).unwrap().split(',').next().unwrap();
    assert_eq!((pairs.lines().count(), Path::new(score).parent()), (2, Some(Path::new("maps"))));
    // Its map is the darkness of the brain.
    fs::create_dir(made.out("maps")).unwrap();
    let dark = scan.volume.data.mapv(|value| if value > 0.0 { 255.0 - value } else { 0.0 });
    let map = Volume { data: dark, grid: scan.volume.grid };
    write_volume(&made.out(score), &map).unwrap();
    let list = text(&made.out("pairs.csv"));
    let report = succeed(["evaluate", "--json", "--name", "dark", "--pairs", &list]).out;
    let report: Value = serde_json::from_str(&report).unwrap();
    let lesion_ml = report["cases"][0]["lesion_ml"].as_f64().unwrap();
    let voxel_ml = scan.volume.grid.spacing_mm().iter().product::<f64>() / 1000.0;
    assert!((lesion_ml - made.lesion() as f64 * voxel_ml).abs() < 1e-9, "{lesion_ml}");
    assert!(report["methods"][0]["cases"][0]["ap"].as_f64().is_some_and(|ap| ap > 0.0));
}

#[test]
fn healthy_scans_need_shapes() {
    let arguments = ["implant", "--healthy", "scans", "--lesions", "table.json", "-o", "out"];
    fail(2, &["--shapes"], arguments);
}
