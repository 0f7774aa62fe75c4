//! `disyre evaluate`: measures computed by hand, pairing of files, and bad cases.

use std::path::{Path, PathBuf};

use disyre::TemplateSpace;
use disyre::core::ndarray::Array3;
use disyre::core::{Grid, Volume};
use disyre::volume::{write_labels, write_volume};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{World, disyre, ensure_contains, fail, json, names, succeed, text};

/// A map of four voxels, 0.1 0.4 0.35 0.8, whose lesion is the last two, and a mask without the first.
fn small() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let grid = Grid::from_spacing([1, 2, 2], [2.0; 3]);
    for name in ["scores", "labels", "masks"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let at = |name: &str| folder.path().join(name);
    let array = |values: [f32; 4]| Array3::from_shape_vec((1, 2, 2), values.to_vec()).unwrap();
    let score = Volume { data: array([0.1, 0.4, 0.35, 0.8]), grid };
    write_volume(&at("scores/a_desc-anomalyscore.nii.gz"), &score).unwrap();
    let label = array([0.0, 0.0, 1.0, 1.0]).mapv(|value| value as u8);
    write_labels(&at("labels/a_lesion.nii.gz"), label.view(), &grid).unwrap();
    let mask = array([0.0, 1.0, 1.0, 1.0]).mapv(|value| value as u8);
    write_labels(&at("masks/a_brain.nii.gz"), mask.view(), &grid).unwrap();
    folder
}

/// The report of the maps alone, named so that folders and lists agree.
fn measured(folder: &Path, more: &[&str]) -> Value {
    let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.join(name)));
    let arguments =
        ["evaluate", "--json", "--name", "ours", "--scores", &scores, "--labels", &labels];
    let ran = succeed(arguments.into_iter().chain(more.iter().copied()));
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn measures_are_those_computed_by_hand() {
    let folder = small();
    let report = measured(folder.path(), &[]);
    let ours = &report["methods"][0];
    let pooled = |measure: &str| ours["pooled"][measure]["value"].as_f64().unwrap();
    // Ranked 0.8 lesion, 0.4 healthy, 0.35 lesion, 0.1 healthy: AP = (1 + 2/3) / 2; AUROC 3 of 4 pairs in order.
    assert!((pooled("ap") - 5.0 / 6.0).abs() < 1e-12);
    assert_eq!((pooled("auroc"), pooled("best_dice"), pooled("prevalence")), (0.75, 0.8, 0.5));
    assert_eq!((&ours["name"], &ours["cases"][0]["name"]), (&json!("ours"), &json!("a")));
    assert_eq!(
        (&ours["cases"][0]["voxels"], &report["cases"][0]["lesion_ml"]),
        (&json!(4), &json!(0.016))
    );
    // A single case has no threshold of others.
    assert_eq!(ours["cases"][0]["others_dice"], Value::Null);
    let masks = text(&folder.path().join("masks"));
    let masked = measured(folder.path(), &["--masks", &masks]);
    assert_eq!(masked["methods"][0]["cases"][0]["voxels"], 3);
    assert_eq!(masked["methods"][0]["pooled"]["auroc"]["value"], 0.5);
    // At .38: .4 and .8 are predicted, one of them lesion; the lesion's other voxel is missed.
    let given = measured(folder.path(), &["--threshold", "0.38"]);
    let case = &given["methods"][0]["cases"][0];
    assert_eq!((&case["given_dice"], &case["given_recall"]), (&json!(0.5), &json!(0.5)));
    assert_eq!(case["given_volume_error_ml"], 0.0);
}

#[test]
fn a_list_of_pairs_gives_the_same_as_folders_and_says_which_voxels_count() {
    let folder = small();
    let list = folder.path().join("pairs.csv");
    let line = "scores/a_desc-anomalyscore.nii.gz,labels/a_lesion.nii.gz,masks/a_brain.nii.gz";
    std::fs::write(&list, format!("score,label,mask\n{line}\n")).unwrap();
    let list = text(&list);
    let advice = "not measured: fill the column scan of --pairs";
    assert!(succeed(["evaluate", "--pairs", &list]).out.contains(advice));
    let report: Value = serde_json::from_str(
        &succeed(["evaluate", "--json", "--name", "ours", "--pairs", &list]).out,
    )
    .unwrap();
    let masks = text(&folder.path().join("masks"));
    let folders = measured(folder.path(), &["--masks", &masks]);
    assert_eq!(report["methods"][0]["pooled"], folders["methods"][0]["pooled"]);
    assert_eq!(report["cases"], folders["cases"]);
    let table = succeed(["evaluate", "--pairs", &list]).out;
    ensure_contains(
        &table,
        &["voxels inside the brain masks", "AP by case", "pairs by case", "protocol exact"],
    );
    let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.path().join(name)));
    let table = succeed(["evaluate", "--scores", &scores, "--labels", &labels]).out;
    assert!(table.contains("all voxels, background included"), "{table}");
    assert!(table.contains("threshold of others: none, as no other case has a lesion"), "{table}");
}

#[test]
fn every_protocol_names_itself_and_the_reference_one_depends_on_its_seed() {
    let folder = small();
    let values = |report: &Value| report["methods"][0]["protocol"].clone();
    for protocol in ["reference", "upd", "medianomaly", "uad-imag"] {
        let report = measured(folder.path(), &["--protocol", protocol]);
        assert_eq!(
            (&report["protocol"], &values(&report)["protocol"]),
            (&json!(protocol), &json!(protocol))
        );
        assert!(values(&report)["values"].as_array().is_some_and(|values| !values.is_empty()));
        let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.path().join(name)));
        let arguments =
            ["evaluate", "--scores", &scores, "--labels", &labels, "--protocol", protocol];
        let table = succeed(arguments).out;
        ensure_contains(&table, &[&format!("protocol: {protocol} ("), "atlas |z|: not measured: "]);
    }
    let run = |seed| measured(folder.path(), &["--protocol", "reference", "--seed", seed]);
    assert_eq!(values(&run("1")), values(&run("1")));
    assert_ne!(values(&run("1")), values(&run("2")));
    fail(
        2,
        &["expected one of exact, reference, upd"],
        ["evaluate", "--pairs", "x", "--protocol", "dice"],
    );
}

#[test]
fn grids_that_differ_and_labels_that_are_missing_are_named() {
    let folder = small();
    let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.path().join(name)));
    let arguments = || ["evaluate", "--scores", &scores, "--labels", &labels];
    let label = folder.path().join("labels/a_lesion.nii.gz");
    let ones = Array3::ones([1, 2, 2]);
    let write = |grid: Grid| write_labels(&label, Array3::ones(grid.shape).view(), &grid).unwrap();
    let both = ["a_desc-anomalyscore.nii.gz", "a_lesion.nii.gz"];
    write(Grid::from_spacing([1, 2, 3], [2.0; 3]));
    fail(1, &[both[0], both[1], "shape"], arguments());
    write(Grid::from_spacing([1, 2, 2], [3.0; 3]));
    fail(1, &[both[0], both[1], "affine"], arguments());
    let other = folder.path().join("labels/a_roi.nii.gz");
    write_labels(&other, ones.view(), &Grid::from_spacing([1, 2, 2], [2.0; 3])).unwrap();
    fail(1, &["2 lesion masks of", "a_lesion.nii.gz", "a_roi.nii.gz", "keep one"], arguments());
    std::fs::rename(&other, folder.path().join("labels/ab.nii.gz")).unwrap();
    std::fs::remove_file(&label).unwrap();
    fail(
        1,
        &["no lesion mask of", both[0], "named like a.nii[.gz], a_lesion.nii[.gz]"],
        arguments(),
    );
    let masks = text(&folder.path().join("masks"));
    fail(
        1,
        &["holds no file named NAME_desc-anomalyscore"],
        ["evaluate", "--scores", &masks, "--labels", &labels],
    );
}

#[test]
fn a_file_that_only_seems_to_be_a_map_is_a_case_that_failed() {
    let folder = small();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(at("scores/a_desc-anomalyscore.nii.gz"), at("scores/b_anomalyscore.nii.gz"))
        .unwrap();
    let [scores, labels] = ["scores", "labels"].map(|name| text(&at(name)));
    let parts = ["1 of 2", "b_anomalyscore.nii.gz", "named"];
    fail(3, &parts, ["evaluate", "--scores", &scores, "--labels", &labels]);
}

/// The case a of [`small`] under other names, with labels of these values.
fn with_cases(folder: &Path, cases: &[(&str, u8)]) {
    let grid = Grid::from_spacing([1, 2, 2], [2.0; 3]);
    for &(name, second) in cases {
        let map = folder.join(format!("scores/{name}_desc-anomalyscore.nii.gz"));
        std::fs::copy(folder.join("scores/a_desc-anomalyscore.nii.gz"), map).unwrap();
        let label = Array3::from_shape_vec([1, 2, 2], vec![0, second, 0, 0]).unwrap();
        let path = folder.join(format!("labels/{name}_lesion.nii.gz"));
        write_labels(&path, label.view(), &grid).unwrap();
    }
}

#[test]
fn a_label_without_a_lesion_is_a_healthy_case() {
    let folder = small();
    with_cases(folder.path(), &[("b", 1), ("c", 0), ("d", 0)]);
    let report = measured(folder.path(), &[]);
    let ours = &report["methods"][0];
    assert_eq!(report["cases"][2]["lesions"], 0);
    assert_eq!(ours["cases"][2]["ap"], Value::Null);
    // At .35, the best of a and b together, c has the findings .4 and .35, .8: one piece.
    assert_eq!(ours["cases"][2]["others_false_positives"], 1.0);
    assert_eq!(ours["per_volume"]["ap"]["cases"], 2);
    assert_eq!(ours["image_level"][1]["score"], "max_score");
    assert_eq!(ours["image_level"][1]["auroc"]["value"], 0.5);
    let [scores, labels] = ["scores", "labels"].map(|name| text(&folder.path().join(name)));
    let table = succeed(["evaluate", "--scores", &scores, "--labels", &labels]).out;
    assert!(table.starts_with("2 cases with lesions, 2 healthy (no lesion voxel"), "{table}");
}

#[test]
fn bad_cases_do_not_keep_the_others_from_being_measured() {
    let folder = small();
    let at = |name: &str| folder.path().join(name);
    with_cases(folder.path(), &[("b", 1), ("c", 1)]);
    // b has no readable label, c no label; e no map.
    std::fs::write(at("labels/b_lesion.nii.gz"), "no scan").unwrap();
    std::fs::rename(at("labels/c_lesion.nii.gz"), at("labels/e_lesion.nii.gz")).unwrap();
    let [scores, labels] = ["scores", "labels"].map(|name| text(&at(name)));
    let arguments = || ["evaluate", "--json", "--scores", &scores, "--labels", &labels];
    let parts = [
        "3 of 4 scans failed",
        "b_lesion.nii.gz",
        "no lesion mask of",
        "e_lesion.nii.gz: no anomaly map in",
    ];
    fail(3, &parts, arguments());
    let report: Value = serde_json::from_str(&disyre(arguments()).out).unwrap();
    assert_eq!(report["cases"].as_array().unwrap().len(), 1);
    assert_eq!(report["cases"][0]["name"], "a");
    assert_eq!(report["methods"][0]["pooled"]["auroc"]["value"], 0.75);
    assert_eq!(report["failed"].as_array().unwrap().len(), 3);
    let table = disyre(["evaluate", "--scores", &scores, "--labels", &labels]).out;
    assert!(table.contains("3 failed, listed below"), "{table}");
    assert!(table.contains("failed: ") && table.contains("no lesion mask of"), "{table}");
    std::fs::remove_file(at("scores/a_desc-anomalyscore.nii.gz")).unwrap();
    fail(3, &["4 of 4 scans failed"], arguments());
    // All of them are in the JSON, and no table says anything.
    let report: Value = serde_json::from_str(&disyre(arguments()).out).unwrap();
    assert_eq!(report["cases"].as_array().unwrap().len(), 0);
    let failed = report["failed"].as_array().unwrap();
    let mut files = failed.iter().map(|case| case["file"].as_str().unwrap());
    assert!(files.all(|file| Path::new(file).is_file()), "{failed:?}");
    assert_eq!(failed.len(), 4);
    assert!(failed.iter().all(|case| !case["reason"].as_str().unwrap().is_empty()));
    assert_eq!(disyre(["evaluate", "--scores", &scores, "--labels", &labels]).out, "");
}

/// The cases a, b and c, their scans, and the scans once more as the maps of another method.
fn with_scans_and_another_method() -> TempDir {
    let folder = small();
    with_cases(folder.path(), &[("b", 1), ("c", 1)]);
    let grid = Grid::from_spacing([1, 2, 2], [2.0; 3]);
    for part in ["scans", "other"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
        for name in ["a", "b", "c"] {
            let data = Array3::from_shape_vec([1, 2, 2], vec![1.0, 9.0, 5.0, 3.0]).unwrap();
            let path = folder.path().join(format!("{part}/{name}.nii.gz"));
            write_volume(&path, &Volume { data, grid }).unwrap();
        }
    }
    folder
}

#[test]
fn methods_are_compared_on_the_same_voxels_and_the_learning_free_ones_always_have_a_row() {
    let folder = with_scans_and_another_method();
    let [other, scans] = ["other", "scans"].map(|name| text(&folder.path().join(name)));
    let alone = measured(folder.path(), &["--compare", &other]);
    let names = |report: &Value| -> Vec<String> {
        let methods = report["methods"].as_array().unwrap().iter();
        methods.map(|method| method["name"].as_str().unwrap().to_owned()).collect()
    };
    let rows = ["ours", "other", "intensity (hyper)", "intensity (hypo)", "atlas |z|"];
    assert_eq!(names(&alone), rows);
    let reason = |report: &Value, row: usize| report["methods"][row]["not_measured"].clone();
    assert!(reason(&alone, 2).as_str().unwrap().contains("--scans"));
    assert!(reason(&alone, 4).as_str().unwrap().contains("--atlas (`disyre atlas"));
    let report = measured(folder.path(), &["--compare", &other, "--scans", &scans]);
    assert_eq!((names(&report), reason(&report, 2)), (names(&alone), Value::Null));
    // The brightest voxel is the lesion of b and c; the darkest is not. `other` holds the scans.
    let ap = |row: usize, case: usize| report["methods"][row]["cases"][case]["ap"].clone();
    assert_eq!([ap(1, 1), ap(2, 1), ap(3, 1)], [json!(1.0), json!(1.0), json!(0.25)]);
    let comparisons = report["comparisons"].as_array().unwrap();
    let corrected = |row: &Value| row["p_holm"].as_f64() >= row["p"].as_f64();
    assert!(comparisons.iter().all(|row| row["a"] == "ours" && corrected(row)));
    let precision = comparisons.iter().filter(|row| row["measure"] == "ap");
    assert_eq!(precision.map(|row| &row["b"]).collect::<Vec<_>>(), rows[1..4].to_vec());
}

#[test]
fn scans_of_one_subject_are_one_unit_of_the_tests() {
    let folder = with_scans_and_another_method();
    let row = |name: &str, subject: &str| {
        format!(
            "scores/{name}_desc-anomalyscore.nii.gz,labels/{name}_lesion.nii.gz,scans/{name}.nii.gz,{subject}\n"
        )
    };
    let measured = |rows: [String; 3]| -> Value {
        let list = folder.path().join("pairs.csv");
        std::fs::write(&list, format!("score,label,scan,subject\n{}", rows.concat())).unwrap();
        serde_json::from_str(&succeed(["evaluate", "--json", "--pairs", &text(&list)]).out).unwrap()
    };
    let grouped = measured([row("a", "x"), row("b", "x"), row("c", "")]);
    let subject = |case: usize| grouped["cases"][case]["subject"].clone();
    assert_eq!([subject(0), subject(1), subject(2)], [json!("x"), json!("x"), json!("c")]);
    assert_eq!(grouped["comparisons"][0]["cases"], 2);
    let apart = measured([row("a", ""), row("b", ""), row("c", "")]);
    assert_eq!(apart["comparisons"][0]["cases"], 3);
}

#[test]
fn maps_of_another_method_that_are_missing_and_scans_that_lie_elsewhere_are_named() {
    let folder = with_scans_and_another_method();
    let at = |name: &str| folder.path().join(name);
    let [scores, labels, other, scans] =
        ["scores", "labels", "other", "scans"].map(|name| text(&at(name)));
    std::fs::remove_file(at("other/c.nii.gz")).unwrap();
    let arguments = ["evaluate", "--scores", &scores, "--labels", &labels, "--compare", &other];
    fail(1, &["holds no map of 1 cases", "c_desc-anomalyscore"], arguments);
    // A scan on another grid is named with its map.
    let grid = Grid::from_spacing([1, 2, 2], [3.0; 3]);
    let moved = Volume {
        data: Array3::from_shape_fn(grid.shape, |(_, y, x)| 0.5 + (2 * y + x) as f32),
        grid,
    };
    write_volume(&at("scans/b.nii.gz"), &moved).unwrap();
    let arguments = ["evaluate", "--scores", &scores, "--labels", &labels, "--scans", &scans];
    let parts =
        ["1 of 3 scans failed", "scans/b.nii.gz lies on another grid than", "b_desc-anomalyscore"];
    fail(3, &parts, arguments);
}

#[test]
fn files_hold_the_report_as_json_csv_and_markdown() {
    let folder = small();
    with_cases(folder.path(), &[("b", 1), ("c", 0)]);
    let out = folder.path().join("out");
    let report = measured(folder.path(), &["-o", &text(&out)]);
    assert_eq!(names(&out), ["evaluation.csv", "evaluation.json", "evaluation.md"]);
    assert_eq!(json(&out.join("evaluation.json")), report);
    let mut csv = csv::Reader::from_path(out.join("evaluation.csv")).unwrap();
    let heads = ["method", "averaging", "case", "measure", "value", "low", "high", "cases"];
    assert_eq!(csv.headers().unwrap(), heads.to_vec());
    let lines: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    let value = |averaging: &str, case: &str, measure: &str| -> f64 {
        let line = lines
            .iter()
            .find(|line| line[1] == *averaging && line[2] == *case && line[3] == *measure);
        line.unwrap()[4].parse().unwrap()
    };
    assert!((value("case", "a", "ap") - 5.0 / 6.0).abs() < 1e-12);
    assert_eq!(report["methods"][0]["pooled"]["ap"]["value"], value("pooled", "", "ap"));
    assert_eq!(report["methods"][0]["per_volume"]["ap"]["value"], value("per_volume", "", "ap"));
    let markdown = std::fs::read_to_string(out.join("evaluation.md")).unwrap();
    ensure_contains(
        &markdown,
        &[
            "# Evaluation",
            "| method | AP pooled |",
            "| atlas \\|z\\| | not measured",
            "AP: Average precision",
        ],
    );
}

/// Maps of the shared model, and an atlas of two copies of the template of other brightness, made among the phantoms.
struct DetectedWithAtlas {
    _folder: TempDir,
    maps: String,
    lesions: String,
    brains: String,
    healthy: String,
    atlas: PathBuf,
}

impl DetectedWithAtlas {
    fn new(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| text(&folder.path().join(name));
        let [maps, healthy, atlas] = ["maps", "healthy", "atlas"].map(at);
        let [patients, model, lesions, brains] =
            ["patients", "model", "lesions", "brains"].map(|name| world.path(name));
        succeed(["detect", "-i", &patients, "-o", &maps, "-m", &model]);
        std::fs::create_dir(&healthy).unwrap();
        let settings = world.path("tiny.toml");
        // A phantom is no brain of the template: its registration is doubtful.
        let phantom = Path::new(&world.path("healthy")).join("h1.nii.gz");
        std::fs::copy(phantom, Path::new(&healthy).join("h1.nii.gz")).unwrap();
        let make = || ["atlas", "--healthy", &healthy, "-o", &atlas, "--config", &settings];
        write_template(Path::new(&healthy), 1.0);
        fail(1, &["needs 2 healthy scans, but only 1 can be registered well; look at h1"], make());
        write_template(Path::new(&healthy), 2.0);
        let made = succeed(make());
        assert!(made.err.contains("left out: h1: its registration is"), "{}", made.err);
        Self { _folder: folder, maps, lesions, brains, healthy, atlas: atlas.into() }
    }

    /// Arguments that evaluate the maps beside the atlas. The sidecars of the maps say where the scans are.
    fn arguments<'a>(&'a self, more: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        let folders = ["--scores", &self.maps, "--labels", &self.lesions, "--masks", &self.brains];
        let atlas = ["--atlas", self.atlas.to_str().unwrap()];
        ["evaluate"].into_iter().chain(folders).chain(atlas).chain(more.iter().copied())
    }
}

fn write_template(folder: &Path, gain: f32) {
    let template = TemplateSpace::mni152().unwrap().template().volume.clone();
    let scan = Volume { data: &template.data * gain, grid: template.grid };
    write_volume(&folder.join(format!("t{gain}.nii.gz")), &scan).unwrap();
}

#[test]
fn the_maps_of_a_detection_are_evaluated_against_the_lesions() {
    let made = DetectedWithAtlas::new(World::get());
    assert_eq!(json(&made.atlas.join("atlas.json"))["left_out"][0]["file"]["name"], "h1");
    let report: Value = serde_json::from_str(&succeed(made.arguments(&["--json"])).out).unwrap();
    let methods = report["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 4);
    for method in methods {
        assert_eq!(method["not_measured"], Value::Null, "{method}");
        let cases = method["cases"].as_array().unwrap();
        let names: Vec<&str> = cases.iter().filter_map(|case| case["name"].as_str()).collect();
        assert_eq!(names, ["sub-1", "sub-2"]);
        assert!(cases.iter().all(|case| case["ap"].as_f64().unwrap() > 0.0));
    }
}

#[test]
fn measured_scans_that_an_atlas_was_made_from_are_named() {
    let world = World::get();
    let made = DetectedWithAtlas::new(world);
    let apart = succeed(made.arguments(&[]));
    assert!(!apart.err.contains("atlas was made from"), "{}", apart.err);
    let record = made.atlas.join("atlas.json");
    let scan = Path::new(&world.path("patients")).join("sub-1_T1w.nii.gz");
    let known = json(&record)["scans"][0]["file"]["sha256"].as_str().unwrap().to_owned();
    let own = disyre::HashedFile::of(&scan).unwrap().sha256;
    let whole = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, whole.replace(&known, &own)).unwrap();
    let warned = succeed(made.arguments(&[]));
    let warning = "the atlas was made from scans that are measured: sub-";
    assert!(warned.err.contains(warning), "{}", warned.err);
    let atlas = text(&made.atlas);
    fail(1, &["is not empty"], ["atlas", "--healthy", &made.healthy, "-o", &atlas]);
    std::fs::write(made.atlas.join("mean.nii.gz"), "damaged").unwrap();
    fail(1, &["mean.nii.gz is damaged"], made.arguments(&[]));
}
