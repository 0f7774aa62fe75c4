//! A kill at any moment: nothing half-written lies under a final name, no record stands beside files of another run, and the
//! next run just works.
//!
//! `DISYRE_KILLS=200 cargo test --workspace --test cli kills` kills each command that often.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use disyre::core::Key;
use disyre::core::rand::RngExt;
use serde_json::Value;

use crate::support::{
    TINY, World, contents, ensure_whole, names, start, succeed, text, training_of,
};

/// Kills of each command, unless `DISYRE_KILLS` has another number.
const KILLS: u64 = 6;

/// Name and bytes of a file.
type NamedBytes = (String, Vec<u8>);

fn kills() -> u64 {
    std::env::var("DISYRE_KILLS").map_or(KILLS, |text| text.parse().unwrap())
}

/// Runs the binary and kills it after a time; whether the kill came before its end.
fn killed(arguments: &[String], after: Duration) -> bool {
    let mut child = start(arguments);
    thread::sleep(after);
    ended_by_kill(&mut child)
}

fn ended_by_kill(child: &mut Child) -> bool {
    child.kill().unwrap();
    match child.wait().unwrap().code() {
        None => true,
        Some(code) => {
            assert_eq!(code, 0, "it ended by itself, with an error");
            false
        }
    }
}

/// A moment within a run that takes so long, a little after its end included.
fn moment(key: Key, index: u64, whole: Duration) -> Duration {
    whole.mul_f64(1.05 * key.child(index).rng().random::<f64>())
}

fn timed(arguments: &[String]) -> Duration {
    let begun = Instant::now();
    succeed(arguments.iter().map(String::as_str));
    begun.elapsed()
}

/// Arguments of a training into a folder, which goes on where one was begun there.
fn training(world: &World, config: &Path, model: &Path) -> Vec<String> {
    let (healthy, config, output) = (world.path("healthy"), text(config), text(model));
    let arguments = ["train", "--healthy", &healthy, "-o", &output, "--config", &config];
    let begun = model.exists() && !names(model).is_empty();
    let resume = begun.then_some("--resume");
    arguments.into_iter().chain(resume).map(str::to_owned).collect()
}

/// Settings with a checkpoint after every second step.
fn frequent_checkpoints(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("settings.toml");
    let settings =
        TINY.replace("warmup_steps", "checkpoint_every = 2\nvalidation_every = 3\nwarmup_steps");
    fs::write(&path, settings).unwrap();
    path
}

#[test]
fn a_training_that_is_killed_at_any_moment_goes_on_and_ends_with_the_same_bytes() {
    let (world, folder, key) = (World::get(), tempfile::tempdir().unwrap(), Key::new(17));
    let config = frequent_checkpoints(folder.path());
    let whole = folder.path().join("whole");
    let time = timed(&training(world, &config, &whole));
    let expected = training_of(&whole);
    let (mut done, mut before_the_end) = (0, 0);
    for chain in 0.. {
        let model = folder.path().join(format!("model-{chain}"));
        for _ in 0..3 {
            let before = killed(&training(world, &config, &model), moment(key, done, time));
            ensure_whole(&model);
            (done, before_the_end) = (done + 1, before_the_end + u64::from(before));
        }
        timed(&training(world, &config, &model));
        assert!(training_of(&model) == expected, "chain {chain}");
        ensure_no_leftovers(&model);
        fs::remove_dir_all(&model).unwrap();
        if done >= kills() {
            break;
        }
    }
    println!("train: {done} kills, {before_the_end} before its end");
    assert!(before_the_end > 0);
}

#[test]
fn a_training_that_is_killed_once_a_file_appears_goes_on_and_ends_with_the_same_bytes() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let config = frequent_checkpoints(folder.path());
    let whole = folder.path().join("whole");
    timed(&training(world, &config, &whole));
    let expected = training_of(&whole);
    let files = names(&whole).into_iter().chain([".training.lock".to_owned()]);
    for file in files.collect::<Vec<_>>() {
        let model = folder.path().join("model");
        let mut child = start(training(world, &config, &model));
        while !model.join(&file).exists() && child.try_wait().unwrap().is_none() {}
        ended_by_kill(&mut child);
        ensure_whole(&model);
        timed(&training(world, &config, &model));
        assert!(training_of(&model) == expected, "killed once {file} was there");
        ensure_no_leftovers(&model);
        fs::remove_dir_all(&model).unwrap();
    }
}

/// A run that nobody killed.
struct WholeRun {
    time: Duration,
    files: Vec<NamedBytes>,
}

impl WholeRun {
    fn new(arguments: &[String], out: &Path) -> Self {
        let time = timed(arguments);
        let files = contents(out);
        fs::remove_dir_all(out).unwrap();
        Self { time, files }
    }
}

/// Reads records of a verb.
struct Records {
    /// Common start of the names of a case's files, where a name is that of a record.
    case: fn(&str) -> Option<&str>,
    /// The run that wrote a record.
    run_of: fn(&[u8]) -> Value,
}

impl Records {
    /// Checks that beside each record all files of its case are of the run that it is of; returns the number of records.
    fn ensure_of_one_run(&self, left: &[NamedBytes], whole: &[WholeRun]) -> usize {
        let mut records = 0;
        for (record, bytes) in left {
            let Some(case) = (self.case)(record) else { continue };
            let is_this = |run: &&WholeRun| {
                let mut files = run.files.iter();
                files.any(|(name, other)| name == record && self.same_run(other, bytes))
            };
            let run = whole.iter().find(is_this).unwrap();
            let (files, pages) = files_of_case(left, case, record);
            let (of_run, pages_of_run) = files_of_case(&run.files, case, record);
            assert!(files == of_run, "{record} stands beside files of another run");
            // A page is made of the files that the record describes, after them: it may be missing, but not another one.
            let known = pages.iter().all(|page| pages_of_run.contains(page));
            assert!(known, "{record} stands beside a page of another run");
            records += 1;
        }
        records
    }

    fn same_run(&self, record: &[u8], other: &[u8]) -> bool {
        (self.run_of)(record) == (self.run_of)(other)
    }

    /// Checks that a folder has the files of an uninterrupted run; records may differ in what is no part of the run.
    fn ensure_same(&self, left: &[NamedBytes], whole: &[NamedBytes]) {
        assert!(left.iter().map(|(name, _)| name).eq(whole.iter().map(|(name, _)| name)));
        let same = |(ours, theirs): (&NamedBytes, &NamedBytes)| match (self.case)(&ours.0) {
            Some(_) => self.same_run(&ours.1, &theirs.1),
            None => ours == theirs,
        };
        let all = left.iter().zip(whole).all(same);
        assert!(all, "other bytes than those of an uninterrupted run");
    }
}

/// Two runs into one folder in turn, each killed; where a record stands, all files of its case are of the run that it is of.
fn kill_in_turn(verb: &str, out: &Path, runs: [Vec<String>; 2], reader: &Records) {
    let whole = runs.each_ref().map(|arguments| WholeRun::new(arguments, out));
    let key = Key::new(18).child(verb);
    let (mut before_the_end, mut records) = (0, 0);
    for index in 0..kills() {
        let run = (index % 2) as usize;
        before_the_end += u64::from(killed(&runs[run], moment(key, index, whole[run].time)));
        ensure_whole(out);
        records += reader.ensure_of_one_run(&files_of(out), &whole);
    }
    for (arguments, whole) in runs.iter().zip(&whole) {
        timed(arguments);
        reader.ensure_same(&contents(out), &whole.files);
    }
    println!(
        "{verb}: {} kills, {before_the_end} before its end, {records} records beside their files",
        kills()
    );
    assert!(before_the_end > 0);
}

/// The files of a case but its record, and its pages.
fn files_of_case<'a>(
    files: &'a [NamedBytes],
    case: &str,
    record: &str,
) -> (Vec<&'a NamedBytes>, Vec<&'a NamedBytes>) {
    let of_case = files.iter().filter(|(name, _)| name.starts_with(case) && name != record);
    let (pages, files) = of_case.partition(|(name, _)| name.ends_with("_page.html"));
    (files, pages)
}

/// The files of a folder that are under their final names, and their bytes.
fn files_of(folder: &Path) -> Vec<NamedBytes> {
    let listed = if folder.exists() { names(folder) } else { Vec::new() };
    let kept = listed.into_iter().filter(|name| !name.starts_with('.'));
    kept.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

fn ensure_no_leftovers(folder: &Path) {
    let hidden: Vec<_> = names(folder).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn a_detection_that_is_killed_leaves_whole_files_and_no_record_of_another_run() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let out = folder.path().join("out");
    let (patients, model, output) = (world.path("patients"), world.path("model"), text(&out));
    let run = |severities| {
        let arguments =
            ["detect", "-i", &patients, "-m", &model, "-o", &output, "--severities", severities];
        arguments.map(str::to_owned).to_vec()
    };
    fn case(name: &str) -> Option<&str> {
        name.ends_with(".json").then(|| &name[.."sub-1".len()])
    }
    let run_of = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["settings"].take();
    kill_in_turn("detect", &out, [run("0.3,0.6"), run("0.5")], &Records { case, run_of });
}

#[test]
fn a_synthesis_that_is_killed_leaves_whole_files_and_no_record_of_another_run() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let out = folder.path().join("out");
    let (healthy, config, output) = (world.path("healthy"), world.path("tiny.toml"), text(&out));
    let run = |seed| {
        let arguments = [
            "synth", "-i", &healthy, "-o", &output, "-n", "12", "--config", &config, "--seed", seed,
        ];
        arguments.map(str::to_owned).to_vec()
    };
    fn case(name: &str) -> Option<&str> {
        name.strip_suffix("recipe.json")
    }
    let run_of = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    kill_in_turn("synth", &out, [run("1"), run("2")], &Records { case, run_of });
}
