//! Fields of SimpleITK's N4 in real scans.
//!
//! The scans are not part of the repository (their licences differ): where the folder `shared/data` beside it lacks
//! them, this test only says so, and `simpleitk.rs` compares with SimpleITK on the images that are.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use std::path::Path;

use disyre_n4::{N4Config, N4Correction};
use serde::Deserialize;
use support::*;

#[derive(Debug, Deserialize)]
struct RealScan {
    path: String,
    shape: [usize; 3],
    /// Distance of the coarse grid's voxels; only those in the brain have a value.
    stride: usize,
    #[serde(flatten)]
    found: Found,
}

#[test]
fn fields_of_real_scans_are_those_of_simpleitk() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let scans: Vec<RealScan> = json("scans.json");
    assert!(scans.len() >= 8);
    for scan in scans {
        let path = data.join(&scan.path);
        if !path.exists() {
            println!("{}: not here", scan.path);
            continue;
        }
        let image = read(&path);
        assert_eq!(image.grid.shape, scan.shape, "{}", scan.path);
        let correction = correct(&N4Config::default(), &image);
        let ours = coarse_log_field(&scan, &correction, |index| image.data[index] > 0.0);
        let alike = correlation(&ours, &scan.found.log_field);
        let apart = spread_apart(&ours, &scan.found.log_field);
        assert!(alike > 0.999, "{}: correlation {alike}", scan.path);
        assert!(apart < 0.001, "{}: log fields differ by {apart}", scan.path);
        println!("{}: correlation {alike:.6}, sd of the difference {apart:.6}", scan.path);
        let white = &scan.found.white_matter;
        let cv = white_matter_variation(&correction.corrected, white.threshold);
        assert!((cv / white.cv - 1.0).abs() < 0.002, "{}: {cv} for {}", scan.path, white.cv);
    }
}

fn coarse_log_field(
    scan: &RealScan,
    correction: &N4Correction,
    is_brain: impl Fn([usize; 3]) -> bool,
) -> Vec<f64> {
    let steps = |length: usize| (0..length).step_by(scan.stride);
    let [nz, ny, nx] = scan.shape;
    let voxels =
        steps(nz).flat_map(|z| steps(ny).flat_map(move |y| steps(nx).map(move |x| [z, y, x])));
    let log = |voxel: [usize; 3]| correction.field.log_at(voxel.map(|index| index as f64));
    voxels.filter(|&voxel| is_brain(voxel)).map(log).collect()
}
