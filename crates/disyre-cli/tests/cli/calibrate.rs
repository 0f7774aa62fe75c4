//! `disyre calibrate`, and `disyre detect` with and without a calibration.

use std::fs;

use disyre::TemplateSpace;
use disyre::core::Volume;
use disyre::core::ndarray::s;
use disyre::volume::write_volume;

use crate::support::{World, fail, json, names, succeed, text};

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

#[test]
fn a_calibration_changes_settings_of_detection_alone_and_detection_uses_it() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("model")).unwrap();
    for file in fs::read_dir(world.at("model")).unwrap().flatten() {
        fs::copy(file.path(), at("model").join(file.file_name())).unwrap();
    }
    fs::create_dir(at("healthy")).unwrap();
    let template = TemplateSpace::mni152().unwrap().template().volume.clone();
    for gain in [1.0, 2.0] {
        let scan = Volume { data: &template.data * gain, grid: template.grid };
        write_volume(&at("healthy").join(format!("h{gain}.nii.gz")), &scan).unwrap();
    }
    let (model, healthy) = (text(&at("model")), text(&at("healthy")));
    let calibrate = ["calibrate", "--healthy", &healthy, "-m", &model, "--stripped"];
    let config = text(&at("more.toml"));
    let with_config = || calibrate.into_iter().chain(["--config", &config]);
    fs::write(&config, "train.steps = 7").unwrap();
    fail(1, &["train.steps", "detect alone"], with_config());
    fs::write(&config, "detect.calibrated.residual = { more = 0.25, scale_mm = 8.0 }").unwrap();
    let ran = succeed(with_config());
    assert!(ran.out.contains("calibrated by 2 of 2 scans"), "{}", ran.out);
    let record = json(&at("model/calibration/calibration.json"));
    assert_eq!(record["detect"]["calibrated"]["residual"]["more"], 0.25);
    assert_eq!(record["channels"].as_array().unwrap().len(), 10);
    // Weights by a scan with a dark lesion.
    let mut ill = Volume { data: &template.data * 3.0, grid: template.grid };
    let mut label = Volume { data: ill.data.mapv(|_| 0.0), grid: ill.grid };
    let lesion = s![38..44, 50..56, 55..61];
    ill.data.slice_mut(lesion).mapv_inplace(|value| 0.3 * value);
    label.data.slice_mut(lesion).fill(1.0);
    write_volume(&at("ill.nii.gz"), &ill).unwrap();
    write_volume(&at("lesion.nii.gz"), &label).unwrap();
    let pairs = text(&at("pairs.csv"));
    let with_lesions = || calibrate.into_iter().chain(["--lesions", &pairs]);
    fs::write(&pairs, "score,label\nmap.nii.gz,lesion.nii.gz\n").unwrap();
    fail(1, &["pairs.csv does not name the scan", "columns scan and label"], with_lesions());
    fs::write(&pairs, "score,label,scan\n-,lesion.nii.gz,healthy/h1.nii.gz\n").unwrap();
    fail(1, &["healthy/h1.nii.gz", "this person, h1", "give scans of others"], with_lesions());
    fs::write(&pairs, "score,label,scan,subject\n-,lesion.nii.gz,ill.nii.gz,h2\n").unwrap();
    fail(1, &["ill.nii.gz", "this person, h2"], with_lesions());
    fs::write(&pairs, "score,label,scan\n-,lesion.nii.gz,ill.nii.gz\n").unwrap();
    let ran = succeed(with_lesions());
    assert!(ran.out.contains("fitted to 1 of 1 scans with lesions"), "{}", ran.out);
    let fitted = json(&at("model/calibration/calibration.json"));
    let less = |channel: &str| fitted["detect"]["calibrated"][channel]["less"].as_f64().unwrap();
    assert!(less("intensity") + less("fine_intensity") > 0.1, "{fitted}");
    let (ill, maps) = (text(&at("ill.nii.gz")), text(&at("maps")));
    succeed(["detect", "-i", &ill, "-o", &maps, "-m", &model, "--stripped"]);
    let sidecar = json(&at("maps/ill_desc-anomalyscore.json"));
    let of_map = &sidecar["settings"]["detect"]["calibrated"];
    assert_eq!(*of_map, fitted["detect"]["calibrated"]);
    // Channels of which neither side counts get no weight.
    fs::write(&config, "detect.calibrated.fine_intensity = { less = 0.0, more = 0.0 }").unwrap();
    succeed(with_lesions().chain(["--config", &config]));
    let fitted = json(&at("model/calibration/calibration.json"));
    assert_eq!(fitted["detect"]["calibrated"]["fine_intensity"]["weight"], 0.0);
    assert_eq!(fitted["detect"]["calibrated"]["intensity"]["weight"], 1.0);
    fs::write(&config, "detect.calibrated.residual = { more = 0.25, scale_mm = 8.0 }").unwrap();
    succeed(with_config());
    let (scan, out) = (text(&at("healthy/h1.nii.gz")), text(&at("out")));
    let detect = ["detect", "-i", &scan, "-o", &out, "-m", &model, "--stripped"];
    succeed(detect);
    let sidecar = json(&at("out/h1_desc-anomalyscore.json"));
    assert_eq!(sidecar["score"], "calibrated");
    assert_eq!(sidecar["settings"]["detect"]["calibrated"]["residual"]["scale_mm"], 8.0);
    assert!(at("out/h1_desc-signed.nii.gz").is_file());
    let other = detect.into_iter().chain(["--severities", "0.1"]);
    fail(1, &["calibrated with another detect.severities"], other);
    succeed(detect.into_iter().chain(["--severities", "0.1", "--score", "published"]));
    assert!(!at("out/h1_desc-signed.nii.gz").exists());
    // A copy to hand on keeps the calibration, for its rounded weights.
    let packed = text(&at("packed"));
    succeed(["pack", "-m", &model, "-o", &packed]);
    let facts = succeed(["info", "--json", &packed]).out;
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    let of_copy = json(&at("packed/calibration/calibration.json"));
    assert_eq!(of_copy["weights_sha256"], facts["weights_sha256"]);
    assert_ne!(of_copy["weights_sha256"], record["weights_sha256"]);
    succeed(["detect", "-i", &scan, "-o", &out, "-m", &packed, "--stripped"]);
    assert_eq!(json(&at("out/h1_desc-anomalyscore.json"))["score"], "calibrated");
}
