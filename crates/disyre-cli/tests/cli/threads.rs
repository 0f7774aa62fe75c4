//! Results are the same bytes for any number of threads.

use std::fs;
use std::path::Path;

use crate::support::{World, names, succeed, text};

/// Bytes of all files of a folder but those whose names end so.
fn contents(folder: &Path, but: &str) -> Vec<(String, Vec<u8>)> {
    let kept = names(folder).into_iter().filter(|name| !name.ends_with(but));
    kept.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

#[test]
fn synthetic_samples_do_not_depend_on_threads() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let run = |threads: &str| {
        let out = folder.path().join(threads);
        let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
        let arguments = ["synth", "-i", &healthy, "-o", &text(&out), "-n", "7", "--seed", "3"];
        succeed(arguments.into_iter().chain(["--config", &config, "--threads", threads]));
        contents(&out, "nothing")
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one.len(), 42);
    assert!(one == two, "the same bytes for one thread and two");
}

#[test]
fn a_model_does_not_depend_on_threads() {
    let world = World::get();
    let weights = |name: &str, threads: &str| {
        world.train(name, &["--threads", threads]);
        // The log holds times.
        contents(&world.at(name), "train.jsonl")
    };
    let (one, two) = (weights("model-1", "1"), weights("model-2", "2"));
    assert_eq!(
        one.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        two.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    for ((name, one), (_, two)) in one.iter().zip(&two) {
        assert!(one == two, "{name} differs");
    }
}

#[test]
fn maps_do_not_depend_on_threads() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let run = |threads: &str| {
        let out = folder.path().join(threads);
        let (patients, model) = (world.path("patients"), world.path("model"));
        succeed(["detect", "-i", &patients, "-o", &text(&out), "-m", &model, "--threads", threads]);
        // The sidecar holds times.
        let mut maps = contents(&out, ".json");
        maps.retain(|(name, _)| name != "manifest.jsonl");
        maps
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one.len(), 11);
    assert!(one == two, "the same bytes for one thread and two");
}

#[test]
fn recomputing_gives_the_same_weights_and_the_precision_is_named_beside_the_map() {
    let world = World::get();
    let weights = |name: &str, options: &[&str]| {
        world.train(name, options);
        std::fs::read(world.at(name).join("model.safetensors")).unwrap()
    };
    let kept = weights("kept", &["--precision", "bf16"]);
    assert!(kept == weights("recomputed", &["--engine", "bf16", "--recompute"]));
    let (patients, model) = (world.path("patients"), world.path("kept"));
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    succeed([
        "detect",
        "-i",
        &patients,
        "-o",
        &out,
        "-m",
        &model,
        "--precision",
        "bf16x3",
        "--whole-slices",
    ]);
    let plain = ["detect", "-i", &patients, "-o", &out, "-m", &model, "--engine", "plain"];
    crate::support::fail(2, &["`plain` is no precision", "bf16x3"], plain);
    let sidecars = contents(folder.path(), "nothing");
    let sidecar = sidecars.iter().find(|(name, _)| name.ends_with(".json")).unwrap();
    let sidecar = String::from_utf8_lossy(&sidecar.1);
    assert!(sidecar.contains("\"engine\": \"bf16x3\""), "{sidecar}");
    assert!(sidecar.contains("\"whole_slices\": true"), "{sidecar}");
}
