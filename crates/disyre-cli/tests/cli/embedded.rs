//! The model within the program, and `disyre pack`, which makes such models.

use std::fs;
use std::path::Path;

use crate::support::{World, contents, ensure_contains, fail, json, names, read, succeed, text};

/// A scan without a model given, mapped into a folder.
#[cfg(feature = "weights")]
fn detect(scan: &str, out: &Path, more: &[&str]) -> crate::support::Ran {
    let out = text(out);
    succeed(["detect", "-i", scan, "-o", &out].into_iter().chain(more.iter().copied()))
}

#[cfg(feature = "weights")]
#[test]
fn detection_without_a_model_takes_the_one_within_the_program_and_says_so() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [inside, given] = ["inside", "given"].map(|name| folder.path().join(name));
    let scan = world.path("patients/sub-1_T1w.nii.gz");
    // The published score: the cheapest that needs no healthy maps.
    let cheap = ["--score", "published", "--whole-slices", "--severities", "0.5"];
    let ran = detect(&scan, &inside, &cheap);
    let hash = disyre::ModelFolder::embedded().unwrap().weights_sha256().to_owned();
    let parts = [disyre::weights::NAME, disyre::weights::VERSION, &hash, "research use only"];
    ensure_contains(&ran.err, &parts);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../disyre-weights/model");
    let ran = detect(&scan, &given, &[&["-m", &text(&model)], &cheap[..]].concat());
    assert!(!ran.err.contains("research use"), "{}", ran.err);
    let map = |folder: &Path| fs::read(folder.join("sub-1_desc-anomalyscore_T1w.nii.gz")).unwrap();
    assert!(map(&inside) == map(&given));
    let record =
        |folder: &Path| json(&folder.join("sub-1_desc-anomalyscore_T1w.json"))["model"].clone();
    let (inside, given) = (record(&inside), record(&given));
    let name = format!("{} {}", disyre::weights::NAME, disyre::weights::VERSION);
    assert_eq!((inside["embedded"].as_str(), inside.get("folder")), (Some(name.as_str()), None));
    assert_eq!((given.get("embedded"), given["folder"].is_string()), (None, true));
    assert_eq!(
        (&inside["weights_sha256"], &given["weights_sha256"]),
        (&hash.as_str().into(), &hash.as_str().into())
    );
}

#[cfg(feature = "weights")]
#[test]
fn a_scan_whose_name_has_another_contrast_is_named_in_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (scan, out) = (folder.path().join("sub-1_FLAIR.nii.gz"), folder.path().join("out"));
    fs::copy(World::get().at("patients/sub-1_T1w.nii.gz"), &scan).unwrap();
    let cheap = ["--score", "published", "--whole-slices", "--severities", "0.5"];
    let warning = "sub-1_FLAIR.nii.gz: its name says FLAIR";
    assert!(detect(&text(&scan), &out, &cheap).err.contains(warning));
    let own = World::get().path("model");
    assert!(
        !detect(&text(&scan), &out, &[&["-m", &own], &cheap[..]].concat()).err.contains(warning)
    );
    let t1 = World::get().path("patients/sub-1_T1w.nii.gz");
    assert!(!detect(&t1, &out, &cheap).err.contains("its name says"));
}

#[cfg(feature = "weights")]
#[test]
fn info_without_a_path_shows_the_model_within_the_program_and_its_card() {
    let facts: serde_json::Value = serde_json::from_str(&succeed(["info", "--json"]).out).unwrap();
    let model = disyre::ModelFolder::embedded().unwrap();
    assert_eq!(facts["embedded"].as_str(), model.embedded_name().as_deref());
    assert_eq!(facts["weights_sha256"], model.weights_sha256());
    assert!(facts["training"]["steps"].as_u64().unwrap() > 1000);
    let card = succeed(["info", "--card"]).out;
    assert_eq!(card, disyre::weights::CARD);
    assert!(card.contains(model.weights_sha256()), "the card has the hash of other weights");
}

#[cfg(not(feature = "weights"))]
#[test]
fn a_program_without_a_model_asks_for_one() {
    let world = World::get();
    let out = world.path("out");
    let scan = world.path("patients/sub-1_T1w.nii.gz");
    fail(2, &["-m MODEL_DIR", "disyre train"], ["detect", "-i", &scan, "-o", &out]);
    fail(2, &["-m MODEL_DIR"], ["info"]);
}

#[test]
fn a_packed_model_is_half_as_large_and_maps_nearly_alike() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (model, packed) = (world.at("model"), folder.path().join("packed"));
    let ran = succeed(["pack", "-m", &text(&model), "-o", &text(&packed)]);
    let files = ["config.json", "ema.safetensors", "preparation.json", "run.json", "run.toml"];
    assert_eq!(names(&packed), [&files[..], &["tissue.json"]].concat());
    let size = |folder: &Path| fs::metadata(folder.join("ema.safetensors")).unwrap().len();
    assert!(size(&packed) < size(&model) * 6 / 10);
    for file in ["config.json", "run.toml"] {
        assert_eq!(fs::read(packed.join(file)).unwrap(), fs::read(model.join(file)).unwrap());
    }
    let facts = succeed(["info", "--json", &text(&packed)]).out;
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    assert!(ran.out.contains(facts["weights_sha256"].as_str().unwrap()));
    assert_eq!(facts["training"]["steps"], 6);
    let scan = world.path("patients/sub-1_T1w.nii.gz");
    let map = |model: &Path, name: &str| {
        let out = text(&folder.path().join(name));
        succeed(["detect", "-i", &scan, "-o", &out, "-m", &text(model)]);
        read(&folder.path().join(name).join("sub-1_desc-anomalyscore_T1w.nii.gz")).volume.data
    };
    let (whole, half) = (map(&model, "whole"), map(&packed, "half"));
    let most = whole.iter().zip(&half).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most > 0.0 && most < 2e-3, "{most}");
}

#[test]
fn packing_twice_gives_the_same_bytes_and_never_replaces() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let model = world.path("model");
    succeed(["pack", "-m", &model, "-o", &text(&first)]);
    succeed(["pack", "-m", &text(&first), "-o", &text(&second)]);
    assert!(contents(&first) == contents(&second));
    fail(1, &["is not empty"], ["pack", "-m", &model, "-o", &text(&second)]);
    fail(1, &["run.toml is missing"], ["pack", "-m", &world.path("healthy"), "-o", &model]);
}
