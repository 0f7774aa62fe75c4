//! `disyre check`: findings, levels, exit statuses and JSON.

use std::fs;
use std::path::Path;

use disyre::core::{Grid, Key};
use disyre::volume::{Orientation, Scan, Volume, nonzero_mask, write_labels, write_volume};
use serde_json::Value;

use crate::support::{PHANTOMS, World, disyre, fail, succeed, text};

fn phantom(index: u64) -> Volume {
    PHANTOMS.healthy(Key::new(7).child(index)).volume
}

/// A folder of five good scans.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for index in 1..=5 {
        write_volume(&folder.path().join(format!("p{index}.nii.gz")), &phantom(index)).unwrap();
    }
    folder
}

/// Exit status and report.
fn checked(folder: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let folder = text(folder);
    let ran = disyre(["check", &folder, "--json"].into_iter().chain(more.iter().copied()));
    (ran.code, serde_json::from_str(&ran.out).unwrap())
}

/// Level, topic, problem and fix of the gravest finding of a file.
fn gravest<'a>(report: &'a Value, name: &str) -> [&'a str; 4] {
    let files = report["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["file"].as_str().unwrap().ends_with(name));
    let finding = &file.unwrap_or_else(|| panic!("{name} is not in {report}"))["findings"][0];
    ["level", "topic", "problem", "fix"].map(|key| finding[key].as_str().unwrap())
}

/// Checks the gravest finding on a file, whose problem has this part.
fn expect(report: &Value, name: &str, level: &str, topic: &str, part: &str) {
    let [got, of, problem, fix] = gravest(report, name);
    assert_eq!((got, of), (level, topic), "{name}: {problem}");
    assert!(problem.contains(part) && !fix.is_empty(), "{name}: {problem}; {fix}");
}

#[test]
fn good_scans_pass_with_0() {
    let (folder, world) = (folder(), World::get());
    let (code, report) = checked(folder.path(), &[]);
    assert_eq!((code, report["level"].as_str()), (Some(0), Some("pass")), "{report}");
    assert_eq!((&report["scans"], &report["counts"]["pass"]), (&5.into(), &5.into()));
    assert_eq!(report["files"][0]["findings"].as_array().unwrap().len(), 4);
    let ran = succeed(["check", &text(folder.path())]);
    assert_eq!(ran.out, "5 scans, 5 files: 5 pass, 0 warn, 0 fail\n");
    let (patients, brains) = (world.at("patients"), world.path("brains"));
    let (code, report) = checked(&patients, &["--mask", &brains]);
    assert_eq!((code, report["level"].as_str()), (Some(0), Some("pass")), "{report}");
}

#[test]
fn scans_that_differ_from_the_cohort_are_warnings_with_0() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let mut fine = phantom(8);
    fine.grid = Grid::from_spacing(fine.grid.shape, [4.0; 3]);
    write_volume(&at("fine.nii"), &fine).unwrap();
    let mut turned = phantom(9);
    turned.grid.affine[0][0] *= -1.0;
    write_volume(&at("turned.nii"), &turned).unwrap();
    write_volume(&at("sub-01_ses-1_T1w.nii"), &phantom(10)).unwrap();
    write_volume(&at("sub-01_ses-2_T1w.nii"), &phantom(11)).unwrap();
    let guess = at("guess.nii");
    write_volume(&guess, &phantom(12)).unwrap();
    let mut bytes = fs::read(&guess).unwrap();
    bytes[252..256].fill(0);
    fs::write(&guess, bytes).unwrap();
    fs::write(at("other.mgz"), "").unwrap();
    let (code, report) = checked(folder.path(), &[]);
    assert_eq!((code, report["level"].as_str()), (Some(0), Some("warn")), "{report}");
    let expect = |name, topic, part| expect(&report, name, "warn", topic, part);
    expect("fine.nii", "geometry", "voxels are 4.00 × 4.00 × 4.00 mm");
    expect("turned.nii", "geometry", "axes run LAS, those of");
    expect("sub-01_ses-2_T1w.nii", "duplicates", "same person as");
    expect("guess.nii", "geometry", "is a guess");
    expect("other.mgz", "listing", "a format that is not read");
}

#[test]
fn scans_that_would_be_refused_lost_or_counted_twice_fail_with_1() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text.nii"), "no scan at all").unwrap();
    let mut scan = phantom(8);
    scan.data.fill(7.0);
    write_volume(&at("constant.nii"), &scan).unwrap();
    scan.data.fill(0.0);
    write_volume(&at("zero.nii"), &scan).unwrap();
    write_volume(&at("offset.nii"), &Volume { data: phantom(9).data + 100.0, ..scan.clone() })
        .unwrap();
    let mask = nonzero_mask(phantom(1).data.view());
    write_labels(&at("alone.nii"), mask.view(), &scan.grid).unwrap();
    write_labels(&at("p1_mask.nii"), mask.view(), &scan.grid).unwrap();
    // The same voxels in another orientation and another file type.
    let copy = Scan::read(at("p2.nii.gz")).unwrap().volume;
    let mut grid = copy.grid;
    grid.affine[0][0] *= -1.0;
    grid.affine[0][3] = copy.grid.affine[0][0] * (copy.grid.shape[2] as f64 - 1.0);
    let data = Orientation::of(&grid.affine).from_ras(copy.data.view());
    write_volume(&at("copy.nii"), &Volume { data, grid }).unwrap();
    fs::create_dir(at("deep")).unwrap();
    write_volume(&at("deep/lost.nii"), &phantom(12)).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere.nii", at("gone.nii")).unwrap();
    let (code, report) = checked(folder.path(), &[]);
    assert_eq!((code, report["level"].as_str()), (Some(1), Some("fail")), "{report}");
    let expect = |name, level, topic, part| expect(&report, name, level, topic, part);
    expect("text.nii", "fail", "file", "is not a .nii or .nii.gz file");
    expect("constant.nii", "fail", "intensity", "holds 7 in every voxel");
    expect("zero.nii", "fail", "intensity", "no voxel inside the brain");
    expect("offset.nii", "fail", "intensity", "its background is 100");
    expect("alone.nii", "fail", "file", "holds a mask");
    expect("p1_mask.nii", "warn", "listing", "brain mask of");
    expect("copy.nii", "fail", "duplicates", "p2.nii.gz");
    expect("p2.nii.gz", "fail", "duplicates", "copy.nii");
    expect("deep/lost.nii", "fail", "listing", "in a subfolder");
    #[cfg(unix)]
    expect("gone.nii", "fail", "file", "cannot read");
    assert_eq!(gravest(&report, "p3.nii.gz")[0], "pass");
}

#[test]
fn masks_are_checked_against_their_scans() {
    let (folder, masks) = (folder(), tempfile::tempdir().unwrap());
    let at = |name: &str| masks.path().join(name);
    let grid = phantom(1).grid;
    let mask = nonzero_mask(phantom(1).data.view());
    write_labels(&at("p1_mask.nii"), mask.view(), &grid).unwrap();
    write_labels(&at("p2_mask.nii"), mask.mapv(|_| 0).view(), &grid).unwrap();
    write_labels(&at("p3_mask.nii"), mask.mapv(|_| 1).view(), &grid).unwrap();
    let elsewhere = Grid {
        affine: {
            let mut a = grid.affine;
            a[1][3] += 30.0;
            a
        },
        ..grid
    };
    write_labels(&at("p4_mask.nii"), mask.view(), &elsewhere).unwrap();
    write_labels(&at("q_mask.nii"), mask.view(), &grid).unwrap();
    let (code, report) = checked(folder.path(), &["--mask", &text(masks.path())]);
    assert_eq!(code, Some(1));
    for (name, level, part) in [
        ("p1.nii.gz", "pass", ""),
        ("p2.nii.gz", "fail", "mask is empty"),
        ("p3.nii.gz", "warn", "fills 100 % of the volume"),
        ("p4.nii.gz", "fail", "lies up to 30.000 mm from"),
        ("p5.nii.gz", "fail", "no brain mask of"),
        ("q_mask.nii", "warn", "belongs to no scan"),
    ] {
        let [got, _, problem, _] = gravest(&report, name);
        assert!(got == level && problem.contains(part), "{name}: {got}: {problem}");
    }
}

#[test]
fn headers_alone_are_checked_as_training_does() {
    let folder = folder();
    let mut scan = phantom(8);
    scan.data.fill(0.0);
    write_volume(&folder.path().join("zero.nii"), &scan).unwrap();
    let (code, report) = checked(folder.path(), &["--headers"]);
    assert_eq!((code, report["level"].as_str()), (Some(0), Some("pass")), "{report}");
    fs::write(folder.path().join("text.nii"), "no").unwrap();
    let folder = text(folder.path());
    fail(1, &["1 of 7 files failed the check of", &folder], ["check", &folder, "--headers"]);
    fail(1, &["cannot read nowhere"], ["check", "nowhere"]);
}
