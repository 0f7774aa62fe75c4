//! Experiments with a quick worker in place of training: what is shared, kept, resumed, refused and compared.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use disyre::core::{Grid, Volume};
use disyre::diffusion::TrainEvent;
use disyre::score::{ScoreHistogram, ScoreHistogramConfig};
use disyre::volume::write_volume;
use disyre::{CaseReport, Measure, Measures};
use disyre_experiment::{
    CalibrationTask, CaseTask, Change, Engine, ExperimentError, ExperimentFile, MeasuredCase,
    Outcome, Plan, Program, Progress, Results, Store, TrainingEnd, TrainingTask, Worker,
};
use tempfile::TempDir;

/// Two rows of training, two of detection, two seeds, three cases of which one is healthy.
const GRID: &str = r#"
title = "Grid"
question = "Which?"
seeds = [1, 2]
measures = ["ap", "others_recall"]
[data]
healthy = [{ folder = "healthy" }]
test_sets.real = "cases.csv"
[[axes]]
key = "train.steps"
values = [10, 20]
[[axes]]
key = "detect.batch"
values = [1, 3]
"#;

/// A folder with small scans, and an experiment.
fn world(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("healthy")).unwrap();
    for name in ["healthy/a.nii", "healthy/b.nii", "c1.nii", "c2.nii", "c3.nii", "lesion.nii"] {
        write(&at(name), name.len() as f32);
    }
    let cases = "scan,label\nc1.nii,lesion.nii\nc2.nii,lesion.nii\nc3.nii,\n";
    fs::write(at("cases.csv"), cases).unwrap();
    fs::write(at("grid.toml"), text).unwrap();
    folder
}

/// Writes a scan of one value.
fn write(path: &Path, value: f32) {
    let mut volume = Volume::zeros(Grid::from_spacing([2; 3], [1.0; 3]));
    volume.data.fill(value);
    write_volume(path, &volume).unwrap();
}

/// A build of the program.
fn program(sha256: &str) -> Program {
    Program { sha256: sha256.into(), device: "cpu".into() }
}

/// Trains by writing a file step by step; a case's AP depends on the settings and its name alone.
#[derive(Default)]
struct Quick {
    /// Steps, calibrations and cases done.
    steps: u64,
    calibrations: usize,
    cases: usize,
    /// Ends a training at this step of all steps done.
    stop_at: Option<u64>,
    /// Fails trainings of this many steps, and the case with this number of all cases done.
    fail_steps: Option<u64>,
    fail_case: Option<usize>,
}

fn broken() -> ExperimentError {
    let expected = "working";
    ExperimentError::Key { key: "this".into(), expected }
}

impl Worker for Quick {
    fn train(
        &mut self,
        task: &TrainingTask<'_>,
        _: &mut dyn FnMut(&TrainEvent),
    ) -> Result<TrainingEnd, ExperimentError> {
        if self.fail_steps == Some(task.config.train.steps) {
            return Err(broken());
        }
        fs::create_dir_all(task.folder).unwrap();
        let path = task.folder.join("step");
        let read = || fs::read_to_string(&path).ok().and_then(|text| text.parse::<u64>().ok());
        let mut step = read().unwrap_or(0);
        while step < task.config.train.steps {
            if self.stop_at == Some(self.steps) {
                return Ok(TrainingEnd::Stopped { step });
            }
            step += 1;
            self.steps += 1;
            fs::write(&path, step.to_string()).unwrap();
        }
        Ok(TrainingEnd::Finished)
    }

    fn calibrate(&mut self, task: &CalibrationTask<'_>) -> Result<(), ExperimentError> {
        let done = task.folder.join("calibration.json");
        if !done.is_file() {
            assert_eq!(task.healthy.len(), 2);
            assert!(task.model.join("step").is_file(), "calibrated before it was trained");
            self.calibrations += 1;
            fs::create_dir_all(task.folder).unwrap();
            fs::write(done, "{}").unwrap();
        }
        Ok(())
    }

    fn measure(&mut self, task: &CaseTask<'_>) -> Result<MeasuredCase, ExperimentError> {
        if self.fail_case == Some(self.cases) {
            return Err(broken());
        }
        self.cases += 1;
        let steps: u64 = fs::read_to_string(task.model.join("step")).unwrap().parse().unwrap();
        assert_eq!(steps, task.config.train.steps, "measured with another model");
        let calibrated = task.config.detect.calibrated.is_some();
        assert_eq!(
            calibrated,
            task.calibration.is_some_and(|of| of.join("calibration.json").is_file())
        );
        Ok(MeasuredCase { report: report(task, steps), seconds: 0.0, counts: Some(counts(task)) })
    }
}

/// AP of a case: .01 a step, .1 a batch, .001 a seed, and .2 more in the second case; none in the healthy one.
fn report(task: &CaseTask<'_>, steps: u64) -> CaseReport {
    let (batch, seed) = (task.config.detect.batch as f64, task.config.seed as f64);
    let of_case = if task.case.name == "c2" { 0.2 } else { 0.0 };
    let ap = 0.01 * steps as f64 + 0.1 * batch + 0.001 * seed + of_case;
    let values = task.case.label.iter().map(|_| (Measure::Ap, ap));
    let measures = Measures { voxels: 10, values: values.collect::<BTreeMap<_, _>>() };
    CaseReport { name: task.case.name.clone(), measures }
}

/// A lesion voxel below one of two healthy voxels in the first case, above both in the second, none in the third.
fn counts(task: &CaseTask<'_>) -> ScoreHistogram {
    let mut counts = ScoreHistogramConfig { bits: 16 }.build().unwrap();
    let lesion = u8::from(task.case.label.is_some());
    let score = if task.case.name == "c2" { 0.9 } else { 0.5 };
    counts.add(&[0.25, score, 0.75], &[0, lesion, 0]).unwrap();
    counts
}

fn run(folder: &Path, go_on: bool, worker: &mut Quick) -> Result<Outcome, ExperimentError> {
    run_as("a", folder, go_on, worker)
}

fn run_as(
    build: &str,
    folder: &Path,
    go_on: bool,
    worker: &mut Quick,
) -> Result<Outcome, ExperimentError> {
    let plan = Plan::read(&folder.join("grid.toml"))?;
    let store = Store::open(&folder.join("out"), go_on)?;
    let program = program(build);
    Engine { plan: &plan, store: &store, program: &program, stop: None }.run(worker, &mut |_| ())
}

fn results(folder: &Path) -> String {
    fs::read_to_string(folder.join("out/results.json")).unwrap()
}

#[test]
fn rows_are_averaged_over_seeds_and_cases_and_compared_with_the_reference() {
    let world = world(GRID);
    let mut worker = Quick::default();
    let Outcome { results, failed, .. } = run(world.path(), false, &mut worker).unwrap();
    assert!(failed.is_empty() && results.unfinished.is_empty());
    // Rows that differ in detection share a training.
    assert_eq!((worker.steps, worker.cases), (2 * (10 + 20), 8 * 3));
    let [ap, recall] = &results.test_sets[0].measures[..] else { panic!("two measures") };
    let row = |index: usize| &ap.rows[index];
    assert_eq!(row(3).row, "steps=20, batch=3");
    // Seeds 1 and 2 add .0015 on average; the healthy case has no AP.
    let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-12, "{got}");
    near(row(0).cases[0].unwrap(), 0.2015);
    near(row(0).cases[1].unwrap(), 0.4015);
    assert_eq!(row(0).cases[2], None);
    near(row(0).per_volume.unwrap().value, 0.3015);
    near(row(0).seeds[1].mean.unwrap(), 0.302);
    near(row(0).seed_deviation.unwrap(), 0.001 / 2f64.sqrt());
    assert_eq!(row(0).against_reference, None);
    // From the top: .9 (lesion), .75 three times, .5 twice, one of them lesion: AP = (1/1 + 2/6) / 2.
    let pooled = row(0).pooled.unwrap();
    near(pooled.interval.value, 2.0 / 3.0);
    assert!(pooled.least <= 2.0 / 3.0 && 2.0 / 3.0 <= pooled.greatest);
    // At .9, the threshold of the second case, the first has no hit; at .5, that of the first, the second has.
    let of_others = |case: usize| recall.rows[0].cases[case];
    assert_eq!([of_others(0), of_others(1), of_others(2)], [Some(0.0), Some(1.0), None]);
    let paired = &row(3).against_reference.as_ref().unwrap().paired;
    near(paired.difference.value, 0.1 + 0.2);
    assert_eq!((paired.cases, paired.wins, paired.losses), (2, 2, 0));
    // Two cases: of the four signs, two are as extreme; three tests of the same p are all multiplied by 3.
    let p = row(3).against_reference.as_ref().unwrap();
    assert_eq!((p.paired.p, p.p_holm), (0.5, 1.0));
}

#[test]
fn rows_that_weigh_the_score_otherwise_share_a_calibration() {
    let rows = "seeds = [1]\nmeasures = [\"ap\"]\n\
        title = \"Score\"\nquestion = \"Which?\"\n\
        [data]\nhealthy = [{ folder = \"healthy\" }]\ntest_sets.real = \"cases.csv\"\n\
        [base.settings]\ntrain.steps = 3\n\
        [[rows]]\nlabel = \"published\"\n\
        [[rows]]\nlabel = \"half\"\nsettings.detect.calibrated.contrast.weight = 0.0\n\
        [[rows]]\nlabel = \"whole\"\nsettings.detect.calibrated.residual.more = 1.0\n\
        [[rows]]\nlabel = \"wide\"\nsettings.detect.calibrated.residual.scale_mm = 20.0\n";
    let folder = world(rows);
    let mut worker = Quick::default();
    run(folder.path(), false, &mut worker).unwrap();
    assert_eq!((worker.steps, worker.calibrations, worker.cases), (3, 2, 4 * 3));
    let plan = Plan::read(&folder.path().join("grid.toml")).unwrap();
    let ids: Vec<_> = plan.runs.iter().map(|run| run.calibration.as_ref().map(|c| &c.id)).collect();
    assert!(ids[0].is_none() && ids[1] == ids[2] && ids[2] != ids[3]);
    let settings: Vec<&str> =
        plan.runs.iter().map(|run| run.provenance.settings_sha256.as_str()).collect();
    assert!((1..4).all(|index| !settings[..index].contains(&settings[index])));
    // Nothing is done twice.
    let mut again = Quick::default();
    run(folder.path(), true, &mut again).unwrap();
    assert_eq!((again.steps, again.calibrations, again.cases), (0, 0, 0));
}

#[test]
fn a_stopped_training_goes_on_where_it_was_and_ends_with_the_same_results() {
    let (stopped, whole) = (world(GRID), world(GRID));
    run(whole.path(), false, &mut Quick::default()).unwrap();
    let mut worker = Quick { stop_at: Some(15), ..Quick::default() };
    let error = run(stopped.path(), false, &mut worker).unwrap_err();
    let ExperimentError::Stopped { run: name, progress } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), *progress), ("steps=20-batch=1_seed-1", Progress::Steps(5)));
    assert!(error.to_string().ends_with("a checkpoint holds 5 steps; go on with --continue"));
    let so_far: Results = serde_json::from_str(&results(stopped.path())).unwrap();
    assert_eq!(so_far.unfinished.len(), 6);
    assert!(so_far.test_sets[0].measures[0].rows.is_empty(), "no row has both seeds");
    assert!(matches!(
        run(stopped.path(), false, &mut Quick::default()),
        Err(ExperimentError::NotEmpty { .. })
    ));
    let mut worker = Quick::default();
    run(stopped.path(), true, &mut worker).unwrap();
    assert_eq!((worker.steps, worker.cases), (60 - 15, (8 - 2) * 3));
    assert_eq!(results(stopped.path()), results(whole.path()));
    let mut worker = Quick::default();
    run(stopped.path(), true, &mut worker).unwrap();
    assert_eq!((worker.steps, worker.cases), (0, 0));
    assert_eq!(results(stopped.path()), results(whole.path()));
}

#[test]
fn cases_that_were_measured_before_an_end_are_kept() {
    let world = world(GRID);
    let plan = Plan::read(&world.path().join("grid.toml")).unwrap();
    let stop = AtomicBool::new(false);
    {
        let store = Store::open(&world.path().join("out"), false).unwrap();
        let program = program("a");
        let engine = Engine { plan: &plan, store: &store, program: &program, stop: Some(&stop) };
        let mut count = 0;
        let error = engine
            .run(&mut Quick::default(), &mut |event| {
                if let disyre_experiment::Event::Cases { .. } = event {
                    count += 1;
                    stop.store(count == 5, Ordering::Relaxed);
                }
            })
            .unwrap_err();
        let ExperimentError::Stopped { progress, .. } = error else { panic!("{error}") };
        assert_eq!(progress, Progress::Cases(2));
    }
    let mut worker = Quick::default();
    run(world.path(), true, &mut worker).unwrap();
    assert_eq!(worker.cases, 8 * 3 - 5);
}

#[test]
fn a_run_that_fails_does_not_keep_the_others_and_is_tried_again() {
    let world = world(GRID);
    let mut worker = Quick { fail_steps: Some(20), ..Quick::default() };
    let Outcome { results, failed, .. } = run(world.path(), false, &mut worker).unwrap();
    let messages: Vec<String> = failed.iter().map(|(_, error)| error.to_string()).collect();
    assert_eq!(messages[0], "this must be working");
    assert_eq!(messages[1], "its training failed in run steps=20-batch=1_seed-1");
    assert_eq!((messages.len(), results.unfinished.len()), (4, 4));
    assert_eq!(results.test_sets[0].measures[0].rows.len(), 2);
    assert_eq!(
        (results.failed.len(), results.failed[0].reason.as_str()),
        (4, "this must be working")
    );
    let text = fs::read_to_string(world.path().join("out/results.md")).unwrap();
    assert!(text.contains("- failed: steps=20-batch=1_seed-1: this must be working\n"), "{text}");
    let mut worker = Quick { fail_case: Some(1), ..Quick::default() };
    let Outcome { failed, .. } = run(world.path(), true, &mut worker).unwrap();
    assert_eq!((failed.len(), worker.cases), (4, 1), "one case is kept, then all fail");
    let mut worker = Quick::default();
    let Outcome { failed, .. } = run(world.path(), true, &mut worker).unwrap();
    assert_eq!((failed.len(), worker.cases), (0, 4 * 3 - 1));
}

#[test]
fn a_run_of_other_settings_data_or_version_is_refused_before_any_work() {
    let world = world(GRID);
    run(world.path(), false, &mut Quick::default()).unwrap();
    let changed = |text: &str| {
        fs::write(world.path().join("grid.toml"), text).unwrap();
        let mut worker = Quick::default();
        let error = run(world.path(), true, &mut worker).unwrap_err();
        assert_eq!((worker.steps, worker.cases), (0, 0));
        let ExperimentError::Changed { change, .. } = &error else { panic!("{error}") };
        assert!(error.to_string().contains("remove the folder to make the run again"), "{error}");
        change.clone()
    };
    let setting = |key: &str| Change::Setting(key.into());
    assert_eq!(
        changed(&format!("{GRID}\n[base.settings]\ndag.window = [1, 16, 16]")),
        setting("dag.window")
    );
    assert_eq!(changed(&GRID.replace("seeds", "keep_maps = true\nseeds")), Change::Maps);
    write(&world.path().join("healthy/c.nii"), 50.0);
    assert_eq!(changed(GRID), Change::Model);
    fs::remove_file(world.path().join("healthy/c.nii")).unwrap();
    write(&world.path().join("c1.nii"), 50.0);
    assert_eq!(changed(GRID), Change::Cases);
    write(&world.path().join("c1.nii"), 6.0);
    // Measures say themselves what they depend on.
    let folder = world.path().join("out/runs/steps=10-batch=1_seed-1");
    fs::remove_file(folder.join("provenance.json")).unwrap();
    let record = folder.join("measures.json");
    let text = fs::read_to_string(&record).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    fs::write(&record, text.replace(&format!("\"{version}\""), "\"0.0.1\"")).unwrap();
    assert_eq!(changed(GRID), Change::Version("0.0.1".into()));
}

#[test]
fn results_of_two_builds_say_so() {
    let world = world(GRID);
    let text = || fs::read_to_string(world.path().join("out/results.md")).unwrap();
    let mut worker = Quick { fail_steps: Some(20), ..Quick::default() };
    run_as("a", world.path(), false, &mut worker).unwrap();
    assert!(
        text().contains("executable with SHA-256 `a`") && !text().contains("Mixed"),
        "{}",
        text()
    );
    let results = run_as("b", world.path(), true, &mut Quick::default()).unwrap().results;
    let programs = |name: &str| {
        let run = results.runs.iter().find(|run| run.run == name).unwrap();
        run.provenance.programs.clone()
    };
    assert_eq!(programs("steps=10-batch=1_seed-1"), [program("a")]);
    // The training that failed was begun by the first.
    assert_eq!(programs("steps=20-batch=1_seed-1"), [program("b")]);
    assert!(text().contains("**Mixed: 2 builds or devices made these results.**"), "{}", text());
}

#[test]
fn a_run_of_two_builds_names_both() {
    let world = world(GRID);
    let mut worker = Quick { stop_at: Some(5), ..Quick::default() };
    run_as("a", world.path(), false, &mut worker).unwrap_err();
    let results = run_as("b", world.path(), true, &mut Quick::default()).unwrap().results;
    assert_eq!(results.runs[0].provenance.programs, [program("a"), program("b")]);
}

#[test]
fn a_run_without_a_measured_case_may_change() {
    let world = world(GRID);
    let mut worker = Quick { fail_steps: Some(10), ..Quick::default() };
    run(world.path(), false, &mut worker).unwrap();
    let changed = GRID.replace(
        "[[axes]]\nkey = \"train.steps\"",
        "[base.settings]\ndag.window = [1, 16, 16]\n[[axes]]\nkey = \"train.steps\"",
    );
    fs::write(world.path().join("grid.toml"), &changed).unwrap();
    let error = run(world.path(), true, &mut Quick::default()).unwrap_err();
    let ExperimentError::Changed { folder, .. } = error else { panic!("{error}") };
    assert!(folder.ends_with("steps=20-batch=1_seed-1"), "{}", folder.display());
}

#[test]
fn cases_of_one_subject_count_as_one() {
    let world = world(GRID);
    let cases = "scan,label,subject\nc1.nii,lesion.nii,anna\nc2.nii,lesion.nii,anna\nc3.nii,,\n";
    fs::write(world.path().join("cases.csv"), cases).unwrap();
    let results = run(world.path(), false, &mut Quick::default()).unwrap().results;
    let row = &results.test_sets[0].measures[0].rows[3];
    // A single subject has values, no interval, and nothing to compare.
    let per_volume = row.per_volume.unwrap();
    assert!((per_volume.value - (0.2 + 0.3 + 0.0015 + 0.1)).abs() < 1e-12);
    assert_eq!((per_volume.low, per_volume.high), (None, None));
    assert_eq!(row.against_reference, None);
    assert!(row.pooled.unwrap().interval.value > 0.0);
}

#[test]
fn rows_train_on_folders_by_name() {
    let rows = "[[rows]]\nlabel = \"both\"\n[[rows]]\nlabel = \"one\"\nhealthy = [\"b\"]\n";
    let text = format!(
        "title = \"t\"\nquestion = \"q\"\n[data]\ntest_sets.real = \"cases.csv\"\n\
         healthy = [{{ folder = \"healthy\", name = \"a\" }}, {{ folder = \"other\", name = \"b\" }}]\n{rows}"
    );
    let world = world(&text);
    fs::create_dir(world.path().join("other")).unwrap();
    for name in ["other/c.nii", "other/d.nii"] {
        write(&world.path().join(name), 3.0);
    }
    let plan = Plan::read(&world.path().join("grid.toml")).unwrap();
    assert_eq!(plan.runs.iter().map(|run| run.healthy.len()).collect::<Vec<_>>(), [4, 2]);
    assert_ne!(plan.runs[0].model, plan.runs[1].model);
    fs::write(world.path().join("grid.toml"), text.replace("[\"b\"]", "[\"c\"]")).unwrap();
    let error = Plan::read(&world.path().join("grid.toml")).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("trains on \"c\", which is no name"), "{cause}");
}

#[test]
fn names_that_are_no_folders_are_refused_before_work() {
    let cause = |text: &str| {
        let world = world(text);
        let error = Plan::read(&world.path().join("grid.toml")).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let twice =
        cause(&GRID.replace(
            "test_sets.real =",
            "test_sets.\"real t1\" = \"cases.csv\"\ntest_sets.real-t1 =",
        ));
    assert!(twice.contains("would share the folder real-t1"), "{twice}");
    assert!(
        cause(&GRID.replace("test_sets.real", "test_sets.\"..\"")).contains("no name of a folder")
    );
    let long = "x".repeat(300);
    assert!(
        cause(&GRID.replace("test_sets.real", &format!("test_sets.{long}"))).contains("100 bytes")
    );
}

#[test]
fn more_rows_and_seeds_are_added_to_what_is_finished() {
    let world = world(GRID);
    run(world.path(), false, &mut Quick::default()).unwrap();
    let more = GRID.replace("[1, 2]", "[1, 2, 3]").replace("[1, 3]", "[1, 3, 4]");
    fs::write(world.path().join("grid.toml"), more).unwrap();
    let mut worker = Quick::default();
    let Outcome { results, .. } = run(world.path(), true, &mut worker).unwrap();
    assert_eq!((worker.steps, worker.cases), (30, (18 - 8) * 3));
    assert_eq!(results.runs.len(), 18);
}

#[test]
fn a_folder_serves_one_program_at_a_time_and_damage_is_named() {
    let world = world(GRID);
    let out = world.path().join("out");
    let store = Store::open(&out, false).unwrap();
    assert!(matches!(Store::open(&out, true), Err(ExperimentError::Locked { .. })));
    drop(store);
    run(world.path(), true, &mut Quick::default()).unwrap();
    let measures = out.join("runs/steps=10-batch=1_seed-1/measures.json");
    fs::write(&measures, "{").unwrap();
    let error = run(world.path(), true, &mut Quick::default()).unwrap_err();
    assert!(error.to_string().contains("measures.json is damaged; remove it"), "{error}");
    fs::remove_file(&measures).unwrap();
    let mut worker = Quick::default();
    run(world.path(), true, &mut worker).unwrap();
    assert_eq!(worker.cases, 3);
}

#[test]
fn results_are_tables_and_plots_that_can_be_read_again() {
    let world = world(GRID);
    let Outcome { results, .. } = run(world.path(), false, &mut Quick::default()).unwrap();
    let read: Results = serde_json::from_str(&self::results(world.path())).unwrap();
    assert_eq!(read, results);
    let text = fs::read_to_string(world.path().join("out/results.md")).unwrap();
    assert!(text.contains("| steps=20, batch=3 | 0.6015"), "{text}");
    assert!(text.contains("| c3 | – | – | – | – |"), "{text}");
    let line = fs::read_to_string(world.path().join("out/plots/real_ap_train.steps.svg")).unwrap();
    fs::write(world.path().join("out/plots/old.svg"), "").unwrap();
    run(world.path(), true, &mut Quick::default()).unwrap();
    assert!(!world.path().join("out/plots/old.svg").exists());
    assert!(line.starts_with("<svg") && line.contains("batch=3") && line.contains("train.steps"));
    let file = ExperimentFile::parse(&GRID.replace("others_recall", "given_dice")).unwrap();
    let message = Plan::new(file).unwrap_err().to_string();
    assert!(
        message.starts_with("measures has given_dice, which experiments do not take"),
        "{message}"
    );
}
