//! `disyre evaluate`: measures computed by hand, pairing of files, and bad cases.

use std::path::Path;

use disyre::core::ndarray::Array3;
use disyre::core::{Grid, Volume};
use disyre::volume::{write_labels, write_volume};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{World, disyre, fail, succeed, text};

/// A map of four voxels, 0.1 0.4 0.35 0.8, whose lesion is the last two, and a mask without the first.
fn small() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let grid = Grid::from_spacing([1, 2, 2], [2.0; 3]);
    for name in ["scores", "labels", "masks"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let at = |name: &str| folder.path().join(name);
    let array = |values: [f32; 4]| Array3::from_shape_vec((1, 2, 2), values.to_vec()).unwrap();
    let score = Volume { data: array([0.1, 0.4, 0.35, 0.8]), grid };
    write_volume(&at("scores/a_desc-anomalyscore.nii.gz"), &score).unwrap();
    let label = array([0.0, 0.0, 1.0, 1.0]).mapv(|value| value as u8);
    write_labels(&at("labels/a_lesion.nii.gz"), label.view(), &grid).unwrap();
    let mask = array([0.0, 1.0, 1.0, 1.0]).mapv(|value| value as u8);
    write_labels(&at("masks/a_brain.nii.gz"), mask.view(), &grid).unwrap();
    folder
}

fn measured(folder: &Path, more: &[&str]) -> Value {
    let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.join(name)));
    let arguments = ["evaluate", "--json", "--scores", &scores, "--labels", &labels];
    let ran = succeed(arguments.into_iter().chain(more.iter().copied()));
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn measures_are_those_computed_by_hand() {
    let folder = small();
    let report = measured(folder.path(), &[]);
    let pooled = &report["pooled"];
    // Ranked 0.8 lesion, 0.4 healthy, 0.35 lesion, 0.1 healthy: AP = (1 + 2/3) / 2; AUROC 3 of 4 pairs in order.
    assert!((pooled["ap"].as_f64().unwrap() - 5.0 / 6.0).abs() < 1e-12);
    assert_eq!(pooled["auroc"], 0.75);
    assert_eq!(pooled["best_dice"], 0.8);
    assert_eq!((pooled["voxels"].as_u64(), pooled["prevalence"].as_f64()), (Some(4), Some(0.5)));
    assert_eq!(report["cases"][0]["name"], "a");
    let masks = text(&folder.path().join("masks"));
    let masked = measured(folder.path(), &["--masks", &masks]);
    assert_eq!(masked["pooled"]["voxels"], 3);
    assert_eq!(masked["pooled"]["auroc"], 0.5);
}

#[test]
fn a_list_of_pairs_gives_the_same_as_folders_and_says_which_voxels_count() {
    let folder = small();
    let list = folder.path().join("pairs.csv");
    let line = "scores/a_desc-anomalyscore.nii.gz,labels/a_lesion.nii.gz,masks/a_brain.nii.gz";
    std::fs::write(&list, format!("score,label,mask\n{line}\n")).unwrap();
    let list = text(&list);
    let report: Value =
        serde_json::from_str(&succeed(["evaluate", "--json", "--pairs", &list]).out).unwrap();
    let masks = text(&folder.path().join("masks"));
    assert_eq!(report, measured(folder.path(), &["--masks", &masks]));
    let table = succeed(["evaluate", "--pairs", &list]).out;
    assert!(
        table.contains("voxels inside the brain masks") && table.contains("mean of cases"),
        "{table}"
    );
    let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.path().join(name)));
    let table = succeed(["evaluate", "--scores", &scores, "--labels", &labels]).out;
    assert!(table.contains("all voxels, background included"), "{table}");
}

#[test]
fn the_reference_protocol_depends_on_its_seed() {
    let folder = small();
    let run = |seed| measured(folder.path(), &["--protocol", "reference", "--seed", seed]);
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
    assert_eq!(run("1")["pooled"]["voxels"], 10_000);
}

#[test]
fn grids_that_differ_and_labels_that_are_missing_are_named() {
    let folder = small();
    let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.path().join(name)));
    let arguments = || ["evaluate", "--scores", &scores, "--labels", &labels];
    let label = folder.path().join("labels/a_lesion.nii.gz");
    let ones = Array3::ones([1, 2, 2]);
    let write = |grid: Grid| write_labels(&label, Array3::ones(grid.shape).view(), &grid).unwrap();
    let both = ["a_desc-anomalyscore.nii.gz", "a_lesion.nii.gz"];
    write(Grid::from_spacing([1, 2, 3], [2.0; 3]));
    fail(1, &[both[0], both[1], "shape"], arguments());
    write(Grid::from_spacing([1, 2, 2], [3.0; 3]));
    fail(1, &[both[0], both[1], "affine"], arguments());
    let other = folder.path().join("labels/a_roi.nii.gz");
    write_labels(&other, ones.view(), &Grid::from_spacing([1, 2, 2], [2.0; 3])).unwrap();
    fail(1, &["2 lesion masks of", "a_lesion.nii.gz", "a_roi.nii.gz", "keep one"], arguments());
    std::fs::rename(&other, folder.path().join("labels/ab.nii.gz")).unwrap();
    std::fs::remove_file(&label).unwrap();
    fail(
        1,
        &["no lesion mask of", both[0], "named like a.nii[.gz], a_lesion.nii[.gz]"],
        arguments(),
    );
    let masks = text(&folder.path().join("masks"));
    fail(
        1,
        &["holds no file named NAME_desc-anomalyscore"],
        ["evaluate", "--scores", &masks, "--labels", &labels],
    );
}

#[test]
fn a_file_that_only_seems_to_be_a_map_is_warned_about() {
    let folder = small();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(at("scores/a_desc-anomalyscore.nii.gz"), at("scores/b_anomalyscore.nii.gz"))
        .unwrap();
    let [scores, labels] = ["scores", "labels"].map(|name| text(&at(name)));
    let ran = succeed(["evaluate", "--scores", &scores, "--labels", &labels]);
    let warned = ran.err.contains("b_anomalyscore.nii.gz is not named like a map");
    assert!(warned && !ran.err.contains("a_desc"), "{}", ran.err);
}

#[test]
fn a_case_without_a_lesion_is_named() {
    let folder = small();
    let grid = Grid::from_spacing([1, 2, 2], [2.0; 3]);
    write_labels(
        &folder.path().join("labels/a_lesion.nii.gz"),
        Array3::zeros([1, 2, 2]).view(),
        &grid,
    )
    .unwrap();
    let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.path().join(name)));
    fail(1, &["a failed", "because: "], ["evaluate", "--scores", &scores, "--labels", &labels]);
}

#[test]
fn bad_cases_do_not_keep_the_others_from_being_measured() {
    let folder = small();
    let grid = Grid::from_spacing([1, 2, 2], [2.0; 3]);
    let at = |name: &str| folder.path().join(name);
    for name in ["b", "c"] {
        let map = format!("scores/{name}_desc-anomalyscore.nii.gz");
        std::fs::copy(at("scores/a_desc-anomalyscore.nii.gz"), at(&map)).unwrap();
    }
    // b has no lesion, c no readable label.
    let none = Array3::zeros([1, 2, 2]);
    write_labels(&at("labels/b_lesion.nii.gz"), none.view(), &grid).unwrap();
    std::fs::write(at("labels/c_lesion.nii.gz"), "no scan").unwrap();
    let [scores, labels] = ["scores", "labels"].map(|name| text(&at(name)));
    let arguments = || ["evaluate", "--json", "--scores", &scores, "--labels", &labels];
    fail(3, &["2 of 3 scans failed", "b failed", "c_lesion.nii.gz"], arguments());
    let report: Value = serde_json::from_str(&disyre(arguments()).out).unwrap();
    assert_eq!(report["cases"].as_array().unwrap().len(), 1);
    assert_eq!(report["cases"][0]["name"], "a");
    assert_eq!(report["pooled"]["auroc"], 0.75);
    let table = disyre(["evaluate", "--scores", &scores, "--labels", &labels]).out;
    assert!(table.contains("pooled"), "{table}");
    std::fs::remove_file(at("scores/a_desc-anomalyscore.nii.gz")).unwrap();
    fail(3, &["2 of 2 scans failed"], arguments());
    assert_eq!(disyre(arguments()).out, "");
}

#[test]
fn the_maps_of_a_detection_are_evaluated_against_the_lesions() {
    let world = World::get();
    let out = tempfile::tempdir().unwrap();
    let maps = text(out.path());
    let [patients, model, lesions, brains] =
        ["patients", "model", "lesions", "brains"].map(|name| world.path(name));
    succeed(["detect", "-i", &patients, "-o", &maps, "-m", &model]);
    let arguments =
        ["evaluate", "--json", "--scores", &maps, "--labels", &lesions, "--masks", &brains];
    let report: Value = serde_json::from_str(&succeed(arguments).out).unwrap();
    let names: Vec<&str> =
        report["cases"].as_array().unwrap().iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["sub-1", "sub-2"]);
    let voxels = |report: &Value| report["voxels"].as_u64().unwrap();
    let sum: u64 = report["cases"].as_array().unwrap().iter().map(voxels).sum();
    assert_eq!(voxels(&report["pooled"]), sum);
}
