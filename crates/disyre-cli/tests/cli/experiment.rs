//! `disyre experiment` from end to end: two settings of training and two of detection, on phantoms.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{TINY, World, contents, disyre, fail, json, names, succeed, text};

/// An experiment of 2 × 2 rows whose trainings are shared by pairs.
fn write_experiment(folder: &Path, more: &str) -> PathBuf {
    let world = World::get();
    let cases: Vec<String> = (1..=2)
        .map(|index| {
            let at = |name: String| text(&world.at(&name));
            let scan = at(format!("patients/sub-{index}_T1w.nii.gz"));
            let label = at(format!("lesions/sub-{index}_lesion.nii.gz"));
            format!("{scan},{label},{}", at(format!("brains/sub-{index}_desc-brain_mask.nii.gz")))
        })
        .collect();
    fs::write(folder.join("cases.csv"), format!("scan,label,mask\n{}\n", cases.join("\n")))
        .unwrap();
    let settings: String = TINY.replace("\n[", "\n[base.settings.").replace("seed = 5", "");
    let file = format!(
        "title = \"Steps\"\nquestion = \"Do steps help?\"\nreference = \"steps=2, one\"\n{more}\n\
         axes = [{{ key = \"train.steps\", values = [2, 4] }},\n\
         {{ key = \"detect.severities\", values = [[0.5], [0.2, 0.5]], labels = [\"one\", \"two\"] }}]\n\
         [data]\nhealthy = [{{ folder = \"{}\", exclude = [\"h6\"] }}]\ntest_sets.phantoms = \"cases.csv\"\n\
         {settings}",
        world.path("healthy"),
    );
    let path = folder.join("steps.toml");
    fs::write(&path, file).unwrap();
    path
}

fn folder() -> (TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = write_experiment(folder.path(), "seeds = [1, 2]");
    let out = folder.path().join("steps");
    let (file, out) = (text(&file), text(&out));
    (folder, file, out)
}

#[test]
fn a_grid_is_trained_measured_and_compared_and_nothing_is_done_twice() {
    let (_folder, file, out) = folder();
    let out = Path::new(&out);
    let ran = succeed(["experiment", &file, "--threads", "1"]);
    assert!(ran.err.contains("run 8 of 8: steps=4-two_seed-2 begins"), "{}", ran.err);
    let models = names(&out.join("models"));
    let models: Vec<_> = models.iter().filter(|name| !name.ends_with(".json")).collect();
    assert_eq!(models.len(), 4, "rows that differ in detection share a model");
    let results = json(&out.join("results.json"));
    let rows = results["test_sets"][0]["measures"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0]["against_reference"], serde_json::Value::Null);
    assert_eq!(rows[3]["against_reference"]["paired"]["cases"], 2);
    let markdown = fs::read_to_string(out.join("results.md")).unwrap();
    assert!(markdown.contains("| steps=4, two |"), "{markdown}");
    for plot in names(&out.join("plots")) {
        assert!(markdown.contains(&format!("(plots/{plot})")), "{plot}");
    }
    assert_eq!(names(&out.join("plots")).len(), 12, "four of each measure");
    // A model is that of `disyre train` with the same settings.
    let settings = text(&out.join("runs/steps=4-two_seed-2/settings.toml"));
    let (healthy, alone) = (World::get().path("healthy"), text(&out.join("alone")));
    let five = text(&out.join("five"));
    fs::create_dir(&five).unwrap();
    for index in 1..=5 {
        let name = format!("h{index}.nii.gz");
        fs::copy(Path::new(&healthy).join(&name), Path::new(&five).join(&name)).unwrap();
    }
    succeed(["train", "--healthy", &five, "-o", &alone, "--config", &settings]);
    let model = results["runs"].as_array().unwrap().last().unwrap()["model"].as_str().unwrap();
    let weights = |folder: &Path| fs::read(folder.join("ema.safetensors")).unwrap();
    assert!(weights(&out.join("models").join(model)) == weights(Path::new(&alone)));

    fail(1, &["holds files already", "--continue"], ["experiment", &file]);
    let before = contents(&out.join("plots"));
    let again = succeed(["experiment", &file, "--continue"]);
    assert!(again.err.contains("steps=4-two_seed-2 is finished") && !again.err.contains("begins"));
    assert!(contents(&out.join("plots")) == before);
}

#[test]
fn what_is_missing_is_made_again_and_what_was_changed_is_refused() {
    let (folder, file, out) = folder();
    let file_one = text(&write_experiment(folder.path(), "seeds = [3]\nkeep_maps = true"));
    succeed(["experiment", &file_one, "-o", &out]);
    let runs = Path::new(&out).join("runs");
    let run = runs.join("steps=4-two_seed-3");
    assert_eq!(names(&run.join("maps/phantoms")).len(), 8, "four files for each scan");
    let before = fs::read(Path::new(&out).join("results.json")).unwrap();
    fs::remove_file(run.join("measures.json")).unwrap();
    let ran = succeed(["experiment", &file_one, "-o", &out, "--continue"]);
    assert_eq!(ran.err.matches("begins").count(), 1, "{}", ran.err);
    let results = |bytes: &[u8]| -> serde_json::Value {
        let mut json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        json["runs"].take();
        json
    };
    let after = fs::read(Path::new(&out).join("results.json")).unwrap();
    assert_eq!(results(&before), results(&after));

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("batch = 2", "batch = 3")).unwrap();
    let parts = ["steps=2-one_seed-3", "another value of train.batch"];
    fail(1, &parts, ["experiment", &file, "-o", &out, "--continue"]);
}

#[test]
fn settings_of_every_row_are_checked_before_any_work() {
    let (_folder, file, out) = folder();
    let text = fs::read_to_string(&file).unwrap();
    let wrong = |from: &str, to: &str, parts: &[&str]| {
        assert!(text.contains(from), "{from}");
        fs::write(&file, text.replace(from, to)).unwrap();
        fail(1, parts, ["experiment", &file]);
        assert!(!Path::new(&out).exists(), "{to}");
    };
    wrong("[2, 4]", "[2, 0]", &["steps.toml", "steps=0, one", "steps"]);
    wrong("train.steps", "train.stepz", &["steps.toml", "stepz=2, one", "unknown field `stepz`"]);
    wrong("seeds =", "seedz =", &["steps.toml", "unknown field `seedz`", "seeds"]);
    wrong("steps=2, one", "none", &["reference is \"none\"", "\"steps=2, two\""]);
    wrong("[1, 2]", "[1, 1]", &["seeds must be different numbers"]);
    wrong("cases.csv", "none.csv", &["cannot read", "none.csv"]);
}

#[test]
fn rows_of_a_finished_model_differ_in_detection_alone() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path(), "");
    let model = World::get().path("model");
    let file = folder.path().join("severities.toml");
    let write = |rows: &str| {
        let head = "title = \"t\"\nquestion = \"q\"\nmeasures = [\"ap\"]\n";
        let rest =
            format!("data.test_sets.phantoms = \"cases.csv\"\nbase.model = \"{model}\"\n{rows}");
        fs::write(&file, format!("{head}{rest}")).unwrap();
    };
    let file = text(&file);
    write("axes = [{ key = \"train.steps\", values = [6, 7] }]");
    fail(1, &["\"steps=7\" changes train.steps", "trained already"], ["experiment", &file]);
    write("axes = [{ key = \"detect.stride\", values = [[1, 8, 8], [1, 4, 4]] }]");
    succeed(["experiment", &file]);
    let out = folder.path().join("severities");
    assert_eq!(names(&out.join("runs")), ["stride=1-4-4_seed-5", "stride=1-8-8_seed-5"]);
    assert!(!out.join("models").exists());
    let ran = disyre(["experiment", &file, "--continue"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}
