//! `disyre bids`: datasets in the layout of BIDS.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use disyre::volume::{Grid, Volume, write_volume};
use tempfile::TempDir;

use crate::support::{Ran, World, disyre, ensure_contains, fail, json, succeed, text};

/// A dataset of phantoms, and arguments that map it with the tiny model.
pub(crate) struct Dataset {
    folder: TempDir,
}

impl Dataset {
    /// Subject 01 with two runs, 02 with two sessions, 03 with another contrast, and 04 in the table alone.
    pub(crate) fn new() -> Self {
        let dataset = Self { folder: tempfile::tempdir().unwrap() };
        for (index, scan) in [
            "sub-01/anat/sub-01_run-1_T1w.nii.gz",
            "sub-01/anat/sub-01_run-2_T1w.nii.gz",
            "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
            "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz",
            "sub-03/anat/sub-03_T2w.nii.gz",
        ]
        .iter()
        .enumerate()
        {
            dataset.put(scan, index + 1);
        }
        let description = r#"{"Name": "Phantoms", "BIDSVersion": "1.8.0", "License": "CC0", "DatasetDOI": "doi:1"}"#;
        fs::write(dataset.at("dataset_description.json"), description).unwrap();
        let table = "participant_id\tage\nsub-01\t3\nsub-02\t4\nsub-03\t5\nsub-04\t6\n";
        fs::write(dataset.at("participants.tsv"), table).unwrap();
        dataset
    }

    /// The dataset's folder has a name that shells and templates would change.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("it's a {data} $set")
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Folder of outputs, outside the dataset.
    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out of").join(name)
    }

    /// Puts a phantom of this number there.
    fn put(&self, name: &str, index: usize) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(World::get().at(&format!("healthy/h{index}.nii.gz")), path).unwrap();
    }

    pub(crate) fn arguments(&self, out: &str, level: &str, more: &[&str]) -> Vec<String> {
        let (root, out, model) =
            (text(&self.root()), text(&self.out(out)), World::get().path("model"));
        let mut arguments = vec!["bids", &root, &out, level];
        if level == "participant" {
            arguments.extend(["-m", &model, "--stripped", "--threads", "1"]);
        }
        arguments.iter().chain(more).map(|&argument| argument.to_owned()).collect()
    }

    pub(crate) fn run(&self, out: &str, level: &str, more: &[&str]) -> Ran {
        disyre(self.arguments(out, level, more).iter().map(String::as_str))
    }

    pub(crate) fn succeed(&self, out: &str, level: &str, more: &[&str]) -> Ran {
        succeed(self.arguments(out, level, more).iter().map(String::as_str))
    }

    fn fail(&self, code: i32, parts: &[&str], out: &str, level: &str, more: &[&str]) {
        fail(code, parts, self.arguments(out, level, more).iter().map(String::as_str));
    }

    /// The rows of the table, as values by column.
    fn rows(&self, out: &str) -> Vec<BTreeMap<String, String>> {
        let table = fs::read_to_string(self.out(out).join("group_T1w.csv")).unwrap();
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        reader.deserialize().map(Result::unwrap).collect()
    }

    /// One column of the table.
    fn column(&self, out: &str, name: &str) -> Vec<String> {
        self.rows(out).into_iter().map(|mut row| row.remove(name).unwrap()).collect()
    }
}

/// The files below a folder by their paths, with their bytes.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_dir() {
            files.extend(tree(&path).into_iter().map(|(deeper, bytes)| (name.join(deeper), bytes)));
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn a_dataset_becomes_a_derivative_with_a_table() {
    let dataset = Dataset::new();
    let ran = dataset.succeed("out", "participant", &[]);
    ensure_contains(
        &ran.out,
        &["sub-01: exit 0, 2 of 2 scans done", "sub-02: exit 0, 2 of 2 scans done"],
    );
    assert!(
        ran.err.contains("sub-03 has no scan T1w") && ran.err.contains("sub-04"),
        "{}",
        ran.err
    );
    let out = dataset.out("out");
    for file in [
        ".bidsignore",
        "README.md",
        "sub-01/anat/sub-01_run-1_desc-anomalyscore_T1w.nii.gz",
        "sub-01/anat/sub-01_run-2_desc-restored_T1w.nii.gz",
        "sub-01/manifest_T1w.jsonl",
        "sub-02/ses-a/anat/sub-02_ses-a_desc-anomalyscore_T1w.json",
        "sub-02/ses-b/anat/sub-02_ses-b_desc-anomalyscore_T1w.nii.gz",
        "sub-02/ses-b/manifest_T1w.jsonl",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    assert_eq!(json(&out.join("T1w.json"))["SkullStripped"], true);
    let description = json(&out.join("dataset_description.json"));
    assert_eq!(description["DatasetType"], "derivative");
    assert_eq!(description["GeneratedBy"][0]["Version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(description["License"], "CC0");
    let source = &description["SourceDatasets"][0];
    assert_eq!(source["DOI"], "doi:1");
    assert!(source["URL"].as_str().unwrap().ends_with("/it%27s%20a%20%7Bdata%7D%20%24set"));

    let ran = dataset.succeed("out", "group", &[]);
    assert!(
        ran.out.contains("4 scans done, 0 failed, 0 missing; 2 subjects or sessions without"),
        "{}",
        ran.out
    );
    assert_eq!(dataset.column("out", "subject"), ["01", "01", "02", "02", "03", "04"]);
    assert_eq!(dataset.column("out", "session"), ["", "", "a", "b", "", ""]);
    assert_eq!(dataset.column("out", "run"), ["1", "2", "", "", "", ""]);
    let states = ["done", "done", "done", "done", "no_scan", "no_scan"];
    assert_eq!(dataset.column("out", "state"), states);
    let rows = dataset.rows("out");
    let sidecar = json(&out.join("sub-01/anat/sub-01_run-1_desc-anomalyscore_T1w.json"));
    assert_eq!(rows[0]["weights_sha256"], sidecar["model"]["weights_sha256"].as_str().unwrap());
    assert_eq!(rows[0]["version"], env!("CARGO_PKG_VERSION"));
    let ml = sidecar["brain_voxels"].as_f64().unwrap() * 0.512;
    assert!((rows[0]["brain_ml"].parse::<f64>().unwrap() - ml).abs() < 1e-3);
}

#[test]
fn labels_sessions_and_suffixes_choose_scans() {
    let dataset = Dataset::new();
    let mapped = |out: &str, more: &[&str]| -> Vec<String> {
        dataset.succeed(out, "participant", more);
        let maps = tree(&dataset.out(out)).into_keys().map(|path| text(&path));
        let maps = maps.filter(|path| path.contains("anomalyscore") && path.ends_with(".nii.gz"));
        maps.map(|path| path.split("/anat/").next().unwrap().to_owned()).collect()
    };
    assert_eq!(mapped("one", &["--participant-label", "sub-02"]), ["sub-02/ses-a", "sub-02/ses-b"]);
    let session = ["--session-label", "ses-b", "--participant_label", "02"];
    assert_eq!(mapped("session", &session), ["sub-02/ses-b"]);
    assert_eq!(mapped("suffix", &["--suffix", "T2w"]), ["sub-03"]);
    let unknown = ["--participant-label", "01", "08", "09"];
    dataset.fail(1, &["has no subject 08, 09"], "x", "participant", &unknown);
    let empty = ["--participant-label", "03"];
    dataset.fail(1, &["no scan anat/*_T1w.nii"], "x", "participant", &empty);
    dataset.fail(1, &["no subject of", "_FLAIR.nii"], "x", "participant", &["--suffix", "FLAIR"]);
    dataset.succeed("page", "participant", &["--participant-label", "02", "--page"]);
    assert!(dataset.out("page/sub-02/ses-a/anat/sub-02_ses-a_T1w_page.html").is_file());
    assert!(tree(&dataset.out("one")).keys().all(|path| !text(path).ends_with(".html")));
    dataset.fail(2, &["letters and digits"], "x", "participant", &["--suffix", "../T1w"]);
}

#[test]
fn a_subject_that_fails_is_in_the_status_the_record_and_the_table() {
    let dataset = Dataset::new();
    fs::write(dataset.at("sub-01/anat/sub-01_run-2_T1w.nii.gz"), "no scan").unwrap();
    fs::copy(
        dataset.at("sub-01/anat/sub-01_run-1_T1w.nii.gz"),
        dataset.at("sub-02/ses-a/anat/sub-09_ses-a_T1w.nii.gz"),
    )
    .unwrap();
    let ran = dataset.run("out", "participant", &[]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.out.contains("sub-01: exit 3, 1 of 2 scans done"), "{}", ran.out);
    assert!(ran.out.contains("sub-02: exit 3, 2 of 3 scans done"), "{}", ran.out);
    let parts = ["2 scans failed and 0 are missing", "run-2_T1w.nii.gz: ", "sub-02/ses-a"];
    dataset.fail(3, &parts, "out", "group", &[]);
    assert_eq!(dataset.column("out", "state")[..4], ["done", "failed", "done", "failed"]);
    assert!(dataset.rows("out")[3]["error"].contains("rename or move it"));
    dataset.fail(1, &["no scan"], "x", "participant", &["--participant-label", "03"]);

    // Mended, the scans that failed are mapped and no others.
    dataset.put("sub-01/anat/sub-01_run-2_T1w.nii.gz", 2);
    fs::remove_file(dataset.at("sub-02/ses-a/anat/sub-09_ses-a_T1w.nii.gz")).unwrap();
    let ran = dataset.succeed("out", "participant", &["--continue"]);
    let mapped = ran.out.lines().filter(|line| line.contains(" → ")).count();
    assert_eq!(mapped, 1, "{}", ran.out);
    dataset.succeed("out", "group", &[]);
    dataset.succeed("once", "participant", &[]);
    dataset.succeed("once", "group", &[]);
    assert!(tree(&dataset.out("out")) == tree(&dataset.out("once")));
}

#[test]
fn the_table_names_what_is_missing_and_what_has_changed() {
    let dataset = Dataset::new();
    dataset.fail(3, &["0 scans failed and 4 are missing"], "out", "group", &[]);
    dataset.succeed("out", "participant", &["--participant-label", "01"]);
    let sidecar = dataset.out("out/sub-01/anat/sub-01_run-1_desc-anomalyscore_T1w.json");
    fs::write(&sidecar, "{}").unwrap();
    dataset.fail(3, &["not the file that was recorded"], "out", "group", &[]);
    let states = ["failed", "done", "missing", "missing", "no_scan", "no_scan"];
    assert_eq!(dataset.column("out", "state"), states);
    // A file that nobody reads for the table.
    let map = dataset.out("out/sub-01/anat/sub-01_run-2_desc-restored_T1w.nii.gz");
    fs::remove_file(&map).unwrap();
    dataset.fail(3, &["run-2_desc-restored_T1w.nii.gz is gone"], "out", "group", &[]);
    assert_eq!(dataset.column("out", "state")[..2], ["failed", "failed"]);
    // A record that can't be read.
    fs::create_dir_all(dataset.out("out/sub-02/ses-a/manifest_T1w.jsonl")).unwrap();
    dataset.fail(3, &["3 scans failed and 1 are missing"], "out", "group", &[]);
}

#[test]
fn a_table_of_some_does_not_take_the_place_of_that_of_all() {
    let dataset = Dataset::new();
    dataset.fail(3, &["4 are missing"], "out", "group", &[]);
    let whole = dataset.rows("out");
    let label = ["--participant-label", "01"];
    dataset.fail(1, &["--participant-label is for the level participant"], "out", "group", &label);
    dataset.fail(3, &["group_ses-a_T1w.csv"], "out", "group", &["--session-label", "a", "zz"]);
    assert_eq!(dataset.rows("out"), whole);
    let emit = ["--emit", "slurm"];
    dataset.fail(1, &["--emit is for the level participant"], "out", "group", &emit);
}

#[test]
fn a_subject_that_cannot_be_listed_stops_no_other() {
    let dataset = Dataset::new();
    fs::create_dir_all(dataset.at("sub-00")).unwrap();
    fs::write(dataset.at("sub-00/anat"), "no folder").unwrap();
    fs::create_dir_all(dataset.at("sub-02/ses-c/anat")).unwrap();
    fs::write(dataset.at("sub-02/ses-b/note"), "a file beside anat").unwrap();
    let ran = dataset.run("out", "participant", &[]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    ensure_contains(
        &ran.out,
        &["sub-00: exit 1, 0 of 1", "sub-01: exit 0, 2 of 2", "sub-02: exit 0, 2 of 2"],
    );
    dataset.fail(3, &["1 scans failed and 0 are missing", "- sub-00: "], "out", "group", &[]);
    let rows = dataset.rows("out");
    let cells = |name: &str| rows.iter().map(|row| row[name].as_str()).collect::<Vec<_>>();
    assert_eq!(cells("subject"), ["00", "01", "01", "02", "02", "02", "03", "04"]);
    assert_eq!(cells("session"), ["", "", "", "a", "b", "c", "", ""]);
    let states = ["failed", "done", "done", "done", "done", "no_scan", "no_scan", "no_scan"];
    assert_eq!(cells("state"), states);
    assert!(rows[0]["error"].contains("cannot list"), "{}", rows[0]["error"]);
    // Alone it is the one scan that failed.
    let label = ["--participant-label", "00"];
    dataset.fail(1, &["cannot list"], "x", "participant", &label);
}

#[test]
fn subjects_at_once_leave_what_one_run_leaves() {
    let dataset = Dataset::new();
    dataset.succeed("once", "participant", &[]);
    let start = |label: &str| {
        Command::new(env!("CARGO_BIN_EXE_disyre"))
            .args(dataset.arguments("out", "participant", &["--participant-label", label]))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let runs = ["01", "02", "01"].map(start).map(|child| child.wait_with_output().unwrap());
    let errors = runs.each_ref().map(|run| String::from_utf8_lossy(&run.stderr).into_owned());
    assert!(runs[1].status.success(), "{}", errors[1]);
    // Two runs of one subject: the second waits for nobody, and spoils nothing.
    let ended = [&runs[0], &runs[2]].map(|run| run.status.success());
    assert!(ended.contains(&true), "{errors:?}");
    for (run, error) in runs.iter().zip(&errors) {
        assert!(run.status.success() || error.contains("another run keeps"), "{error}");
    }
    assert!(tree(&dataset.out("out")) == tree(&dataset.out("once")));
}

#[test]
fn masks_of_the_derivatives_are_used_where_they_fit() {
    let dataset = Dataset::new();
    let scan = "sub-02/ses-a/anat/sub-02_ses-a";
    let mask = |pipeline: &str| {
        dataset.at(&format!("derivatives/{pipeline}/{scan}_desc-brain_mask.nii.gz"))
    };
    let read = crate::support::read(&dataset.at(&format!("{scan}_T1w.nii.gz")));
    for (pipeline, grid) in
        [("a-other", Grid::from_spacing([4, 4, 4], [8.0; 3])), ("b-own", read.volume.grid)]
    {
        fs::create_dir_all(mask(pipeline).parent().unwrap()).unwrap();
        let data = match pipeline {
            "b-own" => read.volume.data.mapv(|value| f32::from(u8::from(value > 0.2))),
            _ => Volume::zeros(grid).data,
        };
        write_volume(&mask(pipeline), &Volume::new(data, grid).unwrap()).unwrap();
    }
    let only = ["--participant-label", "02", "--session-label", "a"];
    // The results may lie among the derivatives.
    let (root, out) = (text(&dataset.root()), text(&dataset.at("derivatives/disyre")));
    let model = World::get().path("model");
    let arguments = ["bids", &root, &out, "participant", "-m", &model, "--stripped"];
    let ran = succeed(arguments.into_iter().chain(only));
    assert!(ran.err.contains("a-other") && ran.err.contains("is not used: "), "{}", ran.err);
    let sidecar = json(&Path::new(&out).join(format!("{scan}_desc-anomalyscore_T1w.json")));
    assert_eq!(sidecar["brain_mask"], text(&mask("b-own")));
}

#[test]
fn other_datasets_are_not_written_into() {
    let dataset = Dataset::new();
    let root = text(&dataset.root());
    let model = World::get().path("model");
    let arguments = ["bids", &root, &root, "participant", "-m", &model];
    fail(1, &["holds a dataset that disyre did not write"], arguments);
    // Nor are results put among the scans of a dataset, by whatever path.
    let pipeline = dataset.at("derivatives/fmriprep");
    fs::create_dir_all(&pipeline).unwrap();
    fs::write(pipeline.join("dataset_description.json"), "{}").unwrap();
    for inside in [
        "sub-02",
        "results",
        "derivatives",
        "derivatives/../sub-02/anat",
        "derivatives/fmriprep/sub-01",
    ] {
        let out = text(&dataset.at(inside));
        for more in [&["participant", "-m", &model][..], &["group"]] {
            fail(1, &["lies within"], ["bids", &root, &out].into_iter().chain(more.to_vec()));
        }
        let emit = ["bids", &root, &out, "participant", "-m", &model, "--emit", "slurm"];
        fail(1, &["lies within"], emit);
    }
    assert!(!dataset.at("results").exists() && !dataset.at("sub-02/README.md").exists());
    fs::create_dir_all(dataset.out("other")).unwrap();
    let foreign = r#"{"Name": "x", "GeneratedBy": [{"Name": "fmriprep"}]}"#;
    fs::write(dataset.out("other/dataset_description.json"), foreign).unwrap();
    dataset.fail(1, &["derivatives/disyre"], "other", "participant", &[]);
    dataset.fail(1, &["derivatives/disyre"], "other", "group", &[]);
    let empty = text(&dataset.out("other"));
    fail(1, &["holds no folder sub-LABEL"], ["bids", &empty, &empty, "group"]);
}
