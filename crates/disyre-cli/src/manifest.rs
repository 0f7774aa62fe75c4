//! [`Manifest`]: the record of the cases of a cohort, so that a run that was stopped can be gone on with.
//!
//! A line is appended and flushed to disk as each case ends; a kill costs the line that is being written. Lines of earlier
//! runs stay until the present one has come to its end. Then the file is replaced by the lines of this run's cases in
//! their order, so that it does not show how often the work was stopped.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use disyre::core::{FolderLock, sha256_of_file};
use disyre::volume::path_text;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, with_causes};
use crate::output_files::write_whole;
use crate::shard::Shard;

/// File of a whole cohort; those of shards are named by [`Shard::file`].
const MANIFEST_FILE: &str = "manifest.jsonl";

/// How the work on a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaseState {
    Done,
    Failed,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseRecord {
    /// Path of the case below the folder of the cohort.
    case: String,
    pub(crate) state: CaseState,
    /// SHA-256 of settings, model and inputs; none where an input can't be read.
    made_from_sha256: Option<String>,
    /// SHA-256 of each output by its name.
    pub(crate) outputs: BTreeMap<String, String>,
    /// Why it failed, with all causes.
    pub(crate) error: Option<String>,
}

/// A case before the work on it.
#[derive(Debug)]
pub(crate) struct Case {
    /// Path below the folder of the cohort.
    pub(crate) name: String,
    /// SHA-256 of settings, model and inputs; none where an input can't be read.
    pub(crate) made_from_sha256: Option<String>,
    /// Outputs that it may have.
    pub(crate) files: Vec<PathBuf>,
}

/// The record of the cases of a cohort, in the folder of its outputs.
#[derive(Debug)]
pub(crate) struct Manifest {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines in the file.
    length: u64,
    /// Lines of this run.
    lines: Vec<String>,
    /// Records of earlier runs by their case.
    earlier: HashMap<String, Vec<CaseRecord>>,
    /// Number of cases that need no more work.
    skipped: usize,
    /// Files of shards whose place this one takes.
    merged: Vec<PathBuf>,
    _locks: Vec<FolderLock>,
}

impl Manifest {
    /// Begins the record of a cohort or of a part of it; `go_on`: with the work of earlier runs.
    ///
    /// # Errors
    /// [`CliError::CohortInUse`] while another run keeps this record or that of a part of it; [`CliError::File`].
    pub(crate) fn begin(
        folder: &Path,
        shard: Option<Shard>,
        go_on: bool,
    ) -> Result<Self, CliError> {
        let path = folder.join(shard.map_or(MANIFEST_FILE.to_owned(), Shard::file));
        let shards = shard_files(folder)?;
        let merged = if shard.is_none() { shards.clone() } else { Vec::new() };
        let earlier = [shards, vec![folder.join(MANIFEST_FILE)]].concat();
        Self::open(path, merged, &earlier, go_on)
    }

    /// Begins a record in a file of another name, which nobody shares; `go_on`: with the work of earlier runs.
    ///
    /// # Errors
    /// [`CliError::RecordInUse`] while another run keeps it; [`CliError::File`].
    pub(crate) fn begin_file(path: &Path, go_on: bool) -> Result<Self, CliError> {
        let path = path.to_owned();
        match Self::open(path.clone(), Vec::new(), &[path], go_on) {
            Err(CliError::CohortInUse { manifest }) => Err(CliError::RecordInUse { manifest }),
            manifest => manifest,
        }
    }

    /// `merged`: files whose place this one takes; `from`: files with the records of earlier runs.
    fn open(
        path: PathBuf,
        merged: Vec<PathBuf>,
        from: &[PathBuf],
        go_on: bool,
    ) -> Result<Self, CliError> {
        let locks = merged.iter().chain([&path]).map(|file| lock(file));
        let locks = locks.collect::<Result<_, CliError>>()?;
        let mut earlier: HashMap<String, Vec<CaseRecord>> = HashMap::new();
        if go_on {
            for file in from {
                for record in read(file)?.into_iter().filter_map(|line| parse(&line)) {
                    earlier.entry(record.case.clone()).or_default().push(record);
                }
            }
        } else {
            merged.iter().try_for_each(|file| remove(file))?;
        }
        let length = read(&path)?.iter().map(|line| line.len() as u64).sum();
        let file = OpenOptions::new().write(true).create(true).truncate(!go_on).open(&path);
        let file = file.map_err(CliError::file("write", &path))?;
        let length = if go_on { length } else { 0 };
        let (lines, skipped) = (Vec::new(), 0);
        Ok(Self { path, file, length, lines, earlier, skipped, merged, _locks: locks })
    }

    /// Makes one record of all cases of a cohort from those of its parts, and works on none: says of each case how the work on
    /// it ended, which is an error too where nothing is recorded, or where outputs are not as they were.
    ///
    /// The record that was written last counts. Settings and devices are not compared: those of this machine may be others.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin) and [`finish`](Self::finish).
    pub(crate) fn merge(
        folder: &Path,
        cases: &[String],
    ) -> Result<Vec<Result<(), CliError>>, CliError> {
        let mut manifest = Self::begin(folder, None, true)?;
        let mut files: Vec<&PathBuf> =
            [&manifest.path].into_iter().chain(&manifest.merged).collect();
        files.sort_by_key(|file| fs::metadata(file).and_then(|found| found.modified()).ok());
        let mut last = HashMap::new();
        for file in files {
            last.extend(last_records(file)?);
        }
        let mut take = |case: &String| {
            let record: CaseRecord = last.remove(case).ok_or(CliError::NotRecorded)?;
            let outputs: Vec<PathBuf> =
                record.outputs.keys().map(|name| folder.join(name)).collect();
            if hashes_of(&outputs)? != record.outputs {
                return Err(CliError::NotAsRecorded);
            }
            manifest.lines.extend(line_of(&record));
            record.error.map_or(Ok(()), |error| Err(CliError::FailedBefore { error }))
        };
        let ended = cases.iter().map(&mut take).collect();
        manifest.finish()?;
        Ok(ended)
    }

    /// Whether a case is done: by an earlier run, with the same settings, model and inputs, and all of its outputs, and no
    /// others, are there as they were. Its record is taken over.
    pub(crate) fn is_done(&mut self, case: &Case) -> bool {
        let Some(record) = self.done_but_for(case, None).cloned() else { return false };
        self.append(&record);
        self.skipped += 1;
        true
    }

    /// Whether a case is done but for an output that can be made of the others.
    pub(crate) fn is_done_but_for(&self, case: &Case, output: &Path) -> bool {
        self.done_but_for(case, Some(output)).is_some()
    }

    /// The record of a case that is done, if one output does not count.
    fn done_but_for(&self, case: &Case, output: Option<&Path>) -> Option<&CaseRecord> {
        let records = self.earlier.get(&case.name)?;
        let left_out = output.map(name_of);
        let counted = |outputs: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let mut outputs = outputs.clone();
            outputs.retain(|name, _| Some(name) != left_out.as_ref());
            outputs
        };
        // An output that can't be read is made anew.
        let outputs = counted(&hashes_of(&case.files).ok()?);
        records.iter().find(|record| {
            record.state == CaseState::Done
                && record.made_from_sha256.is_some()
                && record.made_from_sha256 == case.made_from_sha256
                && counted(&record.outputs) == outputs
        })
    }

    /// Number of cases that were done before.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped
    }

    /// Records how the work on a case ended, and returns it.
    ///
    /// # Errors
    /// That of the work; [`CliError::File`] where an output can't be read again.
    pub(crate) fn add(&mut self, case: Case, ended: Result<(), CliError>) -> Result<(), CliError> {
        let Case { name, made_from_sha256, files } = case;
        let ended = ended.and_then(|()| hashes_of(&files));
        let error = ended.as_ref().err().map(|error| with_causes(error));
        let state = if error.is_none() { CaseState::Done } else { CaseState::Failed };
        let outputs = ended.as_ref().map_or_else(|_| BTreeMap::new(), BTreeMap::clone);
        self.append(&CaseRecord { case: name, state, made_from_sha256, outputs, error });
        ended.map(|_| ())
    }

    /// Appends a line after the last whole one. One that can't be written is missing until [`finish`](Self::finish), which
    /// writes all again.
    fn append(&mut self, record: &CaseRecord) {
        let Some(line) = line_of(record) else { return };
        let mut write = || {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            self.file.write_all(line.as_bytes())?;
            self.file.sync_data()
        };
        match write() {
            Ok(()) => self.length += line.len() as u64,
            Err(error) => note!("warning: cannot write {}: {error}", self.path.display()),
        }
        self.lines.push(line);
    }

    /// Leaves the lines of this run alone, in order, and no files of shards whose place this one takes.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(crate) fn finish(self) -> Result<(), CliError> {
        write_whole(&self.path, self.lines.concat().as_bytes())?;
        self.merged.iter().try_for_each(|file| remove(file))
    }
}

/// A record as a line; a record of texts always has one.
fn line_of(record: &CaseRecord) -> Option<String> {
    serde_json::to_string(record).ok().map(|line| line + "\n")
}

/// The last record of each case in a file, which need not be there.
///
/// # Errors
/// [`CliError::File`].
pub(crate) fn last_records(path: &Path) -> Result<HashMap<String, CaseRecord>, CliError> {
    let records = read(path)?.into_iter().filter_map(|line| parse(&line));
    Ok(records.map(|record| (record.case.clone(), record)).collect())
}

/// Cases that failed by the records of a folder, with their errors, the last record of a case counting; none without a record.
///
/// # Errors
/// [`CliError::File`].
pub(crate) fn failures(folder: &Path) -> Result<Option<BTreeMap<String, String>>, CliError> {
    // A whole run ends by removing the files of shards: those that are there are newer than its own.
    let whole = folder.join(MANIFEST_FILE);
    let mut files: Vec<PathBuf> = whole.exists().then_some(whole).into_iter().collect();
    files.extend(shard_files(folder)?);
    if files.is_empty() {
        return Ok(None);
    }
    let mut failed = BTreeMap::new();
    for file in &files {
        for record in read(file)?.into_iter().filter_map(|line| parse(&line)) {
            match record.error {
                Some(error) => failed.insert(record.case, error),
                None => failed.remove(&record.case),
            };
        }
    }
    Ok(Some(failed))
}

/// The lock of a file of records.
fn lock(file: &Path) -> Result<FolderLock, CliError> {
    let (folder, name) = (file.parent().unwrap_or(Path::new("")), file.file_name());
    let name = format!(".{}.lock", name.unwrap_or_default().to_string_lossy());
    let lock = FolderLock::acquire(folder, &name).map_err(CliError::file("lock", file))?;
    lock.ok_or_else(|| CliError::CohortInUse { manifest: file.to_owned() })
}

/// The files of shards in a folder, in the order of their names.
fn shard_files(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(CliError::file("list", folder))?;
    let is_shard =
        |path: &PathBuf| path.file_name().and_then(|name| Shard::of_file(name.to_str()?)).is_some();
    let mut files: Vec<PathBuf> =
        entries.into_iter().map(|entry| entry.path()).filter(is_shard).collect();
    files.sort();
    Ok(files)
}

/// The whole lines of a file, which need not be there: one that a kill cut short is left out.
fn read(path: &Path) -> Result<Vec<Vec<u8>>, CliError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        bytes => bytes.map_err(CliError::file("read", path))?,
    };
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    Ok(lines.filter(|line| line.ends_with(b"\n")).map(<[u8]>::to_vec).collect())
}

/// A record; none where the line is not one of this version: the case is then done anew.
fn parse(line: &[u8]) -> Option<CaseRecord> {
    serde_json::from_slice(line).ok()
}

fn remove(file: &Path) -> Result<(), CliError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(CliError::file("remove", file)(error))
        }
        _ => Ok(()),
    }
}

/// SHA-256 of those of the files that are there, by name.
fn hashes_of(files: &[PathBuf]) -> Result<BTreeMap<String, String>, CliError> {
    let there = files.iter().filter(|file| fs::symlink_metadata(file).is_ok());
    let hash = |file: &PathBuf| {
        Ok((name_of(file), sha256_of_file(file).map_err(CliError::file("read", file))?))
    };
    there.map(hash).collect()
}

/// Name of an output, by which records hold it.
fn name_of(file: &Path) -> String {
    path_text(file.file_name().unwrap_or_default().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(folder: &Path, name: &str) -> Case {
        let files = ["map", "sidecar"].map(|end| folder.join(format!("{name}.{end}"))).to_vec();
        Case { name: name.to_owned(), made_from_sha256: Some(format!("made of {name}")), files }
    }

    fn make(manifest: &mut Manifest, folder: &Path, name: &str) {
        let case = case(folder, name);
        case.files.iter().for_each(|file| fs::write(file, name).unwrap());
        manifest.add(case, Ok(())).unwrap();
    }

    fn text(folder: &Path) -> String {
        fs::read_to_string(folder.join(MANIFEST_FILE)).unwrap()
    }

    /// A whole run over these cases.
    fn whole(names: &[&str]) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::begin(folder.path(), None, false).unwrap();
        names.iter().for_each(|name| make(&mut manifest, folder.path(), name));
        manifest.finish().unwrap();
        let text = text(folder.path());
        (folder, text)
    }

    #[test]
    fn a_run_that_is_gone_on_with_leaves_the_record_of_one_run() {
        let (folder, expected) = whole(&["a", "b", "c"]);
        for cut in 0..=expected.len() {
            fs::write(folder.path().join(MANIFEST_FILE), &expected[..cut]).unwrap();
            let mut manifest = Manifest::begin(folder.path(), None, true).unwrap();
            for name in ["a", "b", "c"] {
                if !manifest.is_done(&case(folder.path(), name)) {
                    make(&mut manifest, folder.path(), name);
                }
            }
            let lines = expected[..cut].matches('\n').count();
            assert_eq!(manifest.skipped(), lines, "{cut}");
            // Before the end earlier lines are still there, and all are whole.
            assert_eq!(read(&manifest.path).unwrap().len(), lines + 3);
            manifest.finish().unwrap();
            assert_eq!(text(folder.path()), expected);
        }
    }

    #[test]
    fn a_case_is_done_with_the_same_inputs_and_outputs_alone() {
        let (folder, _) = whole(&["a"]);
        let mut manifest = Manifest::begin(folder.path(), None, true).unwrap();
        let mut done = |case: Case| manifest.is_done(&case);
        let now = || case(folder.path(), "a");
        assert!(done(now()));
        assert!(!done(Case { made_from_sha256: Some("other".into()), ..now() }));
        assert!(!done(Case { made_from_sha256: None, ..now() }));
        assert!(!done(case(folder.path(), "b")));
        let more = folder.path().join("a.more");
        fs::write(&more, "").unwrap();
        let files = [now().files, vec![more]].concat();
        assert!(!done(Case { files, ..now() }), "an output of another run");
        fs::write(&now().files[0], "changed").unwrap();
        assert!(!done(now()));
        fs::remove_file(&now().files[0]).unwrap();
        assert!(!done(now()));
    }

    #[test]
    fn a_case_that_failed_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::begin(folder.path(), None, false).unwrap();
        let error = CliError::NotNamedLikeAMap;
        let message = error.to_string();
        manifest.add(case(folder.path(), "a"), Err(error)).unwrap_err();
        manifest.finish().unwrap();
        assert!(text(folder.path()).contains(&message));
        let mut manifest = Manifest::begin(folder.path(), None, true).unwrap();
        assert!(!manifest.is_done(&case(folder.path(), "a")));
    }

    #[test]
    fn shards_work_at_once_and_their_records_become_one() {
        let (whole, expected) = whole(&["a", "b", "c"]);
        let folder = tempfile::tempdir().unwrap();
        let shards = ["1/2", "2/2"].map(|shard| Some(shard.parse::<Shard>().unwrap()));
        let begin = |shard, go_on| Manifest::begin(folder.path(), shard, go_on);
        let [mut first, mut second] = shards.map(|shard| begin(shard, false).unwrap());
        make(&mut first, folder.path(), "a");
        make(&mut second, folder.path(), "b");
        // A whole run would take their place, and the same part is taken.
        assert!(matches!(begin(None, true), Err(CliError::CohortInUse { .. })));
        assert!(matches!(begin(shards[0], true), Err(CliError::CohortInUse { .. })));
        make(&mut first, folder.path(), "c");
        first.finish().unwrap();
        drop(second);
        let mut manifest = begin(None, true).unwrap();
        for name in ["a", "b", "c"] {
            assert!(manifest.is_done(&case(folder.path(), name)), "{name}");
        }
        manifest.finish().unwrap();
        assert_eq!(text(folder.path()), expected);
        let count = |folder: &Path| fs::read_dir(folder).unwrap().count();
        assert_eq!(count(folder.path()), count(whole.path()));
    }

    #[test]
    fn records_are_merged_without_any_work() {
        let folder = tempfile::tempdir().unwrap();
        let begin =
            |part: &str| Manifest::begin(folder.path(), Some(part.parse().unwrap()), true).unwrap();
        let (mut first, mut second) = (begin("1/3"), begin("2/3"));
        make(&mut first, folder.path(), "a");
        make(&mut first, folder.path(), "d");
        second.add(case(folder.path(), "b"), Err(CliError::NotNamedLikeAMap)).unwrap_err();
        first.finish().unwrap();
        drop(second);
        fs::remove_file(folder.path().join("d.map")).unwrap();
        let cases = ["a", "b", "c", "d"].map(str::to_owned);
        let merge = || Manifest::merge(folder.path(), &cases).unwrap();
        for ended in [merge(), merge()] {
            assert!(ended[0].is_ok());
            let Err(CliError::FailedBefore { error }) = &ended[1] else { panic!("{ended:?}") };
            assert_eq!(error, &CliError::NotNamedLikeAMap.to_string());
            assert!(matches!(ended[2], Err(CliError::NotRecorded)));
        }
        assert_eq!(text(folder.path()).lines().count(), 2);
        assert!(shard_files(folder.path()).unwrap().is_empty());
        // A part that is mapped later counts more than what was merged before.
        let mut second = begin("2/3");
        make(&mut second, folder.path(), "b");
        second.finish().unwrap();
        assert!(merge()[1].is_ok());
    }

    #[test]
    fn a_case_may_be_done_but_for_one_output() {
        let (folder, _) = whole(&["a"]);
        let manifest = Manifest::begin(folder.path(), None, true).unwrap();
        let now = || case(folder.path(), "a");
        let [map, sidecar] = [0, 1].map(|index| now().files[index].clone());
        fs::remove_file(&map).unwrap();
        assert!(
            manifest.is_done_but_for(&now(), &map) && !manifest.is_done_but_for(&now(), &sidecar)
        );
        fs::write(&map, "made again").unwrap();
        assert!(manifest.is_done_but_for(&now(), &map));
        let other = Case { made_from_sha256: Some("other".into()), ..now() };
        assert!(!manifest.is_done_but_for(&other, &map));
        fs::write(&sidecar, "changed").unwrap();
        assert!(!manifest.is_done_but_for(&now(), &map));
    }

    #[test]
    fn the_end_of_a_case_in_a_part_counts_more_than_an_earlier_one_in_a_whole_run() {
        let folder = tempfile::tempdir().unwrap();
        let failed = || Err(CliError::NotNamedLikeAMap);
        let mut manifest = Manifest::begin(folder.path(), None, false).unwrap();
        manifest.add(case(folder.path(), "a"), failed()).unwrap_err();
        make(&mut manifest, folder.path(), "b");
        manifest.finish().unwrap();
        let failures = || failures(folder.path()).unwrap().unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(failures(), ["a"]);
        let shard = Some("1/2".parse::<Shard>().unwrap());
        let mut manifest = Manifest::begin(folder.path(), shard, true).unwrap();
        make(&mut manifest, folder.path(), "a");
        manifest.add(case(folder.path(), "b"), failed()).unwrap_err();
        manifest.finish().unwrap();
        assert_eq!(failures(), ["b"]);
    }

    #[test]
    fn a_run_that_does_not_go_on_begins_anew() {
        let (folder, _) = whole(&["a"]);
        let mut manifest = Manifest::begin(folder.path(), None, false).unwrap();
        assert_eq!(text(folder.path()), "");
        assert!(!manifest.is_done(&case(folder.path(), "a")));
    }
}
