//! `disyre train`, `detect`, `info` and `demo` from end to end.

use std::fs;
use std::io::Read;
use std::path::Path;

use disyre::core::{Grid, Volume};
use serde_json::Value;

use crate::support::{World, disyre, fail, json, names, read, succeed, text};

#[test]
fn training_leaves_a_model_with_its_settings_and_record() {
    let world = World::get();
    let files = names(&world.at("model"));
    for file in [
        "run.toml",
        "run.json",
        "tissue.json",
        "model.safetensors",
        "ema.safetensors",
        "train.jsonl",
    ] {
        assert!(files.iter().any(|name| name == file), "{file} is missing in {files:?}");
    }
    let record = json(&world.at("model/run.json"));
    assert_eq!((record["steps"].as_u64(), record["seed"].as_u64()), (Some(6), Some(5)));
    assert_eq!(record["training"].as_array().unwrap().len(), 5);
    let log = fs::read_to_string(world.at("model/train.jsonl")).unwrap();
    assert_eq!(
        log.lines().filter(|line| line.contains("\"step\"") && line.contains("loss")).count(),
        6
    );
}

#[test]
fn detection_writes_maps_on_the_scans_grid_a_picture_and_a_sidecar() {
    let world = World::get();
    let out = tempfile::tempdir().unwrap();
    let (model, patients) = (world.path("model"), world.path("patients"));
    let ran = succeed(["detect", "-i", &patients, "-o", &text(out.path()), "-m", &model]);
    assert_eq!(ran.out.lines().count(), 2, "one line per scan: {}", ran.out);
    let expected = ["sub-1", "sub-2"].map(|name| {
        [
            format!("{name}_T1w_overlay.png"),
            format!("{name}_T1w_page.html"),
            format!("{name}_T1w_preparation.png"),
            format!("{name}_desc-anomalyscore_T1w.json"),
            format!("{name}_desc-anomalyscore_T1w.nii.gz"),
            format!("{name}_desc-restored_T1w.nii.gz"),
        ]
    });
    let of_all = ["index.html", "manifest.jsonl"].map(str::to_owned);
    let expected = of_all.into_iter().chain(expected.concat());
    assert_eq!(names(out.path()), expected.collect::<Vec<_>>());
    let scan = read(&world.at("patients/sub-1_T1w.nii.gz"));
    let score = read(&out.path().join("sub-1_desc-anomalyscore_T1w.nii.gz"));
    assert_eq!(score.volume.grid, scan.volume.grid);
    let voxels = || scan.volume.data.iter().zip(&score.volume.data);
    assert!(voxels().all(|(&input, &score)| score >= 0.0 && (input != 0.0 || score == 0.0)));
    assert!(voxels().filter(|(_, score)| **score > 0.0).count() > 500);
    let sidecar = json(&out.path().join("sub-1_desc-anomalyscore_T1w.json"));
    assert_eq!(sidecar["seed"], 5);
    assert_eq!(sidecar["settings"]["prepare"]["spacing_mm"], 8.0);
    assert_eq!(sidecar["model"]["weights_sha256"].as_str().unwrap().len(), 64);
    // How long it took, and where, would make equal work unequal.
    assert_eq!(sidecar["outputs"]["restored"], "sub-1_desc-restored_T1w.nii.gz");
    assert!(sidecar["seconds"].is_null());
    let (patient, alone) = (world.path("patients/sub-1_T1w.nii.gz"), tempfile::tempdir().unwrap());
    succeed(["detect", "-i", &patient, "-o", &text(alone.path()), "-m", &model]);
    let sidecar = json(&alone.path().join("sub-1_desc-anomalyscore_T1w.json"));
    assert!(sidecar["seconds"].as_f64().unwrap() > 0.0);
    assert!(!alone.path().join("manifest.jsonl").exists());
}

#[test]
fn a_map_has_the_header_of_its_scan() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("marked.nii");
    let source = read(&world.at("patients/sub-1_T1w.nii.gz"));
    disyre::volume::write_volume(&scan, &source.volume).unwrap();
    let mut bytes = fs::read(&scan).unwrap();
    bytes[148..160].copy_from_slice(b"from scanner"); // descrip
    bytes[252..254].copy_from_slice(&1i16.to_le_bytes()); // qform_code
    bytes[328..334].copy_from_slice(b"axial\0"); // intent_name
    fs::write(&scan, &bytes).unwrap();
    let out = folder.path().join("out");
    succeed(["detect", "-i", &text(&scan), "-o", &text(&out), "-m", &world.path("model")]);
    let map = fs::File::open(out.join("marked_desc-anomalyscore.nii.gz")).unwrap();
    let mut written = Vec::new();
    flate2::read::GzDecoder::new(map).read_to_end(&mut written).unwrap();
    assert_eq!(written.len(), bytes.len());
    // The scan is float32 without scaling already, so not a byte of the header need change.
    assert_eq!(written[..352], bytes[..352]);
}

#[test]
fn a_mask_is_taken_from_a_file_or_found_in_a_folder_by_name() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let map = |name: &str, input: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let (input, model) = (world.path(input), world.path("model"));
        let arguments = ["detect", "-i", &input, "-o", &text(&out), "-m", &model];
        succeed(arguments.into_iter().chain(more.iter().copied()));
        fs::read(out.join("sub-1_desc-anomalyscore_T1w.nii.gz")).unwrap()
    };
    let scan = "patients/sub-1_T1w.nii.gz";
    let file = world.path("brains/sub-1_desc-brain_mask.nii.gz");
    // The mask is where the scan is not 0, which is what counts as brain without a mask.
    let without = map("without", scan, &[]);
    assert_eq!(map("file", scan, &["--mask", &file]), without);
    assert_eq!(map("folder", "patients", &["--mask", &world.path("brains")]), without);
}

#[test]
fn masks_among_the_scans_are_not_mapped_and_each_scan_has_its_own() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let scan = |person: &str| world.at(&format!("patients/{person}_T1w.nii.gz"));
    let mask = |person: &str| world.at(&format!("brains/{person}_desc-brain_mask.nii.gz"));
    for (from, to) in [
        (scan("sub-1"), "a.nii.gz"),
        (mask("sub-1"), "a_brain.nii.gz"),
        (mask("sub-1"), "a_mask.nii.gz"),
        (scan("sub-2"), "b.nii.gz"),
        (mask("sub-2"), "b_mask.nii.gz"),
    ] {
        fs::copy(from, at(to)).unwrap();
    }
    let (scans, out, model) = (text(folder.path()), at("out"), world.path("model"));
    let arguments = ["detect", "-i", &scans, "-o", &text(&out), "-m", &model, "--mask", &scans];
    let ran = disyre(arguments);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(
        ran.err.contains("1 of 2 scans failed") && ran.err.contains("2 brain masks of"),
        "{}",
        ran.err
    );
    let sidecar = json(&out.join("b_desc-anomalyscore.json"));
    assert!(sidecar["brain_mask"].as_str().unwrap().ends_with("b_mask.nii.gz"));
}

#[test]
fn the_arguments_of_detection_override_the_models_settings() {
    let world = World::get();
    let out = tempfile::tempdir().unwrap();
    let (scan, model) = (world.path("patients/sub-1_T1w.nii.gz"), world.path("model"));
    let arguments = ["detect", "-i", &scan, "-o", &text(out.path()), "-m", &model];
    succeed(arguments.into_iter().chain(["--severities", "0.25,0.5", "--stride", "4"]));
    let detect = &json(&out.path().join("sub-1_desc-anomalyscore_T1w.json"))["settings"]["detect"];
    assert_eq!(detect["severities"], serde_json::json!([0.25, 0.5]));
    assert_eq!(detect["stride"], serde_json::json!([1, 4, 4]));
}

#[test]
fn a_scan_that_is_0_nowhere_is_refused_as_a_head() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("head.nii");
    // No brain has four litres.
    let mut volume = Volume::zeros(Grid::from_spacing([40; 3], [4.0; 3]));
    volume
        .data
        .indexed_iter_mut()
        .for_each(|((z, y, x), value)| *value = 1.0 + (z + 2 * y + 3 * x) as f32 / 40.0);
    disyre::volume::write_volume(&scan, &volume).unwrap();
    let out = text(&folder.path().join("out"));
    let arguments = ["detect", "-i", &text(&scan), "-o", &out, "-m", &world.path("model")];
    fail(1, &["head.nii", "holds a head", "--strip"], arguments);
}

#[test]
fn a_second_run_into_the_folder_of_the_scans_passes_over_its_own_maps() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    fs::copy(world.at("patients/sub-1_T1w.nii.gz"), folder.path().join("a.nii.gz")).unwrap();
    let (both, model) = (text(folder.path()), world.path("model"));
    for _ in 0..2 {
        let ran = succeed(["detect", "-i", &both, "-o", &both, "-m", &model]);
        assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    }
    assert_eq!(names(folder.path()).len(), 9);
}

#[test]
fn a_run_that_was_cut_short_resumes_to_the_same_weights() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    // As a crash leaves it: settings but no checkpoint yet.
    fs::copy(world.at("model/run.toml"), model.join("run.toml")).unwrap();
    let (healthy, model_path) = (world.path("healthy"), text(&model));
    succeed(["train", "--healthy", &healthy, "-o", &model_path, "--resume"]);
    let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(weights(&model), weights(&world.at("model")));
    let ran = succeed(["train", "--healthy", &healthy, "-o", &model_path, "--resume"]);
    assert!(ran.err.contains("resumed after step 6"), "{}", ran.err);
    assert_eq!(weights(&model), weights(&world.at("model")));
}

#[test]
fn a_training_starts_from_a_model_with_its_settings_and_names_it() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (healthy, model, out) =
        (world.path("healthy"), world.path("model"), folder.path().join("tuned"));
    let config = folder.path().join("map.toml");
    fs::write(&config, "[corruption_map]\nvisible = 0.2\n").unwrap();
    let (output, config) = (text(&out), text(&config));
    let base =
        ["train", "--healthy", &healthy, "-o", &output, "--from", &model, "--config", &config];
    let ran = succeed(base.into_iter().chain(["--steps", "3"]));
    assert!(ran.err.contains("; corruption map 0."), "{}", ran.err);
    let facts: Value = serde_json::from_str(&succeed(["info", "--json", &output]).out).unwrap();
    let original: Value = serde_json::from_str(&succeed(["info", "--json", &model]).out).unwrap();
    assert_eq!(facts["training"]["from"]["name"], "model");
    assert_eq!(facts["training"]["from"]["weights_sha256"], original["weights_sha256"]);
    assert_eq!(facts["settings"]["network"], original["settings"]["network"]);
    assert_eq!(facts["settings"]["corruption_map"]["visible"], 0.2);
    assert_eq!(facts["settings"]["train"]["steps"], 3);
    assert!(original["training"].get("from").is_none());

    let wrong = folder.path().join("wrong");
    let parts = ["config.json cannot start this training", "network.", "start from another model"];
    // Before any scan is looked for.
    let arguments = ["train", "--healthy", "nowhere", "-o", &text(&wrong), "--from", &model];
    fail(1, &parts, arguments.into_iter().chain(["--preset", "cpu-2mm"]));
    assert!(!wrong.exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_training_with_a_checkpoint_and_a_kill_keeps_the_last() {
    use std::process::{Command, Stdio};
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("long.toml");
    let long = crate::support::TINY.replace("steps = 6", "steps = 1000000\ncheckpoint_every = 3");
    fs::write(&config, long).unwrap();
    let run = |name: &str, signal: &str, enough: &str| {
        let model = folder.path().join(name);
        let mut child = Command::new(env!("CARGO_BIN_EXE_disyre"))
            .args(["train", "--healthy", &world.path("healthy"), "-o", &text(&model)])
            .args(["--config", &text(&config)])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = || fs::read_to_string(model.join("train.jsonl")).unwrap_or_default();
        while !log().contains(enough) {
            assert_eq!(child.try_wait().unwrap(), None, "training ended by itself");
            std::thread::yield_now();
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let code = child.wait().unwrap().code();
        let info = succeed(["info", "--json", &text(&model)]).out;
        let training = serde_json::from_str::<Value>(&info).unwrap()["training"].clone();
        assert_eq!(training["finished"], false);
        (code, training["steps"].as_u64().unwrap(), json(&model.join("run.json")))
    };
    let (code, steps, record) = run("stopped", "-INT", "\"step\":1");
    assert_eq!((code, record["steps"].as_u64()), (Some(130), Some(steps)));
    assert!(steps >= 1);
    // Killed: no time for a record, but there are checkpoints.
    let (code, steps, record) = run("killed", "-KILL", "\"step\":7");
    assert_eq!((code, record["steps"].as_u64()), (None, Some(0)));
    assert!(steps >= 6 && steps.is_multiple_of(3), "{steps}");
}

#[test]
fn info_shows_headers_and_models() {
    let world = World::get();
    let scan = world.path("patients/sub-1_T1w.nii.gz");
    let ran = succeed(["info", &scan]);
    assert!(
        ran.out.contains("shape: 10 24 20") && ran.out.contains("orientation: RAS"),
        "{}",
        ran.out
    );
    let facts: Value = serde_json::from_str(&succeed(["info", "--json", &scan]).out).unwrap();
    assert_eq!(facts["spacing_mm"], serde_json::json!([8.0, 8.0, 8.0]));
    let model: Value =
        serde_json::from_str(&succeed(["info", "--json", &world.path("model")]).out).unwrap();
    assert_eq!(model["training"]["steps"], 6);
    assert_eq!(model["weights_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(model["settings"]["pairs"]["patch"], serde_json::json!([1, 16, 16]));
    assert!(model["parameters"].as_u64().unwrap() > 1000);
}

#[test]
fn version_and_help_end_with_success() {
    assert!(succeed(["--version"]).out.contains(env!("CARGO_PKG_VERSION")));
    for command in ["demo", "tissue", "synth", "train", "detect", "atlas", "evaluate", "info"] {
        assert_eq!(disyre([command, "--help"]).code, Some(0));
    }
}

#[test]
fn the_demo_leaves_a_folder_that_every_other_command_can_use() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let ran = succeed(["demo", "-o", &text(&demo), "--steps", "2"]);
    assert!(ran.out.contains("|x - mean of healthy|") && ran.out.contains("pooled"), "{}", ran.out);
    assert_eq!(names(&demo.join("healthy")).len(), 24);
    assert_eq!(
        names(&demo.join("maps")).iter().filter(|name| name.ends_with("_overlay.png")).count(),
        6
    );
    let pairs = text(&demo.join("pairs.csv"));
    let report: Value =
        serde_json::from_str(&succeed(["evaluate", "--json", "--pairs", &pairs]).out).unwrap();
    // The phantoms need no resampling, so the maps on their own grid measure as those on the working grid did.
    let table: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("pooled")).collect();
    let ap = report["methods"][0]["pooled"]["ap"]["value"].as_f64().unwrap();
    assert!(table[0].contains(&format!("{ap:.3}")), "{ap} is not in {}", table[0]);
}
