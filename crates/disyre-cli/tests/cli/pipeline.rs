use std::fs;
use std::io::Read;
use std::path::Path;

use disyre::volume::{ReadOptions, Scan};
use serde_json::Value;

use crate::support::{World, disyre, fail, names, succeed, text};

fn read(path: &Path) -> Scan {
    Scan::read(path, &ReadOptions::default()).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

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
            format!("{name}_desc-anomalyscore_T1w.json"),
            format!("{name}_desc-anomalyscore_T1w.nii.gz"),
            format!("{name}_desc-restored_T1w.nii.gz"),
        ]
    });
    assert_eq!(names(out.path()), expected.concat());
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
    assert!(sidecar["seconds"].as_f64().unwrap() > 0.0);
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
fn a_scan_with_its_skull_is_warned_about() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("head.nii");
    let mut volume = read(&world.at("patients/sub-1_T1w.nii.gz")).volume;
    volume.data += 1.0;
    disyre::volume::write_volume(&scan, &volume).unwrap();
    let out = text(&folder.path().join("out"));
    let ran = succeed(["detect", "-i", &text(&scan), "-o", &out, "-m", &world.path("model")]);
    assert!(
        ran.err.contains("warning: ") && ran.err.contains("100 % of the voxels"),
        "{}",
        ran.err
    );
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
    assert_eq!(names(folder.path()).len(), 5);
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
fn a_tissue_file_serves_synth() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [tissue, out] = ["tissue.json", "out"].map(|name| text(&folder.path().join(name)));
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let ran = succeed(["tissue", "-i", &healthy, "-o", &tissue, "-k", "3", "--config", &config]);
    assert!(ran.out.starts_with("6 scans, centres "), "{}", ran.out);
    let arguments = ["synth", "-i", &healthy, "-o", &out, "-n", "8", "--tissue", &tissue];
    succeed(arguments.into_iter().chain(["--config", &config]));
    let files = names(Path::new(&out));
    assert_eq!(files.len(), 40);
    assert_eq!(
        files[..5],
        ["binary.nii.gz", "corrupted.nii.gz", "mask.nii.gz", "recipe.json", "severity.nii.gz"]
            .map(|end| format!("h1_sample-0001_{end}"))
    );
    // Sample 7 goes to the first scan again.
    let at = |end: &str| Path::new(&out).join(format!("h1_sample-0007_{end}"));
    let (corrupted, mask) = (read(&at("corrupted.nii.gz")), read(&at("mask.nii.gz")));
    assert_eq!(corrupted.volume.grid, mask.volume.grid);
    assert!(corrupted.volume.data.iter().all(|value| (0.0..=1.0).contains(value)));
    assert!(mask.volume.data.iter().any(|&value| value > 0.0));
    let recipe = json(&at("recipe.json"));
    assert_eq!((recipe["source"].as_str(), recipe["index"].as_u64()), (Some("h1"), Some(6)));
    let severity = recipe["severity"].as_f64().unwrap();
    assert!(severity > 0.0 && severity <= 1.0);
    let (binary, map) = (read(&at("binary.nii.gz")), read(&at("severity.nii.gz")));
    let voxels = || mask.volume.data.iter().zip(&binary.volume.data).zip(&map.volume.data);
    assert!(binary.volume.data.iter().any(|&value| value == 1.0));
    assert!(voxels().all(|((&m, &b), &s)| b == 0.0 || (b == 1.0 && m > 0.0) && s <= m));
    let worst = map.volume.data.iter().fold(0f32, |worst, &s| worst.max(s));
    assert!(worst > 0.0 && f64::from(worst) <= severity);
}

#[test]
fn a_mixture_of_gaussians_serves_as_well_as_k_means() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [tissue, out] = ["tissue.json", "out"].map(|name| text(&folder.path().join(name)));
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let fit = ["tissue", "-i", &healthy, "-o", &tissue, "--model", "gaussian-mixture", "-k", "3"];
    succeed(fit.into_iter().chain(["--config", &config]));
    let written = json(tissue.as_ref());
    assert_eq!(written["model"], "gaussian-mixture");
    let weights: f64 = written["weights"].as_array().unwrap().iter().flat_map(Value::as_f64).sum();
    assert!((weights - 1.0).abs() < 1e-9);
    succeed([
        "synth", "-i", &healthy, "-o", &out, "-n", "1", "--tissue", &tissue, "--config", &config,
    ]);
    let drawn = &json(&Path::new(&out).join("h1_sample-0001_recipe.json"))["drawn"];
    assert_eq!(drawn["bias"]["selection"].as_array().unwrap().len(), 3);
}

/// The files of a folder and their bytes.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    names(folder).into_iter().map(|n| (n.clone(), fs::read(folder.join(n)).unwrap())).collect()
}

#[test]
fn a_recipe_gives_the_same_bytes_again_on_any_number_of_threads() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let out = folder.path().join("out");
    for family in ["dag", "dag-no-tissue", "texture-only", "bias-only"] {
        let arguments =
            ["synth", "-i", &healthy, "-o", &text(&out), "--n", "3", "--family", family];
        succeed(arguments.into_iter().chain(["--config", &config, "--seed", "4"]));
        let recipe = out.join("h3_sample-0003_recipe.json");
        let made = json(&recipe);
        assert_eq!(made["family"], family);
        assert_eq!(made["texture"].as_f64().unwrap() > 0.0, family != "bias-only");
        assert_eq!(made["bias"].as_f64().unwrap() > 0.0, family != "texture-only");
        let tissues = made["tissues"]["centres"].as_array().unwrap().len();
        assert_eq!(tissues, if family == "dag-no-tissue" { 1 } else { 5 });
        let of_sample = |folder: &Path| -> Vec<_> {
            contents(folder).into_iter().filter(|(name, _)| name.starts_with("h3_")).collect()
        };
        for threads in ["1", "2"] {
            let again = folder.path().join(format!("{family}-{threads}"));
            let (recipe, again_path) = (text(&recipe), text(&again));
            let arguments = ["synth", "-i", &healthy, "-o", &again_path, "--replay", &recipe];
            succeed(arguments.into_iter().chain(["--threads", threads]));
            assert_eq!(names(&again).len(), 5);
            assert!(of_sample(&out) == of_sample(&again), "{family} on {threads} threads");
        }
    }
}

#[test]
fn a_recipe_is_not_replayed_from_other_scans() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [scans, out, again] = ["scans", "out", "again"].map(|name| folder.path().join(name));
    fs::create_dir(&scans).unwrap();
    for name in ["h1.nii.gz", "h2.nii.gz"] {
        fs::copy(world.at("healthy").join(name), scans.join(name)).unwrap();
    }
    let (scans_path, out_path) = (text(&scans), text(&out));
    let make = ["synth", "-i", &scans_path, "-o", &out_path, "-n", "1"];
    succeed(make.into_iter().chain(["--config", &world.path("tiny.toml")]));
    let (recipe, again_path) = (text(&out.join("h1_sample-0001_recipe.json")), text(&again));
    let replay = || ["synth", "-i", &scans_path, "-o", &again_path, "--replay", &recipe];
    // A scan more does not matter, for the recipe names its own.
    fs::copy(world.at("healthy/h3.nii.gz"), scans.join("a.nii.gz")).unwrap();
    succeed(replay());
    fs::remove_dir_all(&again).unwrap();
    fs::copy(world.at("healthy/h3.nii.gz"), scans.join("h2.nii.gz")).unwrap();
    fail(1, &["h2.nii.gz is not the file", "SHA-256"], replay());
    fs::remove_file(scans.join("h2.nii.gz")).unwrap();
    fail(1, &["holds no scan h2"], replay());
    fs::copy(world.at("healthy/h2.nii.gz"), scans.join("h2.nii.gz")).unwrap();
    let changed =
        fs::read_to_string(&recipe).unwrap().replacen("\"severity\": 0.", "\"severity\": 0.0", 1);
    fs::write(&recipe, &changed).unwrap();
    fail(1, &["gives another severity than it records"], replay());
    fs::write(&recipe, changed.replace("family", "familie")).unwrap();
    fail(1, &["recipe.json is not a recipe", "familie"], replay());
    assert!(!again.exists(), "nothing is written before the sample is right");
    let both = replay().into_iter().chain(["-n", "2"]);
    fail(2, &["cannot be used with"], both);
}

#[test]
fn a_recipe_remembers_the_masks_that_shapes_came_from() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [masks, out, again] = ["masks", "out", "again"].map(|name| folder.path().join(name));
    fs::create_dir(&masks).unwrap();
    for name in ["sub-1_lesion.nii.gz", "sub-2_lesion.nii.gz"] {
        fs::copy(world.at("lesions").join(name), masks.join(name)).unwrap();
    }
    let config = folder.path().join("masks.toml");
    let masked = format!("[pairs]\nshape_masks = {:?}\n", text(&masks));
    fs::write(&config, crate::support::TINY.replace("[pairs]\n", &masked)).unwrap();
    let (healthy, config, out_path) = (world.path("healthy"), text(&config), text(&out));
    succeed(["synth", "-i", &healthy, "-o", &out_path, "-n", "2", "--config", &config]);
    let (recipe, again_path) = (text(&out.join("h2_sample-0002_recipe.json")), text(&again));
    assert_eq!(json(recipe.as_ref())["shape_masks"]["sources"][1]["name"], "sub-2_lesion");
    let replay = || ["synth", "-i", &healthy, "-o", &again_path, "--replay", &recipe];
    succeed(replay());
    assert!(contents(&again).iter().all(|file| contents(&out).contains(file)));
    fs::remove_file(masks.join("sub-2_lesion.nii.gz")).unwrap();
    fail(1, &["masks holds no scan sub-2_lesion"], replay());
    fs::copy(masks.join("sub-1_lesion.nii.gz"), masks.join("sub-2_lesion.nii.gz")).unwrap();
    fail(1, &["sub-2_lesion is not the file", "SHA-256"], replay());
}

#[test]
fn version_and_help_end_with_success() {
    assert!(succeed(["--version"]).out.contains(env!("CARGO_PKG_VERSION")));
    for command in ["demo", "tissue", "synth", "train", "detect", "evaluate", "info"] {
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
    assert_eq!(names(&demo.join("maps")).iter().filter(|name| name.ends_with(".png")).count(), 6);
    let pairs = text(&demo.join("pairs.csv"));
    let report: Value =
        serde_json::from_str(&succeed(["evaluate", "--json", "--pairs", &pairs]).out).unwrap();
    // The phantoms need no resampling, so the maps on their own grid measure as those on the working grid did.
    let table: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("pooled")).collect();
    let ap = report["pooled"]["ap"].as_f64().unwrap();
    assert!(table[0].contains(&format!("{ap:.3}")), "{ap} is not in {}", table[0]);
}
