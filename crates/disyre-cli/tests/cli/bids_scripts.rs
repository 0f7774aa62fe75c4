//! Scripts of `disyre bids --emit` and `disyre detect --emit`, run by bash as an engine would.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::bids::{Dataset, tree};
use crate::support::{Ran, World, copy_files, disyre, ensure_contains, fail, succeed, text};

/// Runs bash in a folder.
fn bash(folder: &Path, arguments: &[&str], task: Option<usize>) -> Output {
    let mut command = Command::new("bash");
    command.current_dir(folder).args(arguments);
    if let Some(task) = task {
        command.env("SLURM_ARRAY_TASK_ID", task.to_string()).env("SLURM_CPUS_PER_TASK", "1");
    }
    command.output().unwrap()
}

fn run(folder: &Path, arguments: &[&str], task: Option<usize>) {
    let Output { status, stdout, stderr } = bash(folder, arguments, task);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(status.success(), "{arguments:?}: {}{}", text(&stdout), text(&stderr));
}

/// Runs the level of participants without `--threads`.
fn emit(dataset: &Dataset, more: &[&str]) -> Ran {
    let arguments = dataset.arguments("out", "participant", &[]);
    let arguments = arguments.iter().filter(|word| *word != "--threads" && *word != "1");
    disyre(arguments.map(String::as_str).chain(more.iter().copied()))
}

/// The dataset, what one run leaves, and the script of an engine that is written to a file in another folder.
fn script(engine: &str) -> (Dataset, tempfile::TempDir, String) {
    let dataset = Dataset::new();
    let text = emit(&dataset, &["--emit", engine]).out;
    assert!(!dataset.out("out").exists(), "nothing is done yet");
    dataset.succeed("once", "participant", &[]);
    dataset.succeed("once", "group", &[]);
    (dataset, tempfile::tempdir().unwrap(), text)
}

#[test]
fn an_array_script_maps_a_subject_a_task_and_makes_the_table() {
    let (dataset, folder, text) = script("slurm");
    ensure_contains(
        &text,
        &[
            "#SBATCH --array=0-1\n",
            "#SBATCH --cpus-per-task=4\n",
            "#SBATCH --mem=",
            "#SBATCH --time=0-",
        ],
    );
    fs::write(folder.path().join("job.sh"), text).unwrap();
    run(folder.path(), &["-n", "job.sh"], None);
    // The second task has not run yet, and the table says so.
    run(folder.path(), &["job.sh"], Some(0));
    let table = bash(folder.path(), &["job.sh", "group"], Some(0));
    assert_eq!(table.status.code(), Some(3));
    run(folder.path(), &["job.sh"], Some(1));
    run(folder.path(), &["job.sh"], Some(1));
    run(folder.path(), &["job.sh", "group"], Some(0));
    assert!(tree(&dataset.out("out")) == tree(&dataset.out("once")));
}

#[test]
fn limits_of_jobs_can_be_given() {
    let dataset = Dataset::new();
    let limits = ["--job-cpus", "2", "--job-memory", "5G", "--job-minutes", "90"];
    let more = [&["--emit", "slurm"], &limits[..]].concat();
    let text = emit(&dataset, &more).out;
    ensure_contains(&text, &["--cpus-per-task=2\n", "--mem=5120M\n", "--time=0-01:30:00\n"]);
    let more = [&["--emit", "snakemake"], &limits[..]].concat();
    let text = emit(&dataset, &more).out;
    assert!(text.contains("threads: 2\n") && text.contains("5120 * attempt"), "{text}");
    let ran = emit(&dataset, &limits);
    assert_eq!(ran.code, Some(2), "limits without a script: {}", ran.err);
}

#[test]
fn a_script_has_all_that_was_asked_for_or_is_refused() {
    let dataset = Dataset::new();
    let script = |more: &[&str]| emit(&dataset, &[&["--emit", "slurm"], more].concat());
    let asked = script(&["--threads", "3", "--max-memory", "6G", "--uncertainty"]).out;
    ensure_contains(
        &asked,
        &[
            "#SBATCH --cpus-per-task=3\n",
            " --uncertainty",
            " --max-memory 6442450944 ",
            "measured with the model within the program",
        ],
    );
    let ran = script(&["--threads", "3", "--job-cpus", "2"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);

    // A model that is none is found before the cluster finds it.
    let (root, out) = (text(&dataset.root()), text(&dataset.out("out")));
    let model = ["bids", &root, &out, "participant", "--emit", "slurm", "-m", &root];
    fail(1, &["it's a {data} $set"], model);
    let scans = World::get().path("patients");
    let detect = ["detect", "-i", &scans, "-o", &out, "--emit", "slurm", "-m"];
    fail(1, &["it's a {data} $set"], detect.into_iter().chain([root.as_str()]));
    let model = World::get().path("model");
    let shard = [&model, "--shard", "1/2"];
    fail(2, &["--shard"], detect.into_iter().chain(shard));
    let mask = [&model, "--mask", "not there"];
    fail(1, &["not there"], detect.into_iter().chain(mask));
}

/// The text behind a name in a Snakefile, with the braces as Snakemake leaves them.
fn command(snakefile: &str, name: &str) -> String {
    let line = snakefile.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
    let text: String = serde_json::from_str(line).unwrap();
    let filled = text
        .replace("{wildcards.part}", "SUBJECT")
        .replace("{threads}", "1")
        .replace("{wildcards.part:q}", "SUBJECT");
    filled.replace("{log:q}", "/dev/null").replace("{{", "{").replace("}}", "}")
}

#[test]
fn the_commands_of_a_snakefile_do_the_work() {
    let (dataset, folder, text) = script("snakemake");
    assert!(text.contains("PARTS = [\"01\", \"02\"]\n"), "{text}");
    assert!(text.contains("output: touch(\"disyre-T1w/sub-{part}.done\")\n"), "{text}");
    let program = command(&text, "DISYRE = ");
    let participant = program.clone() + &command(&text, "shell: DISYRE + ");
    for subject in ["01", "02"] {
        run(
            folder.path(),
            &["-euo", "pipefail", "-c", &participant.replace("SUBJECT", subject)],
            None,
        );
    }
    let group = program + &command(&text, "GROUP = DISYRE + ");
    run(folder.path(), &["-euo", "pipefail", "-c", &group], None);
    assert!(tree(&dataset.out("out")) == tree(&dataset.out("once")));
}

#[test]
fn a_folder_of_scans_is_mapped_a_scan_a_task() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [scans, out, once] = ["scans of $all", "out", "once"].map(|name| folder.path().join(name));
    copy_files(&world.at("patients"), &scans);
    let model = world.path("model");
    let detect = |out: &Path, more: &[&str]| {
        let (scans, out) = (text(&scans), text(out));
        let fixed = ["detect", "-i", &scans, "-o", &out, "-m", &model, "--stripped"];
        succeed(fixed.into_iter().chain(more.iter().copied())).out
    };
    detect(&once, &[]);
    fs::write(folder.path().join("job.sh"), detect(&out, &["--emit", "slurm"])).unwrap();
    let snakefile = detect(&out, &["--emit", "snakemake"]);
    assert!(!out.exists(), "nothing is done yet");
    run(folder.path(), &["-n", "job.sh"], None);
    // The second task has not run: it is named, and its scan is not mapped.
    run(folder.path(), &["job.sh"], Some(0));
    let group = bash(folder.path(), &["job.sh", "group"], Some(0));
    let error = String::from_utf8_lossy(&group.stderr);
    assert_eq!(group.status.code(), Some(3), "{error}");
    assert!(
        error.contains("1 of 2 scans failed") && error.contains("nothing is recorded"),
        "{error}"
    );
    let maps = |out: &Path| tree(out).keys().filter(|file| text(file).ends_with(".nii.gz")).count();
    assert_eq!(maps(&out) * 2, maps(&once));
    run(folder.path(), &["job.sh"], Some(1));
    assert!(out.join("manifest-2-of-2.jsonl").is_file());
    run(folder.path(), &["job.sh", "group"], Some(0));
    assert!(tree(&out) == tree(&once));
    // A scan that fails when it is mapped again is no longer done.
    let scan = fs::read_dir(&scans).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let sound = fs::read(&scan).unwrap();
    fs::write(&scan, "no scan").unwrap();
    assert!(!bash(folder.path(), &["job.sh"], Some(0)).status.success());
    let group = bash(folder.path(), &["job.sh", "group"], Some(0));
    assert_eq!(group.status.code(), Some(3));
    fs::write(&scan, sound).unwrap();

    let program = command(&snakefile, "DISYRE = ");
    let map = program + &command(&snakefile, "shell: DISYRE + ");
    assert!(map.contains("--shard SUBJECT/2"), "{map}");
    run(folder.path(), &["-euo", "pipefail", "-c", &map.replace("SUBJECT", "1")], None);
    let scan = text(&scans.join("sub-1_T1w.nii.gz"));
    let one = ["detect", "-i", &scan, "-o", &scan, "-m", &model, "--emit", "slurm"];
    fail(1, &["is one scan", "--emit"], one);
}
