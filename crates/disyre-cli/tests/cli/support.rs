//! Phantoms, models and runs of the binary that the tests of this folder share.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use disyre::core::Key;
use disyre::phantom::{LesionKind, PhantomConfig};
use disyre::volume::{Scan, nonzero_mask, write_labels, write_volume};
use serde_json::Value;
use tempfile::TempDir;

/// A network that trains in moments, on phantoms of 8 mm.
pub(crate) const TINY: &str = "
seed = 5
[prepare]
spacing_mm = 8.0
[pairs]
patch = [1, 16, 16]
hold_out = 1
[dag]
window = [1, 8, 8]
[network]
channels = [8, 16]
groups = 4
resnets_per_level = 1
attention_levels = []
middle_attention = false
[train]
steps = 6
batch = 2
warmup_steps = 1
validation_pairs = 4
[detect]
stride = [1, 8, 8]
";

pub(crate) const PHANTOMS: PhantomConfig =
    PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, noise: 0.02, bias_field: 0.1 };

/// Exit code and printed text of a command.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary.
pub(crate) fn disyre<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_disyre")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Starts the binary with nothing to print to.
pub(crate) fn start(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_disyre"));
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs the binary and expects success.
pub(crate) fn succeed<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    let ran = disyre(arguments);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    ran
}

/// Runs the binary and expects an exit status and parts of the message.
pub(crate) fn fail<'a>(code: i32, parts: &[&str], arguments: impl IntoIterator<Item = &'a str>) {
    let ran = disyre(arguments);
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.out, ran.err);
    ensure_contains(&ran.err, parts);
}

/// Checks that a text has each of some parts.
#[track_caller]
pub(crate) fn ensure_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// Scans and a trained model that all tests share and none changes.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::make)
    }

    fn make() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["healthy", "patients", "lesions", "brains"] {
            fs::create_dir(world.at(name)).unwrap();
        }
        fs::write(world.at("tiny.toml"), TINY).unwrap();
        for index in 1..=6u64 {
            let phantom = PHANTOMS.healthy(Key::new(1).child(index));
            write_volume(&world.at(&format!("healthy/h{index}.nii.gz")), &phantom.volume).unwrap();
        }
        for index in 1..=2u64 {
            let phantom = PHANTOMS.with_lesion(Key::new(2).child(index), LesionKind::Stroke);
            let brain = nonzero_mask(phantom.volume.data.view());
            let (grid, name) =
                (&phantom.volume.grid, |end: &str| format!("sub-{index}_{end}.nii.gz"));
            write_volume(&world.at("patients").join(name("T1w")), &phantom.volume).unwrap();
            write_labels(&world.at("lesions").join(name("lesion")), phantom.lesion.view(), grid)
                .unwrap();
            write_labels(&world.at("brains").join(name("desc-brain_mask")), brain.view(), grid)
                .unwrap();
        }
        world.train("model", &[]);
        world
    }

    /// Trains a tiny model into a folder of this name.
    pub(crate) fn train(&self, name: &str, more: &[&str]) -> Ran {
        let (healthy, model, config) =
            (self.path("healthy"), self.path(name), self.path("tiny.toml"));
        let arguments = ["train", "--healthy", &healthy, "-o", &model, "--config", &config];
        succeed(arguments.into_iter().chain(more.iter().copied()))
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        text(&self.at(name))
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Names of the files in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn read(path: &Path) -> Scan {
    Scan::read(path).unwrap()
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Copies the files of a folder into one that it makes.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in names(from) {
        fs::copy(from.join(&name), to.join(name)).unwrap();
    }
}

/// Names of the files in a folder but for the record of its runs, which grows where a run fails.
pub(crate) fn output_names(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name != "manifest.jsonl").collect()
}

/// The same files and their bytes.
pub(crate) fn outputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| (name.clone(), fs::read(folder.join(name)).unwrap());
    output_names(folder).into_iter().map(read).collect()
}

/// The files of a folder and their bytes.
pub(crate) fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    names(folder).into_iter().map(|n| (n.clone(), fs::read(folder.join(n)).unwrap())).collect()
}

/// Checks that every file under a final name is whole, by reading it. What begins with a dot is temporary.
pub(crate) fn ensure_whole(folder: &Path) {
    let listed = if folder.exists() { names(folder) } else { Vec::new() };
    for name in listed.iter().filter(|name| !name.starts_with('.')) {
        let path = folder.join(name);
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let whole = match name.split_once('.').unwrap().1 {
            "nii.gz" => Scan::read(&path).is_ok(),
            "json" => serde_json::from_slice::<Value>(&bytes).is_ok(),
            "toml" => toml::from_str::<toml::Table>(&text).is_ok(),
            "safetensors" => are_whole_weights(&bytes),
            "html" => text.ends_with("</html>"),
            "png" => bytes.ends_with(b"IEND\xaeB`\x82"),
            // The last line may be in writing.
            "jsonl" => {
                let lines = text.rsplit_once('\n').map_or("", |(whole, _)| whole).lines();
                lines.into_iter().all(|line| serde_json::from_str::<Value>(line).is_ok())
            }
            _ => panic!("nothing writes {name}"),
        };
        assert!(whole, "{name} is half-written");
    }
}

/// Whether the tensors of a file have the SHA-256 that its header states.
fn are_whole_weights(bytes: &[u8]) -> bool {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (header, data) = bytes[8..].split_at(length);
    let header: Value = serde_json::from_slice(header).unwrap();
    header["__metadata__"]["data_sha256"] == disyre::core::sha256_of_bytes(data)
}

/// The files that a training leaves, without the times in its log, the number of its starts, and the note of a checkpoint that a kill
/// came before.
pub(crate) fn training_of(model: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = contents(model);
    let log = files.iter_mut().find(|(name, _)| name == "train.jsonl").unwrap();
    let lines = String::from_utf8_lossy(&log.1).into_owned();
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lasting = events.filter(|event| event["event"] == "step" || event["event"] == "validation");
    let timeless = lasting.map(|mut event| {
        event.as_object_mut().unwrap().remove("seconds");
        event.to_string() + "\n"
    });
    log.1 = timeless.collect::<String>().into_bytes();
    files
}
