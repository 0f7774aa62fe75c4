//! The entry points: every reader of files that users and other programs write.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use disyre::core::Key;
use disyre::diffusion::Parameters;
use disyre::phantom::PhantomConfig;
use disyre::volume::{Grid, MemoryLeft, ReadOptions, Scan, Volume, read_values, write_volume};
use disyre::{
    Cohort, LoadOptions, ModelFolder, PreparedScans, Recipe, RunConfig, Synthesiser, Tissues,
    Training, train,
};

type Failure = Box<dyn Error>;

/// Reads the bytes of a file: whether they were accepted, or what is wrong with the result.
pub type Reader = Box<dyn Fn(&[u8]) -> Result<bool, String>>;

/// A reader, and whole files for it.
#[expect(missing_debug_implementations, reason = "it holds a function")]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Whole files, which damage begins with.
    pub seeds: Vec<Vec<u8>>,
    /// Bytes at the front that most damage goes to.
    pub front: usize,
    /// Whether numbers in it are text.
    pub is_text: bool,
    /// Number of damaged files that the suite reads.
    pub in_suite: u64,
    /// Reads a file: whether it was accepted, or what is wrong with the result.
    pub read: Reader,
}

/// Memory that all readers together may take: damaged sizes must be refused.
const MEMORY: u64 = 2 << 30;

/// All targets; what they read lies in `folder`.
///
/// # Errors
/// Those of making the whole files: a model that trains for a moment, samples and scans.
pub fn targets(folder: &Path) -> Result<Vec<Target>, Failure> {
    MemoryLeft::allow(MEMORY);
    let mut targets = scans(folder)?;
    let config = tiny();
    let (model, cohort) = tiny_model(folder, &config)?;
    targets.push(weights(&model)?);
    targets.push(checkpoint(folder, &model, config.clone(), cohort)?);
    for (name, file) in [
        ("network", "config.json"),
        ("settings", "run.toml"),
        ("record", "run.json"),
        ("tissue", "tissue.json"),
    ] {
        targets.push(file_of_model(folder, &model, name, file)?);
    }
    targets.push(recipe(folder, &config)?);
    targets.push(pairs(folder)?);
    Ok(targets)
}

/// Headers, gzip streams and extensions of NIfTI files.
fn scans(folder: &Path) -> Result<Vec<Target>, Failure> {
    let volume = Volume { data: phantom(1).data, grid: Grid::from_spacing([10, 24, 20], [8.0; 3]) };
    let bytes_as = |name: &str| {
        let path = folder.join(name);
        write_volume(&path, &volume).map(|()| fs::read(path))
    };
    let (plain, packed) = (bytes_as("whole.nii")??, bytes_as("whole.nii.gz")??);
    let reader = |name: &str| {
        let path = folder.join(name);
        Box::new(move |bytes: &[u8]| read_scan(&path, bytes))
    };
    let header = Target {
        name: "header",
        seeds: vec![plain.clone()],
        front: 352,
        is_text: false,
        in_suite: 1500,
        read: reader("header.nii"),
    };
    let padded = [packed.clone(), vec![0; 40]].concat();
    let gzip = Target {
        name: "gzip",
        seeds: vec![packed, padded],
        front: 40,
        is_text: false,
        in_suite: 500,
        read: reader("gzip.nii.gz"),
    };
    let path = folder.join("extension.nii");
    let extension = Target {
        name: "extension",
        seeds: vec![extension()],
        front: 36,
        is_text: false,
        in_suite: 500,
        read: Box::new(move |bytes| read_scan(&path, &with_extension(&plain, bytes))),
    };
    Ok(vec![header, gzip, extension])
}

/// The flag and two extensions of 16 bytes.
fn extension() -> Vec<u8> {
    let one = |code: i32| [&16i32.to_le_bytes()[..], &code.to_le_bytes(), b"comment\0"].concat();
    [&[1, 0, 0, 0][..], &one(6), &one(4)].concat()
}

/// A file whose header announces its voxels after 36 bytes of extensions.
fn with_extension(plain: &[u8], extension: &[u8]) -> Vec<u8> {
    let mut bytes = plain[..348].to_vec();
    bytes[108..112].copy_from_slice(&384f32.to_le_bytes());
    bytes.extend(extension);
    bytes.extend(&plain[352..]);
    bytes
}

/// Reads a scan as every command does; what is accepted has a grid of numbers, and can be written with its header.
fn read_scan(path: &Path, bytes: &[u8]) -> Result<bool, String> {
    fs::write(path, bytes).map_err(|error| error.to_string())?;
    let _ = read_values::<f64>(path, &ReadOptions::default());
    let Ok(scan) = Scan::read(path) else { return Ok(false) };
    let grid = &scan.volume.grid;
    if scan.volume.data.shape() != grid.shape
        || !scan.volume.data.iter().all(|value| value.is_finite())
    {
        return Err("voxels do not fit the grid, or are not finite".into());
    }
    let copy = path.with_file_name("copy.nii");
    scan.header()
        .write_map(&copy, scan.volume.data.view())
        .map_err(|error| format!("cannot be written: {error}"))?;
    match Scan::read(&copy) {
        Ok(_) => Ok(true),
        Err(error) => Err(format!("its map cannot be read: {error}")),
    }
}

fn phantom(index: u64) -> Volume {
    let config = PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, ..PhantomConfig::default() };
    config.healthy(Key::new(index)).volume
}

/// Settings of a network that trains in moments.
fn tiny() -> RunConfig {
    let mut config = RunConfig::cpu_2mm();
    config.prepare.spacing_mm = 8.0;
    (config.pairs.patch, config.dag.window, config.detect.stride) =
        ([1, 16, 16], [1, 8, 8], [1, 8, 8]);
    (config.network.channels, config.network.groups) = (vec![8, 16], 4);
    (config.train.steps, config.train.batch, config.train.warmup_steps) = (2, 2, 1);
    (config.train.validation_pairs, config.tissue.classes) = (2, 3);
    config
}

fn tiny_model(folder: &Path, config: &RunConfig) -> Result<(PathBuf, Cohort), Failure> {
    let scans: Vec<_> = (0..3).map(|index| (format!("phantom-{index}"), phantom(index))).collect();
    let cohort = Cohort::prepare(&scans, config, Key::new(0))?;
    let model = folder.join("model");
    train(&Training::new(&cohort, config, &model), &mut |_| ())?;
    Ok((model, cohort))
}

/// The same weights without their hash, as earlier versions wrote them: damage to them is not found by it.
fn without_hash(bytes: &[u8]) -> Vec<u8> {
    let key = b"data_sha256";
    let mut bytes = bytes.to_vec();
    if let Some(at) = bytes.windows(key.len()).position(|window| window == key) {
        bytes[at + key.len() - 1] = b'-';
    }
    bytes
}

fn weights(model: &Path) -> Result<Target, Failure> {
    let network = ModelFolder::open(model)?.network().network.clone();
    let whole = fs::read(model.join("ema.safetensors"))?;
    let path = PathBuf::from("damaged.safetensors");
    Ok(Target {
        name: "weights",
        seeds: vec![without_hash(&whole), whole],
        front: 3000,
        is_text: true,
        in_suite: 1000,
        read: Box::new(move |bytes| Ok(Parameters::from_bytes(&network, bytes, &path).is_ok())),
    })
}

fn copy_of(model: &Path, to: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(model)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(to.to_owned())
}

/// The state that a training resumes from.
fn checkpoint(
    folder: &Path,
    model: &Path,
    config: RunConfig,
    cohort: Cohort,
) -> Result<Target, Failure> {
    let copy = copy_of(model, &folder.join("resumed"))?;
    let whole = without_hash(&fs::read(copy.join("training.safetensors"))?);
    Ok(Target {
        name: "checkpoint",
        seeds: vec![whole],
        front: 6000,
        is_text: true,
        in_suite: 60,
        read: Box::new(move |bytes| {
            fs::write(copy.join("training.safetensors"), bytes)
                .map_err(|error| error.to_string())?;
            let training = Training { resume: true, ..Training::new(&cohort, &config, &copy) };
            Ok(train(&training, &mut |_| ()).is_ok())
        }),
    })
}

/// A file of settings or of a record within the folder of a model.
fn file_of_model(
    folder: &Path,
    model: &Path,
    name: &'static str,
    file: &'static str,
) -> Result<Target, Failure> {
    let copy = copy_of(model, &folder.join(name))?;
    let whole = fs::read(copy.join(file))?;
    Ok(Target {
        name,
        front: whole.len(),
        seeds: vec![whole],
        is_text: true,
        in_suite: 250,
        read: Box::new(move |bytes| {
            fs::write(copy.join(file), bytes).map_err(|error| error.to_string())?;
            let Ok(model) = ModelFolder::open(&copy) else { return Ok(false) };
            let whole = model.tissues().is_ok()
                && model.unfinished().is_ok()
                && model.config().check().is_ok();
            Ok(whole && model.load(&LoadOptions::default()).is_ok())
        }),
    })
}

/// A recipe, and making its sample again.
fn recipe(folder: &Path, config: &RunConfig) -> Result<Target, Failure> {
    let input = folder.join("healthy");
    fs::create_dir(&input)?;
    let paths = [0, 1].map(|index| input.join(format!("h{index}.nii.gz")));
    for (index, path) in paths.iter().enumerate() {
        write_volume(path, &phantom(index as u64))?;
    }
    let scans = PreparedScans::read(&paths, config)?;
    let subjects: Vec<_> = scans.scans.iter().map(disyre::Subject::from).collect();
    let tissues = Tissues::of(config, &subjects, &[], Key::new(1))?;
    let sample = Synthesiser::new(scans, config, tissues, Key::new(2))?.sample(0)?;
    let whole = serde_json::to_vec(&sample.recipe)?;
    let path = folder.join("recipe.json");
    Ok(Target {
        name: "recipe",
        front: whole.len(),
        seeds: vec![whole],
        is_text: true,
        in_suite: 150,
        read: Box::new(move |bytes| {
            fs::write(&path, bytes).map_err(|error| error.to_string())?;
            Ok(Recipe::load(&path).is_ok_and(|recipe| recipe.replay(&input).is_ok()))
        }),
    })
}

/// A list of pairs, which the program reads.
fn pairs(folder: &Path) -> Result<Target, Failure> {
    let volume = phantom(3);
    let lesion =
        Volume { data: volume.data.mapv(|value| f32::from(value > 0.5)), grid: volume.grid };
    write_volume(&folder.join("a_desc-anomalyscore.nii"), &volume)?;
    write_volume(&folder.join("a_lesion.nii"), &lesion)?;
    let whole = "score,label,mask,scan,subject\na_desc-anomalyscore.nii,a_lesion.nii,,,\"a\"\n";
    let path = folder.join("pairs.csv");
    Ok(Target {
        name: "pairs",
        front: whole.len(),
        seeds: vec![whole.as_bytes().to_vec()],
        is_text: true,
        in_suite: 60,
        read: Box::new(move |bytes| {
            fs::write(&path, bytes).map_err(|error| error.to_string())?;
            let program = program()?;
            let ran = Command::new(&program).arg("evaluate").arg("--pairs").arg(&path).output();
            let ran = ran.map_err(|error| format!("{}: {error}", program.display()))?;
            match ran.status.code() {
                Some(0) => Ok(true),
                Some(1 | 3) => Ok(false),
                _ => Err(format!("{}: {}", ran.status, String::from_utf8_lossy(&ran.stderr))),
            }
        }),
    })
}

/// The binary `disyre` of the same build, in the folder of this program or above.
fn program() -> Result<PathBuf, String> {
    let name = format!("disyre{}", std::env::consts::EXE_SUFFIX);
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let found = this
        .ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join(&name))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        "the program is not built: run `cargo build -p disyre-cli` with the same profile".into()
    })
}
