//! A trained model's folder as one value: which weights count, what must agree, and what a detection saves.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use disyre::core::ndarray::{Array5, s};
use disyre::core::{Grid, Key, Restorer, Severity, Volume};
use disyre::diffusion::{CorruptionMapConfig, Engine, Precision, Weights};
use disyre::phantom::{LesionKind, PhantomConfig};
use disyre::volume::{Orientation, nonzero_mask, write_volume};
use disyre::{
    BrainMask, Cohort, DetectOptions, DetectRequest, Detector, Error, LoadOptions, Model,
    ModelFolder, PrepareConfig, RunConfig, SaveOptions, Scan, SkullPolicy, Subject, Training,
};
use tempfile::TempDir;

const PHANTOMS: PhantomConfig =
    PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, noise: 0.02, bias_field: 0.1 };

fn config() -> RunConfig {
    let mut config = RunConfig::cpu_2mm();
    config.prepare = PrepareConfig { spacing_mm: 8.0, ..PrepareConfig::default() };
    (config.pairs.patch, config.dag.window) = ([1, 16, 16], [1, 8, 8]);
    (config.network.channels, config.network.groups) = (vec![8, 16], 4);
    (config.train.steps, config.train.batch, config.train.warmup_steps) = (2, 2, 1);
    config.train.validation_pairs = 2;
    config.detect.stride = [1, 8, 8];
    config
}

fn cohort() -> Cohort {
    let config = config();
    let subject = |index: u64| {
        let phantom = PHANTOMS.healthy(Key::new(index)).volume;
        Subject::new(
            format!("h{index}"),
            config.prepare.build().unwrap().prepare(&phantom, None).unwrap(),
        )
    };
    Cohort::split((0..3).map(subject).collect(), 1, Key::new(0)).unwrap()
}

/// A folder with a model, `model`, and a scan with a lesion, `scan.nii.gz`.
fn world() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (config, cohort) = (config(), cohort());
    let model = folder.path().join("model");
    disyre::train(&Training::new(&cohort, &config, &model), &mut |_| ()).unwrap();
    let ill = PHANTOMS.with_lesion(Key::new(9), LesionKind::Stroke).volume;
    write_volume(&folder.path().join("scan.nii.gz"), &ill).unwrap();
    folder
}

fn change(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn the_moving_average_counts_and_without_it_the_last_step() {
    let world = world();
    let path = world.path().join("model");
    let average = ModelFolder::open(&path).unwrap();
    assert_eq!(average.weights(), Weights::Ema);
    let count = average.parameter_count().unwrap();
    fs::remove_file(path.join("ema.safetensors")).unwrap();
    let raw = ModelFolder::open(&path).unwrap();
    assert_eq!(raw.weights(), Weights::Raw);
    assert_ne!(raw.weights_sha256(), average.weights_sha256());
    assert_eq!(raw.parameter_count().unwrap(), count);
    assert_eq!(raw.report().unwrap().unwrap().steps, 2);
    for file in ["config.json", "model.safetensors", "run.toml"] {
        fs::remove_file(path.join(file)).unwrap();
        let error = ModelFolder::open(&path).unwrap_err();
        assert!(matches!(error, Error::NotAModel { missing, .. } if missing == file), "{error}");
    }
}

#[test]
fn two_descriptions_of_the_network_that_differ_are_an_error_naming_both_files() {
    let world = world();
    let path = world.path().join("model");
    let settings = path.join("run.toml");
    let before = fs::read_to_string(&settings).unwrap();
    for (from, to, expected) in [
        ("groups = 4", "groups = 8", "network.groups"),
        ("patch = [1, 16, 16]", "patch = [1, 32, 32]", "pairs.patch"),
        ("[train]", "[corruption_map]\n\n[train]", "network.out_channels"),
    ] {
        fs::write(&settings, &before).unwrap();
        change(&settings, from, to);
        let message = ModelFolder::open(&path).unwrap_err().to_string();
        for part in ["run.toml", "config.json", &format!("differ in {expected};")] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
    // Settings of training and detection alone are the business of run.toml.
    fs::write(&settings, &before).unwrap();
    change(&settings, "batch = 32", "batch = 16");
    assert_eq!(ModelFolder::open(&path).unwrap().detect_options().batch, 16);
}

#[test]
fn a_model_detects_as_a_detector_with_its_network_does() {
    let world = world();
    let model = Model::load(world.path().join("model")).unwrap();
    let scan = Scan::read(world.path().join("scan.nii.gz")).unwrap();
    let found = model.detect(&scan).unwrap().detection;
    let config = config();
    let detector =
        Detector::new(model.restorer(), config.prepare.build().unwrap(), config.detect_options());
    let expected = detector.unwrap().detect(&scan.volume, None, &mut |_, _| ()).unwrap();
    assert!(expected.score.iter().any(|&score| score > 0.0));
    assert_eq!((found.score, found.restored), (expected.score, expected.restored));
    let wrong = DetectOptions { stride: [1, 17, 17], ..model.detect_options() };
    let request = DetectRequest { options: Some(wrong), ..DetectRequest::default() };
    let error = model.detect_with(&scan, &request, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Setting { field: "detect.stride", .. }));
}

/// A RAS+ volume with its axes in another order (`order[axis]` is the world's axis of voxel axis x, y, z) and direction.
fn turned(ras: &Volume, order: [usize; 3], backwards: [bool; 3]) -> Volume {
    let (from, [z, y, x]) = (ras.grid.affine, ras.grid.shape);
    let (mut affine, size) = (from, [x, y, z]);
    for row in 0..3 {
        for axis in 0..3 {
            let step = from[row][order[axis]];
            affine[row][axis] = if backwards[axis] { -step } else { step };
            if backwards[axis] {
                affine[row][3] += step * (size[order[axis]] - 1) as f64;
            }
        }
    }
    let [z, y, x] = [2, 1, 0].map(|axis: usize| size[order[axis]]);
    let data = Orientation::of(&affine).from_ras(ras.data.view());
    Volume::new(data, Grid { shape: [z, y, x], affine }).unwrap()
}

#[test]
fn all_48_orientations_of_a_file_give_one_map() {
    let world = world();
    let model = Model::load(world.path().join("model")).unwrap();
    // Not symmetric along any axis, and of three sizes.
    let mut ras = Scan::read(world.path().join("scan.nii.gz")).unwrap().volume;
    ras.data.slice_mut(s![..4, 13.., 11..]).fill(0.0);
    let path = world.path().join("turned.nii");
    let detect = |volume: &Volume| {
        write_volume(&path, volume).unwrap();
        let scan = Scan::read(&path).unwrap();
        let found = model.detect(&scan).unwrap().detection;
        let orientation = Orientation::of(&scan.volume.grid.affine);
        [found.score, found.restored].map(|map| orientation.to_ras(map.view()))
    };
    let expected = detect(&ras);
    assert!(expected[0].iter().any(|&score| score > 0.0));
    let mut seen = BTreeSet::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for mirrors in 0..8 {
            let volume = turned(&ras, order, [0, 1, 2].map(|axis| mirrors >> axis & 1 == 1));
            let orientation = Orientation::of(&volume.grid.affine).to_string();
            assert!(detect(&volume) == expected, "{orientation}");
            seen.insert(orientation);
        }
    }
    assert_eq!(seen.len(), 48, "{seen:?}");
}

#[test]
fn the_settings_of_a_model_stay_those_of_its_training_on_another_engine() {
    let world = world();
    let folder = ModelFolder::open(world.path().join("model")).unwrap();
    let (trained, engine) = (folder.config().clone(), Engine::Fused(Precision::Bf16));
    assert_ne!(trained.detect.engine, engine);
    let options = LoadOptions { engine: Some(engine), ..LoadOptions::default() };
    let model = folder.load(&options).unwrap();
    assert_eq!(*model.folder().config(), trained);
    let found = model.detect(&Scan::read(world.path().join("scan.nii.gz")).unwrap()).unwrap();
    let saved = found.save(world.path().join("out")).unwrap();
    let sidecar = fs::read_to_string(&saved.files.sidecar).unwrap();
    let sidecar: serde_json::Value = serde_json::from_str(&sidecar).unwrap();
    assert_eq!(sidecar["settings"]["detect"]["engine"], serde_json::json!(engine), "as detected");
}

#[test]
fn findings_are_saved_with_all_that_made_them() {
    let world = world();
    let folder = ModelFolder::open(world.path().join("model")).unwrap();
    let model = folder.load(&LoadOptions::default()).unwrap();
    let path = world.path().join("scan.nii.gz");
    let scan = Scan::read(&path).unwrap();
    let brain = nonzero_mask(scan.volume.data.view());
    let options = DetectOptions { window: [1, 8, 8], ..model.detect_options() };
    let request = DetectRequest {
        options: Some(options),
        brain: Some(BrainMask { voxels: brain.view(), path: Some(Path::new("brain.nii")) }),
        skull: SkullPolicy::Refuse,
        ..DetectRequest::default()
    };
    let found = model.detect_with(&scan, &request, &mut |_, _| ()).unwrap();
    let lesion = SaveOptions { lesion: Some(brain.view()), ..SaveOptions::default() };
    let saved = found.save_with(world.path().join("out"), lesion).unwrap();
    assert_eq!(saved.files.score, world.path().join("out/scan_desc-anomalyscore.nii.gz"));
    assert_eq!(Scan::read(&saved.files.score).unwrap().volume.data, found.detection.score);
    assert_eq!(Scan::read(&saved.files.restored).unwrap().volume.data, found.detection.restored);
    let sidecar = fs::read_to_string(&saved.files.sidecar).unwrap();
    let sidecar: serde_json::Value = serde_json::from_str(&sidecar).unwrap();
    assert_eq!(sidecar["source"], path.to_str().unwrap());
    assert_eq!(sidecar["brain_mask"], "brain.nii");
    assert_eq!(sidecar["model"]["weights_sha256"], model.folder().weights_sha256());
    assert_eq!(sidecar["window"], serde_json::json!([1, 8, 8]));
    assert_eq!(sidecar["settings"]["pairs"]["patch"], serde_json::json!([1, 16, 16]));
    assert_eq!(sidecar["score_q999"].as_f64().unwrap() as f32, saved.score_q999);
}

/// A batch of two, restored; and the corruption map, if the model has one.
fn restored(model: &Model) -> (Array5<f32>, Option<Array5<f32>>) {
    let batch =
        Array5::from_shape_fn((2, 1, 1, 16, 16), |(n, .., y, x)| (n + x * y) as f32 / 300.0);
    let [mut restored, mut map] = [(); 2].map(|()| Array5::zeros(batch.dim()));
    let (a, b) = (restored.view_mut(), map.view_mut());
    let severities = [Severity::FULL; 2];
    let has_map = model.restorer().restore_and_map(batch.view(), &severities, a, b).unwrap();
    (restored, has_map.then_some(map))
}

#[test]
fn a_model_that_starts_from_another_gains_a_corruption_map_and_restores_alike() {
    let (world, cohort) = (world(), cohort());
    let first = ModelFolder::open(world.path().join("model")).unwrap();
    let mut config = config();
    config.corruption_map = Some(CorruptionMapConfig::default());
    // A rate of 0 leaves the weights as they were.
    config.train.learning_rate = 0.0;
    let grown = world.path().join("grown");
    let initial = first.initial_weights(&config).unwrap();
    let training = Training { from: Some(&initial), ..Training::new(&cohort, &config, &grown) };
    let report = disyre::train(&training, &mut |_| ()).unwrap();
    let from = report.from.clone().unwrap();
    assert_eq!(
        (from.name.as_str(), from.weights_sha256.as_str()),
        ("model", first.weights_sha256())
    );
    assert!(report.errors.unwrap().map.unwrap().raw > 0.0);

    let second = ModelFolder::open(&grown).unwrap();
    assert_eq!(second.report().unwrap().unwrap().from, report.from);
    assert_eq!(
        (second.network().network.out_channels, second.config().network.out_channels),
        (2, 1)
    );
    let [first, second] =
        [first, second].map(|folder| restored(&folder.load(&LoadOptions::default()).unwrap()));
    assert_eq!(first.0, second.0);
    assert_eq!(first.1, None);
    assert!(second.1.unwrap().iter().all(|&value| value == 0.0));
}

#[test]
fn a_training_that_continues_keeps_the_model_that_it_started_from() {
    let (world, cohort, config) = (world(), cohort(), config());
    let first = ModelFolder::open(world.path().join("model")).unwrap();
    let path = world.path().join("second");
    let initial = first.initial_weights(&config).unwrap();
    let training = Training { from: Some(&initial), ..Training::new(&cohort, &config, &path) };
    let report = disyre::train(&training, &mut |_| ()).unwrap();
    let second = ModelFolder::open(&path).unwrap();
    let resume =
        |from| disyre::train(&Training { from, resume: true, ..training.clone() }, &mut |_| ());
    assert_eq!(resume(None).unwrap().from, report.from);
    assert_eq!(resume(Some(&initial)).unwrap().from, report.from);
    // Weights of another model, and none where there is no checkpoint yet.
    let refused = |from| {
        let error = resume(from).unwrap_err();
        let expected = "the weights that it starts from (--from)";
        assert!(matches!(&error, Error::Resume { field, .. } if field == expected), "{error}");
    };
    let other = second.initial_weights(&config).unwrap();
    refused(Some(&other));
    for file in ["training.safetensors", "model.safetensors", "ema.safetensors"] {
        fs::remove_file(path.join(file)).unwrap();
    }
    refused(None);
    resume(Some(&initial)).unwrap();
    assert_eq!(ModelFolder::open(&path).unwrap().weights_sha256(), second.weights_sha256());
}
