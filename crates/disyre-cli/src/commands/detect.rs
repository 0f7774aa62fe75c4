//! `disyre detect`: maps of scans with a trained model.

use std::fs;
use std::path::{Path, PathBuf, absolute};

use clap::Args;
use disyre::DetectionFiles;
use disyre::volume::{ScanList, ScanName, SidecarFiles, SidecarKind, VolumeError, path_text};

use crate::arguments::ThreadArguments;
use crate::cohort_index::write_index;
use crate::cohort_mapper::CohortMapper;
use crate::detection_arguments::DetectionArguments;
use crate::each_scan::{for_each_scan, scans_of};
use crate::emit::{Engine, JobArguments, JobScript, MOST_TASKS, Parts, Words};
use crate::error::CliError;
use crate::manifest::Manifest;
use crate::output_files::{create_folder, ensure_distinct, ensure_writable};
use crate::print;
use crate::scan_mapper::ScanMapper;
use crate::shard::Shard;

const OUTPUTS: &str = "\
For each scan NAME.nii.gz, in the output folder (files of that name are replaced):
  NAME_desc-anomalyscore.nii.gz  the map, on the scan's own grid and with its header
  NAME_desc-restored.nii.gz      the scan as the model believes it to be without anomaly
  NAME_desc-signed.nii.gz        the calibrated score with its sign, below 0 is darker than healthy
  NAME_desc-findings.nii.gz      findings, 1 inside, where the model is calibrated and has thresholds
  NAME_desc-findings.tsv         volume, scores, side and place in MNI152 of each finding
  NAME_desc-uncertainty.nii.gz   standard deviation of the restorations over severities, with --uncertainty
  NAME_overlay.png               axial slices of both and of the scan, to look at
  NAME_preparation.png           bias field, registration to the template, and the restoration at each severity
  NAME_desc-anomalyscore.json    sources, settings, seed, SHA-256 of the weights; written after all of the above
  NAME_page.html                 a page to read: slices, findings, doubts and facts; made of the files above and the scan
A BIDS name keeps its suffix last: sub-01_T1w becomes sub-01_desc-anomalyscore_T1w.
For a folder of scans also manifest.jsonl, one line a scan as it ends: case, state (done or failed), made_from_sha256 (of
settings, model, scan and mask), outputs with their SHA-256, error. With --shard K/N it is manifest-K-of-N.jsonl. Then index.html, a table of all scans with
links to their pages; not with --shard. `disyre report` makes all pages again.";

/// Arguments of `disyre detect`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Detect {
    /// A scan, or a folder of scans; maps that an earlier run left there are passed over
    #[arg(short, long, value_name = "FILE|DIR")]
    input: PathBuf,
    /// Folder for the results; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A brain mask, or a folder with one for each scan NAME: NAME itself or NAME with _mask, _brain, _brainmask,
    /// _brain_mask, _desc-brain_mask or _label-brain_mask; a NAME without its contrast (T1w, FLAIR) needs an ending with
    /// "brain" [default: the brain is where the scan is not 0, or what --strip finds]
    #[arg(long, value_name = "FILE|DIR")]
    mask: Option<PathBuf>,
    /// Volume of a 4D scan, counted from 0
    #[arg(long, value_name = "N")]
    volume_index: Option<usize>,
    /// Go on with a folder of scans: those that are done with the same settings, model and inputs, and whose outputs are
    /// there unchanged, are passed over; the output folder ends as after one run
    #[arg(long = "continue")]
    go_on: bool,
    /// Map every N-th scan of the sorted list, from the K-th on; the N parts can run at once into one output folder, and
    /// --merge makes one record of theirs, as --continue without --shard does
    #[arg(long, value_name = "K/N", conflicts_with = "emit", value_parser = clap::value_parser!(Shard))]
    shard: Option<Shard>,
    /// Map nothing: make one record, and the table, of what runs with --shard mapped, and name what failed or is missing
    #[arg(long, conflicts_with_all = ["shard", "emit", "go_on"])]
    merge: bool,
    /// Write no page for each scan and no table of the folder
    #[arg(long)]
    no_page: bool,
    #[command(flatten)]
    job: JobArguments,
    #[command(flatten)]
    settings: DetectionArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl Detect {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.ensure_cohort()?;
        if let Some(engine) = self.job.engine() {
            return self.print_script(engine);
        }
        if self.merge {
            return self.merge_records();
        }
        self.threads.apply()?;
        let (folder, options) = self.settings.open()?;
        let masks = BrainMasks::new(self.mask.as_deref())?;
        let list = self.scans()?;
        let deeper = list.in_subfolders();
        let mut scans = masks.pair(list.scans);
        self.check_outputs(&scans)?;
        ensure_writable(&self.output)?;
        if folder.is_embedded() {
            scans.iter().for_each(|(scan, _)| warn_of_other_contrast(scan));
        }
        scans.extend(deeper.into_iter().map(|file| (file.clone(), Err(self.in_subfolder(file)))));
        let model = self.settings.load(folder, &options)?;
        let (volume_index, output) = (self.volume_index, &self.output);
        let skull = self.settings.skull().unwrap_or_default();
        let operating_point = self.settings.operating_point();
        create_folder(&self.output)?;
        let manifest = self.manifest()?;
        let portable = self.input.is_dir();
        let mapper = ScanMapper {
            model: &model,
            options,
            operating_point,
            volume_index,
            skull,
            output,
            portable,
            page: !self.no_page,
        };
        let mut mapper = CohortMapper::new(mapper, &self.input, manifest)?;
        let scans = match self.shard {
            Some(shard) => shard.of(scans),
            None => scans,
        };
        let mapped =
            for_each_scan(scans, |scan, mask| mapper.run(scan, mask.map_err(CliError::from)));
        let finished = mapper.finish();
        // That of a part would depend on how far the others are.
        let index = match portable && self.shard.is_none() {
            true => self.write_index(),
            false => Ok(()),
        };
        mapped.and(finished).and(index)
    }

    /// Writes the table of a folder of scans, unless pages are not wanted.
    fn write_index(&self) -> Result<(), CliError> {
        if self.no_page {
            return Ok(());
        }
        if let Some(index) = write_index(&self.output, true)? {
            note!("the table of all scans: {}", index.display());
        }
        Ok(())
    }

    /// Makes one record and the table of what parts of the folder mapped.
    ///
    /// # Errors
    /// [`CliError::Cases`] naming the scans that failed or that nothing is recorded of; those of the record and the table.
    fn merge_records(&self) -> Result<(), CliError> {
        let list = self.scans()?;
        let deeper = list.in_subfolders();
        let scans = [list.scans, deeper].concat();
        ensure_writable(&self.output)?;
        create_folder(&self.output)?;
        let name = |scan: &PathBuf| path_text(scan.strip_prefix(&self.input).unwrap_or(scan));
        let cases: Vec<String> = scans.iter().map(name).collect();
        let ended = Manifest::merge(&self.output, &cases)?;
        self.write_index()?;
        let failed = scans.into_iter().zip(ended);
        let failed: Vec<_> =
            failed.filter_map(|(scan, ended)| Some((scan, ended.err()?))).collect();
        let total = cases.len();
        print_line!("{}: {} of {total} scans done", self.output.display(), total - failed.len());
        if failed.is_empty() { Ok(()) } else { Err(CliError::Cases { total, failed }) }
    }

    /// Refuses what is for a folder of scans alone.
    fn ensure_cohort(&self) -> Result<(), CliError> {
        let emit = self.job.engine().is_some();
        let options = [
            (self.go_on, "--continue"),
            (self.shard.is_some(), "--shard"),
            (self.merge, "--merge"),
            (emit, "--emit"),
        ];
        match options.into_iter().find(|(given, _)| *given && !self.input.is_dir()) {
            Some((_, option)) => Err(CliError::NoCohort { scan: self.input.clone(), option }),
            None => Ok(()),
        }
    }

    /// Prints the script that maps the folder in parts, a scan each where an array has room for all.
    fn print_script(&self, engine: Engine) -> Result<(), CliError> {
        // What can be found wrong here is not left for the cluster to find.
        self.settings.open()?;
        if let Some(mask) = &self.mask {
            fs::metadata(mask).map_err(CliError::file("read", mask))?;
        }
        let masks = BrainMasks::new(self.mask.as_deref())?;
        let scans = self.scans()?.scans;
        self.check_outputs(&masks.pair(scans.clone()))?;
        let count = scans.len().min(MOST_TASKS);
        let part = |index: usize| {
            let shard = Shard::new(index, count)?;
            Some((index.to_string(), shard.of(scans.clone())))
        };
        let path = |path: &Path| absolute(path).map_err(CliError::file("find", path));
        let mut words = Words::new(["detect", "-i"]);
        words.extend([path(&self.input)?]);
        words.extend(["-o".into(), path(&self.output)?]);
        if let Some(mask) = &self.mask {
            words.extend(["--mask".into(), path(mask)?]);
        }
        words.extend(self.no_page.then_some("--no-page"));
        let group = words.with(["--merge"]);
        words.extend(["--continue"]);
        if let Some(index) = self.volume_index {
            words.extend(["--volume-index".to_owned(), index.to_string()]);
        }
        words.extend(self.settings.words()?);
        let script = JobScript {
            title: format!("Scans of {}", self.input.display()),
            name: "disyre-detect".to_owned(),
            map: words,
            group,
            kind: Parts::Shards,
            parts: (1..=count).filter_map(part).collect(),
            job: self.job.clone(),
            threads: self.threads.asked(),
            other_model: self.settings.has_model_folder(),
        };
        print::result(&script.text(engine)?)
    }

    /// The record of a folder of scans. Where another run keeps it, a plain one works without.
    fn manifest(&self) -> Result<Option<Manifest>, CliError> {
        if !self.input.is_dir() {
            return Ok(None);
        }
        match Manifest::begin(&self.output, self.shard, self.go_on) {
            Err(error @ CliError::CohortInUse { .. }) if !self.go_on && self.shard.is_none() => {
                note!("warning: this run is not recorded: {error}");
                Ok(None)
            }
            manifest => manifest.map(Some),
        }
    }

    /// The scans of the input, without results of earlier runs and without the masks that lie beside them.
    fn scans(&self) -> Result<ScanList, CliError> {
        let elsewhere: Vec<&Path> =
            [Some(self.output.as_path()), self.mask.as_deref()].into_iter().flatten().collect();
        scans_of(&self.input, &elsewhere)
    }

    fn in_subfolder(&self, file: PathBuf) -> VolumeError {
        VolumeError::InSubfolders { folder: self.input.clone(), files: vec![file] }
    }

    fn check_outputs(&self, scans: &[(PathBuf, MaskOfScan)]) -> Result<(), CliError> {
        let outputs = scans.iter().flat_map(|(scan, _)| {
            let files = DetectionFiles::all(scan, &self.output);
            files.paths().map(|file| (scan.as_path(), file.to_owned())).collect::<Vec<_>>()
        });
        let mask = |mask: &MaskOfScan| mask.as_ref().ok().cloned().flatten();
        let inputs = scans.iter().flat_map(|(scan, of_scan)| [Some(scan.clone()), mask(of_scan)]);
        ensure_distinct(outputs, &inputs.flatten().collect::<Vec<_>>())
    }
}

/// Says so where the name of a scan has another contrast than that of the model within the program, T1.
pub(super) fn warn_of_other_contrast(scan: &Path) {
    /// Endings of names, in small letters, as BIDS and the data sets of gliomas have them.
    const OTHERS: [&str; 12] = [
        "flair", "t2", "t2w", "t2star", "t2starw", "t1c", "t1ce", "t1gd", "pd", "pdw", "dwi",
        "bold",
    ];
    let name = ScanName::of(scan);
    let contrast = name.as_str().rsplit(['_', '-']).next().unwrap_or_default();
    if OTHERS.contains(&contrast.to_ascii_lowercase().as_str()) {
        note!(
            "warning: {}: its name says {contrast}, but the model within this program knows T1-weighted scans without \
             contrast agent only; give another model (-m)",
            scan.display()
        );
    }
}

/// The brain mask of a scan; none: the brain is where the scan is not 0.
type MaskOfScan = Result<Option<PathBuf>, VolumeError>;

/// Brain masks of the scans.
#[derive(Debug)]
enum BrainMasks {
    None,
    /// One mask for the scan.
    File(PathBuf),
    /// A folder with a mask for each scan.
    Folder(SidecarFiles),
}

impl BrainMasks {
    fn new(path: Option<&Path>) -> Result<Self, CliError> {
        Ok(match path {
            None => Self::None,
            Some(path) if path.is_dir() => {
                Self::Folder(SidecarFiles::list(path, SidecarKind::BrainMask)?)
            }
            Some(path) => Self::File(path.to_owned()),
        })
    }

    /// Every scan with its mask.
    fn pair(&self, scans: Vec<PathBuf>) -> Vec<(PathBuf, MaskOfScan)> {
        let masks: Vec<MaskOfScan> = match self {
            Self::None => scans.iter().map(|_| Ok(None)).collect(),
            Self::File(path) => scans.iter().map(|_| Ok(Some(path.clone()))).collect(),
            Self::Folder(files) => {
                let assigned = files.assign(&scans).files.into_iter();
                assigned.map(|mask| mask.map(|path| Some(path.to_owned()))).collect()
            }
        };
        scans.into_iter().zip(masks).collect()
    }
}
