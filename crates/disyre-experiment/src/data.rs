//! [`Data`]: the scans of an experiment, found, named and hashed.

use std::path::{Path, PathBuf};

use disyre::HashedFile;
use disyre::volume::{ScanHeader, ScanName, VolumeError, ensure_mask_fits, list_scans, subject_of};
use serde::{Deserialize, Serialize};

use crate::{DataFiles, ExperimentError, HealthyFolder, Row};

/// Healthy scans that train, and test sets.
#[derive(Debug, Clone)]
pub struct Data {
    /// Healthy scans, a value for each folder.
    pub healthy: Vec<HealthyScans>,
    /// Healthy scans that calibrate, a value for each folder; none: those that train do.
    pub calibration: Vec<HealthyScans>,
    /// Test sets.
    pub test_sets: Vec<TestSet>,
}

/// Healthy scans of one folder.
#[derive(Debug, Clone)]
pub struct HealthyScans {
    /// Name by which rows choose them.
    pub name: Option<String>,
    /// The scans.
    pub scans: Vec<PathBuf>,
    /// Their names and hashes.
    pub hashes: Vec<HashedFile>,
}

/// Test cases under one name, summarised together.
#[derive(Debug, Clone)]
pub struct TestSet {
    /// Its name.
    pub name: String,
    /// Its cases.
    pub cases: Vec<TestCase>,
}

/// A scan with its lesion mask and brain mask.
#[derive(Debug, Clone)]
pub struct TestCase {
    /// Name of the scan's file without extensions.
    pub name: String,
    /// Whose scan it is: cases of one subject are drawn together.
    pub subject: String,
    /// The scan.
    pub scan: PathBuf,
    /// Lesion mask; `None`: a healthy scan.
    pub label: Option<PathBuf>,
    /// Brain mask; `None`: the brain is where the scan is not 0.
    pub mask: Option<PathBuf>,
    /// SHA-256 of these files.
    pub hashes: CaseHashes,
}

/// SHA-256 of the files of a case, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseHashes {
    /// Of the scan.
    pub scan: String,
    /// Of the lesion mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Of the brain mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
}

/// A line of a list of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseLine {
    scan: PathBuf,
    label: Option<PathBuf>,
    #[serde(default)]
    mask: Option<PathBuf>,
    #[serde(default)]
    subject: Option<String>,
    /// The map of another program, in a list for `disyre evaluate`.
    #[serde(default, rename = "score")]
    _score: serde::de::IgnoredAny,
}

/// Greatest length in bytes of a case's name: files add endings to it, and systems stop at 255.
const LONGEST_CASE: usize = 200;

impl Data {
    /// Finds all scans of an experiment and hashes them.
    ///
    /// # Errors
    /// [`ExperimentError::Cases`] and the like naming the list, [`ExperimentError::Pipeline`] naming a file that is not
    /// there, or whose header shows no scan, or a label or mask on another grid than its scan.
    pub fn read(files: &DataFiles) -> Result<Self, ExperimentError> {
        if files.test_sets.is_empty() {
            let expected = "at least one list of cases";
            return Err(ExperimentError::Key { key: "data.test_sets".into(), expected });
        }
        let read = |folders: &[HealthyFolder]| -> Result<Vec<_>, ExperimentError> {
            folders.iter().map(HealthyScans::read).collect()
        };
        let (healthy, calibration) = (read(&files.healthy)?, read(&files.calibration)?);
        let sets = files.test_sets.iter();
        let test_sets = sets.map(|(name, path)| TestSet::read(name, path));
        Ok(Self { healthy, calibration, test_sets: test_sets.collect::<Result<_, _>>()? })
    }

    /// The folders that a row trains on: those of these names, or all.
    ///
    /// # Errors
    /// [`ExperimentError::NoHealthy`].
    pub(crate) fn healthy_of(&self, row: &Row) -> Result<Vec<&HealthyScans>, ExperimentError> {
        let has = |folder: &&HealthyScans, name: &String| folder.name.as_ref() == Some(name);
        let missing = |name: &&String| !self.healthy.iter().any(|folder| has(&folder, name));
        if let Some(name) = row.healthy.iter().find(missing) {
            let (row, name) = (row.label.clone(), name.clone());
            return Err(ExperimentError::NoHealthy { row, name });
        }
        let chosen = |folder: &&HealthyScans| {
            row.healthy.is_empty() || row.healthy.iter().any(|name| has(folder, name))
        };
        Ok(self.healthy.iter().filter(chosen).collect())
    }
}

impl HealthyScans {
    fn read(from: &HealthyFolder) -> Result<Self, ExperimentError> {
        let scans = training_scans(from)?;
        let hash = |path: &PathBuf| HashedFile::of(path).map_err(disyre::Error::from);
        let hashes = scans.iter().map(hash).collect::<Result<_, _>>()?;
        Ok(Self { name: from.name.clone(), scans, hashes })
    }
}

/// The scans of a folder that train.
fn training_scans(from: &HealthyFolder) -> Result<Vec<PathBuf>, ExperimentError> {
    let HealthyFolder { folder, hold_out_every, exclude, .. } = from;
    if hold_out_every.is_some_and(|every| every < 2) {
        let (key, expected) = ("data.healthy.hold_out_every".into(), "at least 2");
        return Err(ExperimentError::Key { key, expected });
    }
    let list = list_scans(folder, &[]).and_then(|list| list.whole(folder));
    let scans = list.map_err(disyre::Error::from)?;
    let named = |name: &String| scans.iter().any(|scan| ScanName::of(scan).as_str() == name);
    if let Some(name) = exclude.iter().find(|name| !named(name)) {
        let (name, folder) = (name.clone(), folder.clone());
        return Err(ExperimentError::NotExcluded { name, folder });
    }
    let held = held_out(&scans, *hold_out_every);
    let trains = scans.iter().filter(|scan| {
        !held.contains(&subject_of(scan))
            && !exclude.iter().any(|name| ScanName::of(scan).as_str() == name)
    });
    Ok(trains.cloned().collect())
}

/// Every so many persons, in the order of their first scans: all scans of one person train, or none.
fn held_out(scans: &[PathBuf], every: Option<usize>) -> Vec<String> {
    let mut people: Vec<String> = Vec::new();
    for person in scans.iter().map(|scan| subject_of(scan)) {
        if !people.contains(&person) {
            people.push(person);
        }
    }
    every.map_or_else(Vec::new, |every| people.into_iter().skip(every - 1).step_by(every).collect())
}

impl TestSet {
    /// Reads a CSV file with the columns `scan,label[,mask][,subject]`; paths are relative to it.
    fn read(name: &str, path: &Path) -> Result<Self, ExperimentError> {
        let fail = |source| ExperimentError::Cases { path: path.to_owned(), source };
        let text = std::fs::read(path).map_err(ExperimentError::io("read", path))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&text[..]);
        let lines: Vec<CaseLine> = reader.deserialize().collect::<Result<_, _>>().map_err(fail)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let cases = lines.into_iter().map(|line| TestCase::find(line, folder));
        let cases: Vec<TestCase> = cases.collect::<Result<_, _>>()?;
        ensure_names(&cases, path)?;
        match cases.is_empty() {
            true => Err(ExperimentError::NoCases { path: path.to_owned() }),
            false => Ok(Self { name: name.to_owned(), cases }),
        }
    }
}

/// Checks that the names of cases are names of different files; some systems do not tell cases of letters apart.
fn ensure_names(cases: &[TestCase], path: &Path) -> Result<(), ExperimentError> {
    let mut names: Vec<String> = cases.iter().map(|case| case.name.to_lowercase()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let (path, name) = (path.to_owned(), twice[0].to_owned());
        return Err(ExperimentError::SameCase { path, name });
    }
    match cases.iter().find(|case| case.name.is_empty() || case.name.len() > LONGEST_CASE) {
        Some(TestCase { name, .. }) => {
            let (what, name) = ("the case", name.clone());
            Err(ExperimentError::Name { what, name, most: LONGEST_CASE })
        }
        None => Ok(()),
    }
}

impl TestCase {
    fn find(line: CaseLine, folder: &Path) -> Result<Self, ExperimentError> {
        let beside = |file: Option<PathBuf>| {
            file.filter(|file| !file.as_os_str().is_empty()).map(|file| folder.join(file))
        };
        let scan = folder.join(line.scan);
        let (label, mask) = (beside(line.label), beside(line.mask));
        let hash = |path: &PathBuf| Ok::<_, disyre::Error>(HashedFile::of(path)?.sha256);
        let hashes = CaseHashes {
            scan: hash(&scan)?,
            label: label.as_ref().map(hash).transpose()?,
            mask: mask.as_ref().map(hash).transpose()?,
        };
        let name = ScanName::of(&scan);
        let subject = line.subject.filter(|subject| !subject.is_empty());
        let subject = subject.unwrap_or_else(|| subject_of(&scan));
        let case = Self { name: name.to_string(), subject, scan, label, mask, hashes };
        case.ensure_one_grid().map_err(disyre::Error::from)?;
        Ok(case)
    }

    /// Checks the headers of its files: label and brain mask lie on the grid of the scan.
    fn ensure_one_grid(&self) -> Result<(), VolumeError> {
        let scan = ScanHeader::read(&self.scan)?;
        let mut masks = self.label.iter().chain(&self.mask);
        masks.try_for_each(|path| ensure_mask_fits(&ScanHeader::read(path)?, &scan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre::core::{Grid, Volume};
    use disyre::volume::write_volume;
    use std::fs;

    fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (index, name) in names.iter().enumerate() {
            write(&folder.path().join(name), [2, 2, 2], index as f32);
        }
        folder
    }

    /// A scan of one value.
    fn write(path: &Path, shape: [usize; 3], value: f32) {
        let mut volume = Volume::zeros(Grid::from_spacing(shape, [1.0; 3]));
        volume.data.fill(value);
        write_volume(path, &volume).unwrap();
    }

    #[test]
    fn every_third_scan_and_those_that_are_named_are_left_out() {
        let folder = folder_of(&["f.nii", "a.nii", "c.nii", "b.nii", "e.nii", "d.nii", "g.nii"]);
        let mut healthy = HealthyFolder {
            folder: folder.path().to_owned(),
            name: None,
            hold_out_every: Some(3),
            exclude: vec!["d".into()],
        };
        let scans = training_scans(&healthy).unwrap();
        let names: Vec<String> = scans.iter().map(|scan| ScanName::of(scan).to_string()).collect();
        assert_eq!(names, ["a", "b", "e", "g"]);
        healthy.exclude.push("x".into());
        let message = training_scans(&healthy).unwrap_err().to_string();
        assert!(message.starts_with("data.healthy excludes x, but "), "{message}");
        healthy.hold_out_every = Some(1);
        let message = training_scans(&healthy).unwrap_err().to_string();
        assert_eq!(message, "data.healthy.hold_out_every must be at least 2");
    }

    #[test]
    fn cases_are_read_relative_to_their_list_and_hashed() {
        let folder = folder_of(&["a.nii", "l.nii", "b.nii"]);
        let list = folder.path().join("cases.csv");
        let read = |text: &str| {
            fs::write(&list, text).unwrap();
            TestSet::read("real", &list)
        };
        let set = read("scan,label,mask\na.nii,l.nii,\nb.nii,,a.nii\n").unwrap();
        let [a, b] = &set.cases[..] else { panic!("two cases") };
        assert_eq!(
            (a.name.as_str(), &a.label, &a.mask),
            ("a", &Some(folder.path().join("l.nii")), &None)
        );
        assert_eq!((b.name.as_str(), &b.label), ("b", &None));
        assert_eq!(b.hashes.mask.as_ref(), Some(&a.hashes.scan));
        assert!(matches!(read("scan,label\n"), Err(ExperimentError::NoCases { .. })));
        assert!(matches!(read("map,label\na,b\n"), Err(ExperimentError::Cases { .. })));
        let twice = read("scan,label\na.nii,l.nii\na.nii,l.nii\n");
        assert!(matches!(twice, Err(ExperimentError::SameCase { name, .. }) if name == "a"));
        let missing = read("scan,label\na.nii,none.nii\n").unwrap_err();
        assert!(matches!(missing, ExperimentError::Pipeline(_)), "{missing}");
        let name = "x".repeat(LONGEST_CASE + 1);
        write(&folder.path().join(format!("{name}.nii")), [2, 2, 2], 1.0);
        let long = read(&format!("scan,label\n{name}.nii,\n"));
        assert!(matches!(long, Err(ExperimentError::Name { .. })));
    }

    #[test]
    fn a_label_on_another_grid_is_refused_by_its_header() {
        let folder = folder_of(&["a.nii"]);
        write(&folder.path().join("l.nii"), [2, 2, 3], 1.0);
        let list = folder.path().join("cases.csv");
        fs::write(&list, "scan,label\na.nii,l.nii\n").unwrap();
        let message = TestSet::read("real", &list).unwrap_err().to_string();
        assert!(message.contains("l.nii") && message.contains("[2, 2, 3]"), "{message}");
    }

    #[test]
    fn scores_are_passed_over_and_the_subject_is_given_or_that_of_the_name() {
        let folder = folder_of(&["sub-01_ses-1_T1w.nii", "b.nii"]);
        let list = folder.path().join("pairs.csv");
        let text =
            "score,label,mask,scan,subject\nnone.nii,b.nii,,sub-01_ses-1_T1w.nii,\n,,,b.nii,anna\n";
        fs::write(&list, text).unwrap();
        let set = TestSet::read("real", &list).unwrap();
        assert_eq!([&set.cases[0].subject, &set.cases[1].subject], ["sub-01", "anna"]);
    }
}
