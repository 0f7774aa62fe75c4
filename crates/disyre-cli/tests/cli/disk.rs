//! A full disc: the outputs of before stay whole, and a training keeps its last checkpoint.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{
    TINY, World, disyre, ensure_whole, names, outputs, succeed, text, training_of,
};

/// A small file system in memory, which takes root; unmounted when it is dropped.
struct SmallDisc {
    folder: tempfile::TempDir,
}

impl SmallDisc {
    /// `None`: the machine does not allow it.
    fn mount(kibibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={kibibytes}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self { folder });
        }
        println!("SKIPPED: no tmpfs can be mounted here, which takes root");
        None
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes all space that is left, with a file of this name.
    fn fill(&self) {
        let mut file = File::create(self.at("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.at("filler")).unwrap();
    }
}

impl Drop for SmallDisc {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

fn detection(world: &World, out: &Path, severities: &str) -> Vec<String> {
    let (patients, model, out) = (world.path("patients"), world.path("model"), text(out));
    ["detect", "-i", &patients, "-m", &model, "-o", &out, "--severities", severities]
        .map(str::to_owned)
        .to_vec()
}

fn synthesis(world: &World, out: &Path, seed: &str) -> Vec<String> {
    let (healthy, config, out) = (world.path("healthy"), world.path("tiny.toml"), text(out));
    ["synth", "-i", &healthy, "-o", &out, "-n", "2", "--config", &config, "--seed", seed]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn a_rerun_on_a_full_disc_leaves_the_outputs_of_before() {
    let world = World::get();
    let Some(disc) = SmallDisc::mount(8192) else { return };
    let detection: fn(&World, &Path, &str) -> Vec<String> = detection;
    for (verb, first, second) in [(detection, "0.5", "0.25"), (synthesis, "1", "2")] {
        let out = disc.at("out");
        let run = |value| disyre(verb(world, &out, value).iter().map(String::as_str));
        assert_eq!(run(first).code, Some(0));
        let before = outputs(&out);
        disc.fill();
        let ran = run(second);
        assert!(matches!(ran.code, Some(1 | 3)), "{}", ran.err);
        assert!(ran.err.contains("No space left"), "{}", ran.err);
        assert!(outputs(&out) == before, "the outputs of before stay, and nothing besides");
        disc.free();
        assert_eq!(run(second).code, Some(0));
        assert!(outputs(&out) != before);
        fs::remove_dir_all(&out).unwrap();
    }
}

/// Settings of a training that checkpoints after every second step.
fn long_training(folder: &Path) -> String {
    let path = folder.join("settings.toml");
    let settings = TINY.replace("steps = 6", "steps = 60\ncheckpoint_every = 2");
    fs::write(&path, settings).unwrap();
    text(&path)
}

#[test]
fn a_training_on_a_full_disc_keeps_its_checkpoint_and_goes_on_from_it() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let Some(disc) = SmallDisc::mount(8192) else { return };
    let (healthy, config) = (world.path("healthy"), long_training(folder.path()));
    let (whole, model) = (folder.path().join("whole"), disc.at("model"));
    let train = |model: &Path, resume: &[&str]| {
        let model = text(model);
        let arguments = ["train", "--healthy", &healthy, "-o", &model, "--config", &config];
        arguments.iter().chain(resume).map(|&argument| argument.to_owned()).collect::<Vec<_>>()
    };
    succeed(train(&whole, &[]).iter().map(String::as_str));
    let mut command = Command::new(env!("CARGO_BIN_EXE_disyre"));
    let child = command
        .args(train(&model, &[]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !model.join("training.safetensors").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    disc.fill();
    let ended = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{errors}");
    assert!(errors.contains("No space left"), "{errors}");
    ensure_whole(&model);
    assert!(names(&model).iter().any(|name| name == "training.safetensors"));
    disc.free();
    succeed(train(&model, &["--resume"]).iter().map(String::as_str));
    assert!(training_of(&model) == training_of(&whole));
}

#[test]
fn a_limit_on_the_size_of_files_leaves_the_outputs_of_before() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let out = folder.path().join("out");
    succeed(detection(world, &out, "0.5").iter().map(String::as_str));
    let before = outputs(&out);
    let limited = "ulimit -f 1; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", limited, env!("CARGO_BIN_EXE_disyre")])
        .args(detection(world, &out, "0.25"));
    let ran = command.output().unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{errors}");
    assert!(errors.contains("File too large"), "{errors}");
    assert!(outputs(&out) == before);
}
