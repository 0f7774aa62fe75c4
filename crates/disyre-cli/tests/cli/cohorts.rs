//! Cohorts that are stopped, gone on with, and split into shards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{World, contents, copy_files, disyre, fail, names, start, succeed, text};

/// A folder with copies of the six healthy scans, and arguments that map them.
struct Cohort {
    folder: TempDir,
    model: String,
}

impl Cohort {
    fn new() -> Self {
        let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
        copy_files(&world.at("healthy"), &folder.path().join("scans"));
        Self { folder, model: world.path("model") }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Arguments to map the scans into a folder of this name.
    fn arguments(&self, output: &str, more: &[&str]) -> Vec<String> {
        let [scans, output] = ["scans", output].map(|name| text(&self.at(name)));
        let fixed = ["detect", "-i", &scans, "-o", &output, "-m", &self.model, "--stripped"];
        fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    }

    /// Maps the scans and returns the names of those that were mapped.
    fn detect(&self, output: &str, more: &[&str]) -> Vec<String> {
        let ran = succeed(self.arguments(output, more).iter().map(String::as_str));
        let name = |line: &str| {
            let path = line.split(": ").next().unwrap();
            Path::new(path).file_name().unwrap().to_str().unwrap().to_owned()
        };
        ran.out.lines().map(name).collect()
    }

    fn start(&self, output: &str, more: &[&str]) -> Child {
        start(self.arguments(output, more))
    }
}

/// The whole lines of a manifest.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_cohort_that_is_killed_and_gone_on_with_has_the_bytes_of_one_run() {
    let cohort = Cohort::new();
    assert_eq!(cohort.detect("once", &[]).len(), 6);
    let manifest = lines(&cohort.at("once/manifest.jsonl"));
    let cases: Vec<&str> = manifest.iter().map(|line| line["case"].as_str().unwrap()).collect();
    assert_eq!(cases, [1, 2, 3, 4, 5, 6].map(|index| format!("h{index}.nii.gz")));
    assert!(manifest.iter().all(|line| line["state"] == "done" && line["error"].is_null()));
    assert_eq!(manifest[0]["outputs"].as_object().unwrap().len(), 6);

    let mut child = cohort.start("killed", &[]);
    while lines(&cohort.at("killed/manifest.jsonl")).len() < 2 {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = lines(&cohort.at("killed/manifest.jsonl")).len();
    let mapped = cohort.detect("killed", &["--continue"]);
    assert_eq!(mapped.len(), 6 - done);
    assert_eq!(contents(&cohort.at("killed")), contents(&cohort.at("once")));
    assert!(cohort.detect("killed", &["--continue"]).is_empty());
    assert_eq!(contents(&cohort.at("killed")), contents(&cohort.at("once")));
}

#[test]
fn what_has_changed_is_mapped_again() {
    let cohort = Cohort::new();
    cohort.detect("out", &[]);
    let once = contents(&cohort.at("out"));
    let manifest = cohort.at("out/manifest.jsonl");

    // A torn last line, an output that is gone, one that has changed, and one of another run.
    let bytes = fs::read(&manifest).unwrap();
    fs::write(&manifest, &bytes[..bytes.len() - 20]).unwrap();
    fs::remove_file(cohort.at("out/h1_overlay.png")).unwrap();
    fs::write(cohort.at("out/h3_desc-restored.nii.gz"), "spoilt").unwrap();
    fs::write(cohort.at("out/h4_desc-uncertainty.nii.gz"), "of another run").unwrap();
    let redone = ["h1.nii.gz", "h3.nii.gz", "h4.nii.gz", "h6.nii.gz"];
    assert_eq!(cohort.detect("out", &["--continue"]), redone);
    assert_eq!(contents(&cohort.at("out")), once);

    // Another input of the same name, then other settings.
    fs::copy(cohort.at("scans/h1.nii.gz"), cohort.at("scans/h2.nii.gz")).unwrap();
    assert_eq!(cohort.detect("out", &["--continue"]), ["h2.nii.gz"]);
    assert_eq!(cohort.detect("out", &["--continue", "--severities", "0.3"]).len(), 6);
    assert!(cohort.detect("out", &["--continue", "--severities", "0.3"]).is_empty());
    assert_eq!(cohort.detect("out", &["--continue"]).len(), 6);
    // Without --continue all is done anew.
    assert_eq!(cohort.detect("out", &[]).len(), 6);
}

#[test]
fn other_settings_of_training_are_another_model() {
    let world = World::get();
    let mut cohort = Cohort::new();
    let copy = cohort.at("model");
    copy_files(&world.at("model"), &copy);
    cohort.model = text(&copy);
    cohort.detect("out", &[]);
    assert!(cohort.detect("out", &["--continue"]).is_empty());
    let settings = fs::read_to_string(copy.join("run.toml")).unwrap();
    fs::write(copy.join("run.toml"), settings.replacen("seed = 5", "seed = 6", 1)).unwrap();
    assert_eq!(cohort.detect("out", &["--continue"]).len(), 6);
}

#[test]
fn shards_at_once_leave_what_one_run_leaves() {
    let cohort = Cohort::new();
    cohort.detect("once", &[]);
    let shards = ["1/4", "2/4", "3/4", "4/4"];
    let children = shards.map(|shard| cohort.start("out", &["--shard", shard]));
    assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
    let count = |shard| lines(&cohort.at(&format!("out/manifest-{shard}-of-4.jsonl"))).len();
    assert_eq!([1, 2, 3, 4].map(count), [2, 2, 1, 1]);
    assert!(cohort.detect("out", &["--continue", "--shard", "2/3"]).is_empty());
    assert!(cohort.detect("out", &["--continue"]).is_empty());
    assert_eq!(contents(&cohort.at("out")), contents(&cohort.at("once")));
}

#[test]
fn failures_are_recorded_and_tried_again() {
    let cohort = Cohort::new();
    fs::write(cohort.at("scans/h2.nii.gz"), "no scan").unwrap();
    let arguments = cohort.arguments("out", &[]);
    let ran = disyre(arguments.iter().map(String::as_str));
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    let manifest = lines(&cohort.at("out/manifest.jsonl"));
    assert_eq!((manifest.len(), &manifest[1]["case"]), (6, &Value::from("h2.nii.gz")));
    assert_eq!(manifest[1]["state"], "failed");
    assert!(ran.err.contains(manifest[1]["error"].as_str().unwrap().lines().next().unwrap()));
    fail(3, &["1 of 6 scans failed"], arguments.iter().map(String::as_str).chain(["--continue"]));
    fs::copy(cohort.at("scans/h1.nii.gz"), cohort.at("scans/h2.nii.gz")).unwrap();
    assert_eq!(cohort.detect("out", &["--continue"]), ["h2.nii.gz"]);
    cohort.detect("once", &[]);
    assert_eq!(contents(&cohort.at("out")), contents(&cohort.at("once")));
}

#[test]
fn one_scan_is_no_cohort_and_a_part_is_one_of_those_there_are() {
    let world = World::get();
    let (scan, out) = (world.path("healthy/h1.nii.gz"), tempfile::tempdir().unwrap());
    let (model, out) = (world.path("model"), text(out.path()));
    let detect = ["detect", "-i", &scan, "-o", &out, "-m", &model];
    fail(1, &["is one scan", "--continue"], detect.into_iter().chain(["--continue"]));
    fail(1, &["is one scan", "--shard"], detect.into_iter().chain(["--shard", "1/2"]));
    for shard in ["0/2", "3/2", "2"] {
        fail(2, &["expected K/N"], detect.into_iter().chain(["--shard", shard]));
    }
    assert!(names(Path::new(&out)).is_empty());
}
