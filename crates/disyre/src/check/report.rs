//! [`CheckReport`]: all findings of a folder, for people and as JSON.

use std::fmt;
use std::path::{Path, PathBuf};

use disyre_volume::path_text;
use serde::{Serialize, Serializer};

use super::{CheckFinding, CheckLevel};

/// All findings of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Folder, or file, that was checked.
    pub folder: PathBuf,
    /// Number of scans; other files of the folder have findings too.
    pub scans: usize,
    /// Files with findings, sorted by path.
    pub files: Vec<CheckedFile>,
}

/// A file and its findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedFile {
    /// The file.
    pub path: PathBuf,
    /// Its findings, the gravest first.
    pub findings: Vec<CheckFinding>,
}

impl CheckedFile {
    /// Level of its gravest finding.
    pub fn level(&self) -> CheckLevel {
        let levels = self.findings.iter().map(|finding| finding.level);
        levels.max().unwrap_or(CheckLevel::Pass)
    }
}

impl CheckReport {
    /// Level of the gravest finding.
    pub fn level(&self) -> CheckLevel {
        self.files.iter().map(CheckedFile::level).max().unwrap_or(CheckLevel::Pass)
    }

    /// Number of files whose gravest finding has a level.
    pub fn count(&self, level: CheckLevel) -> usize {
        self.files.iter().filter(|file| file.level() == level).count()
    }
}

/// Findings that are no passes, one file after another, and a summary.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            for finding in file.findings.iter().filter(|f| f.level != CheckLevel::Pass) {
                let CheckFinding { topic, level, problem, fix } = finding;
                writeln!(f, "{level}  {}: {topic}: {problem}", path_text(&file.path))?;
                if !fix.is_empty() {
                    writeln!(f, "      fix: {fix}")?;
                }
            }
        }
        let [pass, warn, fail] =
            [CheckLevel::Pass, CheckLevel::Warn, CheckLevel::Fail].map(|level| self.count(level));
        let (scans, files) = (self.scans, self.files.len());
        write!(f, "{scans} scans, {files} files: {pass} pass, {warn} warn, {fail} fail")
    }
}

/// Fields of the JSON form: folder, scans, level, counts by level, and files with their findings.
impl Serialize for CheckReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Counts {
            pass: usize,
            warn: usize,
            fail: usize,
        }
        #[derive(Serialize)]
        struct Report<'a> {
            folder: String,
            scans: usize,
            level: CheckLevel,
            counts: Counts,
            files: &'a [CheckedFile],
        }
        let counts = Counts {
            pass: self.count(CheckLevel::Pass),
            warn: self.count(CheckLevel::Warn),
            fail: self.count(CheckLevel::Fail),
        };
        let (folder, level) = (path_text(&self.folder), self.level());
        Report { folder, scans: self.scans, level, counts, files: &self.files }
            .serialize(serializer)
    }
}

impl Serialize for CheckedFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct File<'a> {
            file: String,
            level: CheckLevel,
            findings: &'a [CheckFinding],
        }
        let file = path_text(&self.path);
        File { file, level: self.level(), findings: &self.findings }.serialize(serializer)
    }
}

impl CheckedFile {
    pub(super) fn new(path: &Path, mut findings: Vec<CheckFinding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        Self { path: path.to_owned(), findings }
    }
}
