//! Errors of all commands: exit codes, messages that name the fault, and no half-done outputs.

use std::fs;

use disyre::core::ndarray::Array3;
use disyre::core::{Grid, Volume};
use disyre::volume::{write_labels, write_volume};

use crate::support::{TINY, World, disyre, fail, names, text};

/// Arguments of a detection of one scan into a folder.
fn detect<'a>(world: &World, input: &'a str, out: &'a str) -> Vec<String> {
    ["detect", "-i", input, "-o", out, "-m", &world.path("model")].map(str::to_owned).to_vec()
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &["paint"][..],
        &["detect", "-i", "a.nii"],
        &["evaluate"],
        &["evaluate", "--scores", "a"],
        &["evaluate", "--pairs", "a.csv", "--scores", "b", "--labels", "c"],
        &["detect", "-i", "a", "-o", "b", "-m", "c", "--severities", "0.1,1.5"],
        &["detect", "-i", "a", "-o", "b", "-m", "c", "--device", "gpu"],
        &["detect", "-i", "a", "-o", "b", "-m", "c", "--threads", "0"],
        &["train", "--healthy", "a", "-o", "b", "--preset", "huge"],
    ] {
        assert_eq!(disyre(arguments.iter().copied()).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let world = World::get();
    let out = tempfile::tempdir().unwrap();
    let arguments = detect(world, "nowhere/a.nii.gz", out.path().to_str().unwrap());
    fail(1, &["nowhere/a.nii.gz", "because: "], arguments.iter().map(String::as_str));
    fail(1, &["nowhere/b.nii"], ["info", "nowhere/b.nii"]);
    fail(1, &["cannot read nowhere/p.csv"], ["evaluate", "--pairs", "nowhere/p.csv"]);
}

#[test]
fn a_file_that_is_no_nifti_and_one_cut_short_are_told_apart() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [text_file, cut, out] =
        ["a.nii", "cut.nii", "out"].map(|name| text(&folder.path().join(name)));
    fs::write(&text_file, "not a scan at all").unwrap();
    let arguments = detect(world, &text_file, &out);
    fail(1, &[&text_file, "is not a .nii or .nii.gz file"], arguments.iter().map(String::as_str));
    write_volume(cut.as_ref(), &Volume::zeros(Grid::from_spacing([4, 5, 6], [2.0; 3]))).unwrap();
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 7]).unwrap();
    let arguments = detect(world, &cut, &out);
    fail(1, &[&cut, "cut short"], arguments.iter().map(String::as_str));
}

#[test]
fn a_series_needs_a_volume_index() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [series, out] = ["series.nii", "out"].map(|name| text(&folder.path().join(name)));
    let scan = disyre::volume::Scan::read(world.at("patients/sub-1_T1w.nii.gz"));
    write_volume(series.as_ref(), &scan.unwrap().volume).unwrap();
    let mut bytes = fs::read(&series).unwrap();
    bytes[40..42].copy_from_slice(&4i16.to_le_bytes());
    bytes[48..50].copy_from_slice(&2i16.to_le_bytes());
    let first = bytes[352..].to_vec();
    bytes.extend(first);
    fs::write(&series, bytes).unwrap();
    let arguments = detect(world, &series, &out);
    fail(1, &[&series, "2 volumes", "--volume-index 0 to 1"], arguments.iter().map(String::as_str));
    let with = |index| arguments.iter().map(String::as_str).chain(["--volume-index", index]);
    assert_eq!(disyre(with("1")).code, Some(0));
    fail(1, &["no --volume-index 2"], with("2"));
}

#[test]
fn a_misspelt_setting_and_one_out_of_range_are_named() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [config, model] = ["mine.toml", "model"].map(|name| text(&folder.path().join(name)));
    let healthy = world.path("healthy");
    let train = || ["train", "--healthy", &healthy, "-o", &model, "--config", &config];
    fs::write(&config, TINY.replace("batch", "batches")).unwrap();
    fail(1, &["mine.toml", "unknown field `batches`", "in `train`"], train());
    fs::write(&config, TINY.replace("hold_out = 1", "hold_out = 0")).unwrap();
    fail(1, &["setting pairs.hold_out must be"], train());
    fs::write(&config, "[train\n").unwrap();
    fail(1, &["mine.toml", "because: "], train());
    assert!(!folder.path().join("model").exists(), "nothing is made before the settings are right");
}

#[test]
fn a_mask_of_another_shape_is_named_with_its_scan() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [mask, out] = ["mask.nii", "out"].map(|name| text(&folder.path().join(name)));
    let grid = Grid::from_spacing([3, 4, 5], [8.0; 3]);
    write_labels(mask.as_ref(), Array3::ones(grid.shape).view(), &grid).unwrap();
    let scan = world.path("patients/sub-1_T1w.nii.gz");
    let arguments = detect(world, &scan, &out);
    let arguments = arguments.iter().map(String::as_str).chain(["--mask", &mask]);
    fail(1, &[&mask, &scan, "[3, 4, 5]", "[10, 24, 20]"], arguments);
}

#[test]
fn an_empty_folder_and_a_folder_without_a_model_are_named() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (empty, out) = (text(folder.path()), text(&folder.path().join("out")));
    let arguments = detect(world, &empty, &out);
    fail(1, &[&empty, "holds no .nii or .nii.gz file"], arguments.iter().map(String::as_str));
    fail(1, &["holds no .nii"], ["train", "--healthy", &empty, "-o", &out]);
    let scan = world.path("patients/sub-1_T1w.nii.gz");
    fail(
        1,
        &[&empty, "holds no trained model", "run.toml"],
        ["detect", "-i", &scan, "-o", &out, "-m", &empty],
    );
    fail(1, &["holds no trained model"], ["info", &empty]);
}

#[test]
fn training_does_not_touch_a_folder_that_holds_something() {
    let world = World::get();
    let before = names(&world.at("model"));
    let (healthy, model) = (world.path("healthy"), world.path("model"));
    fail(1, &[&model, "is not empty", "--resume"], ["train", "--healthy", &healthy, "-o", &model]);
    assert_eq!(names(&world.at("model")), before);
    let other = ["train", "--healthy", &healthy, "-o", &model, "--resume", "--preset", "cpu-2mm"];
    fail(1, &["run.toml"], other);
    fail(1, &["is not empty"], ["demo", "-o", &model]);
}

#[test]
fn one_bad_scan_of_several_ends_with_3_and_the_others_are_done() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [scans, out] = ["scans", "out"].map(|name| folder.path().join(name));
    fs::create_dir(&scans).unwrap();
    fs::copy(world.at("patients/sub-1_T1w.nii.gz"), scans.join("good.nii.gz")).unwrap();
    fs::write(scans.join("bad.nii"), "no").unwrap();
    let arguments = detect(world, scans.to_str().unwrap(), out.to_str().unwrap());
    let expected = ["1 of 2 scans failed", "bad.nii"];
    fail(3, &expected, arguments.iter().map(String::as_str));
    assert_eq!(names(&out).len(), 8, "{:?}", names(&out));
}

#[test]
fn two_scans_of_one_name_are_refused_before_any_work() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for name in ["a.nii", "a.nii.gz"] {
        let volume = Volume::zeros(Grid::from_spacing([2, 2, 2], [1.0; 3]));
        write_volume(&folder.path().join(name), &volume).unwrap();
    }
    let arguments = detect(world, folder.path().to_str().unwrap(), out.to_str().unwrap());
    fail(1, &["a.nii and ", "would both write"], arguments.iter().map(String::as_str));
    assert!(!out.exists());
}

#[test]
fn a_scan_of_zeros_has_no_brain() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [scan, out] = ["zero.nii", "out"].map(|name| text(&folder.path().join(name)));
    write_volume(scan.as_ref(), &Volume::zeros(Grid::from_spacing([4, 5, 6], [8.0; 3]))).unwrap();
    let arguments = detect(world, &scan, &out);
    fail(1, &["zero.nii", "brain"], arguments.iter().map(String::as_str));
}
