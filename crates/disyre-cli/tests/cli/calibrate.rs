//! `disyre calibrate`, and `disyre detect` with and without a calibration.

use std::fs;
use std::path::PathBuf;

use disyre::TemplateSpace;
use disyre::core::Volume;
use disyre::core::ndarray::{Array3, s};
use disyre::volume::write_volume;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ran, World, copy_files, fail, json, names, succeed, text};

#[test]
fn phantoms_cannot_be_registered_and_without_a_calibration_the_score_is_published() {
    let world = World::get();
    let (model, healthy) = (world.path("model"), world.path("healthy"));
    let parts = ["the calibration needs 2 healthy scans, but only 0", "h1, h2"];
    fail(1, &parts, ["calibrate", "--healthy", &healthy, "-m", &model, "--stripped"]);
    assert!(!world.at("model/calibration").exists());
    let out = tempfile::tempdir().unwrap();
    let (out_path, scan) = (text(out.path()), world.path("patients/sub-1_T1w.nii.gz"));
    let detect = ["detect", "-i", &scan, "-o", &out_path, "-m", &model, "--uncertainty"];
    let calibrated = detect.into_iter().chain(["--score", "calibrated"]);
    fail(1, &["holds no calibration", "disyre calibrate --healthy DIR"], calibrated);
    succeed(detect);
    assert!(names(out.path()).contains(&"sub-1_desc-uncertainty_T1w.nii.gz".to_owned()));
    let sidecar = json(&out.path().join("sub-1_desc-anomalyscore_T1w.json"));
    assert_eq!(sidecar["score"], "published");
    assert!(sidecar["outputs"]["uncertainty"].is_string());
}

/// A copy of the model, and two healthy scans, `h1` and `h2`, which are the template.
struct Calibrated {
    folder: TempDir,
    template: Volume,
}

impl Calibrated {
    fn new() -> Self {
        let template = TemplateSpace::mni152().unwrap().template().volume.clone();
        let new = Self { folder: tempfile::tempdir().unwrap(), template };
        copy_files(&World::get().at("model"), &new.at("model"));
        fs::create_dir(new.at("healthy")).unwrap();
        for gain in [1.0, 2.0] {
            new.write(&format!("healthy/h{gain}.nii.gz"), &new.template.data * gain);
        }
        new
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as an argument.
    fn path(&self, name: &str) -> String {
        text(&self.at(name))
    }

    /// Writes a volume on the grid of the template.
    fn write(&self, name: &str, data: Array3<f32>) {
        write_volume(&self.at(name), &Volume { data, grid: self.template.grid }).unwrap();
    }

    /// The template with a dark lesion, `ill.nii.gz`, and its label.
    fn write_lesion(&self) {
        let (mut ill, mut label) = (&self.template.data * 3.0, &self.template.data * 0.0);
        let lesion = s![38..44, 50..56, 55..61];
        ill.slice_mut(lesion).mapv_inplace(|value| 0.3 * value);
        label.slice_mut(lesion).fill(1.0);
        self.write("ill.nii.gz", ill);
        self.write("lesion.nii.gz", label);
    }

    /// The command with more arguments, of which names of files begin with `@`.
    fn calibrate(&self, more: &[&str]) -> Vec<String> {
        let arguments = ["calibrate", "--healthy", "@healthy", "-m", "@model", "--stripped"];
        self.arguments(arguments.iter().chain(more))
    }

    fn detect(&self, scan: &str, out: &str, more: &[&str]) -> Vec<String> {
        let arguments = ["detect", "-i", scan, "-o", out, "-m", "@model", "--stripped"];
        self.arguments(arguments.iter().chain(more))
    }

    fn arguments<'a>(&self, of: impl IntoIterator<Item = &'a &'a str>) -> Vec<String> {
        let path = |word: &&str| match word.strip_prefix('@') {
            Some(name) => self.path(name),
            None => (*word).to_owned(),
        };
        of.into_iter().map(path).collect()
    }

    /// The record of the calibration of a model.
    fn record(&self, model: &str) -> Value {
        json(&self.at(model).join("calibration/calibration.json"))
    }
}

fn ran(arguments: &[String]) -> Ran {
    succeed(arguments.iter().map(String::as_str))
}

fn failed(parts: &[&str], arguments: &[String]) {
    fail(1, parts, arguments.iter().map(String::as_str));
}

#[test]
fn a_calibration_changes_settings_of_detection_alone_and_detection_uses_it() {
    let world = Calibrated::new();
    let with_config = world.calibrate(&["--config", "@more.toml"]);
    let write = |settings: &str| fs::write(world.at("more.toml"), settings).unwrap();
    write("train.steps = 7");
    failed(&["train.steps", "detect alone"], &with_config);
    write("detect.calibrated.residual = { more = 0.25, scale_mm = 8.0 }");
    let calibrated = ran(&with_config);
    assert!(calibrated.out.contains("calibrated by 2 of 2 scans"), "{}", calibrated.out);
    let record = world.record("model");
    assert_eq!(record["detect"]["calibrated"]["residual"]["more"], 0.25);
    assert_eq!(record["channels"].as_array().unwrap().len(), 10);

    let (scan, out) = ("@healthy/h1.nii.gz", "@out");
    ran(&world.detect(scan, out, &[]));
    let sidecar = json(&world.at("out/h1_desc-anomalyscore.json"));
    assert_eq!(sidecar["score"], "calibrated");
    assert_eq!(sidecar["settings"]["detect"]["calibrated"]["residual"]["scale_mm"], 8.0);
    assert!(world.at("out/h1_desc-signed.nii.gz").is_file());
    let other = ["--severities", "0.1"];
    let parts = ["calibrated with another detect.severities"];
    failed(&parts, &world.detect(scan, out, &other));
    ran(&world.detect(scan, out, &[&other[..], &["--score", "published"]].concat()));
    assert!(!world.at("out/h1_desc-signed.nii.gz").exists());
}

#[test]
fn weights_fit_scans_with_lesions_of_other_persons() {
    let world = Calibrated::new();
    world.write_lesion();
    let with_lesions = world.calibrate(&["--lesions", "@pairs.csv"]);
    let write = |pairs: &str| fs::write(world.at("pairs.csv"), pairs).unwrap();
    write("score,label\nmap.nii.gz,lesion.nii.gz\n");
    failed(&["pairs.csv does not name the scan", "columns scan and label"], &with_lesions);
    write("score,label,scan\n-,lesion.nii.gz,healthy/h1.nii.gz\n");
    failed(&["healthy/h1.nii.gz", "this person, h1", "give scans of others"], &with_lesions);
    write("score,label,scan,subject\n-,lesion.nii.gz,ill.nii.gz,h2\n");
    failed(&["ill.nii.gz", "this person, h2"], &with_lesions);

    write("score,label,scan\n-,lesion.nii.gz,ill.nii.gz\n");
    let out = ran(&with_lesions).out;
    assert!(out.contains("fitted to 1 of 1 scans with lesions"), "{out}");
    let fitted = world.record("model");
    let less = |channel: &str| fitted["detect"]["calibrated"][channel]["less"].as_f64().unwrap();
    assert!(less("intensity") + less("fine_intensity") > 0.1, "{fitted}");
    // Around the one lesion it is dark too, and across the midline it is not.
    let side = |view: &str| {
        let of = |channel: &str| &fitted["detect"]["calibrated"][channel][view]["less"];
        of("intensity").as_f64().unwrap() + of("fine_intensity").as_f64().unwrap()
    };
    assert!(side("around") > 0.0 && side("across") < side("around"), "{fitted}");
    ran(&world.detect("@ill.nii.gz", "@maps", &[]));
    let sidecar = json(&world.at("maps/ill_desc-anomalyscore.json"));
    assert_eq!(sidecar["settings"]["detect"]["calibrated"], fitted["detect"]["calibrated"]);

    // Channels of which neither side counts get no weight.
    let settings = "detect.calibrated.fine_intensity = { less = 0.0, more = 0.0 }";
    fs::write(world.at("more.toml"), settings).unwrap();
    ran(&world.calibrate(&["--lesions", "@pairs.csv", "--config", "@more.toml"]));
    let fitted = world.record("model");
    assert_eq!(fitted["detect"]["calibrated"]["fine_intensity"]["weight"], 0.0);
    assert_eq!(fitted["detect"]["calibrated"]["intensity"]["weight"], 1.0);
}

#[test]
fn a_copy_to_hand_on_keeps_the_calibration_for_its_rounded_weights() {
    let world = Calibrated::new();
    ran(&world.calibrate(&[]));
    let (model, packed) = (world.path("model"), world.path("packed"));
    succeed(["pack", "-m", &model, "-o", &packed]);
    let facts = succeed(["info", "--json", &packed]).out;
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let of_copy = world.record("packed");
    assert_eq!(of_copy["weights_sha256"], facts["weights_sha256"]);
    assert_ne!(of_copy["weights_sha256"], world.record("model")["weights_sha256"]);
    let (scan, out) = (world.path("healthy/h1.nii.gz"), world.path("out"));
    succeed(["detect", "-i", &scan, "-o", &out, "-m", &packed, "--stripped"]);
    assert_eq!(json(&world.at("out/h1_desc-anomalyscore.json"))["score"], "calibrated");
}
