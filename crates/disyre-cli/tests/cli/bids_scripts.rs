//! Scripts of `disyre bids --emit` and `disyre detect --emit`, run by bash as an engine would.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::bids::{Dataset, tree};
use crate::support::{World, copy_files, fail, succeed, text};

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

/// The dataset, what one run leaves, and the script of an engine that is written to a file in another folder.
fn script(engine: &str) -> (Dataset, tempfile::TempDir, String) {
    let dataset = Dataset::new();
    let arguments = dataset.arguments("out", "participant", &["--emit", engine]);
    let arguments = arguments.iter().filter(|word| *word != "--threads" && *word != "1");
    let text = succeed(arguments.map(String::as_str)).out;
    assert!(!dataset.out("out").exists(), "nothing is done yet");
    dataset.succeed("once", "participant", &[]);
    dataset.succeed("once", "group", &[]);
    (dataset, tempfile::tempdir().unwrap(), text)
}

#[test]
fn an_array_script_maps_a_subject_a_task_and_makes_the_table() {
    let (dataset, folder, text) = script("slurm");
    for line in [
        "#SBATCH --array=0-1\n",
        "#SBATCH --cpus-per-task=4\n",
        "#SBATCH --mem=",
        "#SBATCH --time=0-",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
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
    let text = dataset.succeed("out", "participant", &more).out;
    for line in ["--cpus-per-task=2\n", "--mem=5120M\n", "--time=0-01:30:00\n"] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    let more = [&["--emit", "snakemake"], &limits[..]].concat();
    let text = dataset.succeed("out", "participant", &more).out;
    assert!(text.contains("threads: 2\n") && text.contains("5120 * attempt"), "{text}");
    let ran = dataset.run("out", "participant", &limits);
    assert_eq!(ran.code, Some(2), "limits without a script: {}", ran.err);
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
    [0, 1].into_iter().for_each(|task| run(folder.path(), &["job.sh"], Some(task)));
    assert!(out.join("manifest-2-of-2.jsonl").is_file());
    run(folder.path(), &["job.sh", "group"], Some(0));
    assert!(tree(&out) == tree(&once));

    let program = command(&snakefile, "DISYRE = ");
    let map = program + &command(&snakefile, "shell: DISYRE + ");
    assert!(map.contains("--shard SUBJECT/2"), "{map}");
    run(folder.path(), &["-euo", "pipefail", "-c", &map.replace("SUBJECT", "1")], None);
    let scan = text(&scans.join("sub-1_T1w.nii.gz"));
    let one = ["detect", "-i", &scan, "-o", &scan, "-m", &model, "--emit", "slurm"];
    fail(1, &["is one scan", "--emit"], one);
}
