//! [`Data`]: the scans of an experiment, found, named and hashed.

use std::path::{Path, PathBuf};

use disyre::HashedFile;
use disyre::volume::{ScanName, find_scans};
use serde::{Deserialize, Serialize};

use crate::{DataFiles, ExperimentError, HealthyFolder};

/// Healthy scans that train, and test sets.
#[derive(Debug, Clone)]
pub struct Data {
    /// Healthy scans.
    pub healthy: Vec<PathBuf>,
    /// Their names and hashes.
    pub healthy_hashes: Vec<HashedFile>,
    /// Test sets.
    pub test_sets: Vec<TestSet>,
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
}

impl Data {
    /// Finds all scans of an experiment and hashes them.
    ///
    /// # Errors
    /// [`ExperimentError::Cases`] and the like naming the list, [`ExperimentError::Pipeline`] naming a file that is not
    /// there.
    pub fn read(files: &DataFiles) -> Result<Self, ExperimentError> {
        if files.test_sets.is_empty() {
            let expected = "at least one list of cases";
            return Err(ExperimentError::Key { key: "data.test_sets".into(), expected });
        }
        let mut healthy = Vec::new();
        for folder in &files.healthy {
            healthy.extend(training_scans(folder)?);
        }
        let hashes = healthy.iter().map(|path| HashedFile::of(path));
        let healthy_hashes = hashes.collect::<Result<_, _>>()?;
        let sets = files.test_sets.iter();
        let test_sets = sets.map(|(name, path)| TestSet::read(name, path));
        Ok(Self { healthy, healthy_hashes, test_sets: test_sets.collect::<Result<_, _>>()? })
    }
}

/// The scans of a folder that train.
fn training_scans(from: &HealthyFolder) -> Result<Vec<PathBuf>, ExperimentError> {
    let HealthyFolder { folder, hold_out_every, exclude } = from;
    if hold_out_every.is_some_and(|every| every < 2) {
        let (key, expected) = ("data.healthy.hold_out_every".into(), "at least 2");
        return Err(ExperimentError::Key { key, expected });
    }
    let scans = find_scans(folder).map_err(disyre::Error::from)?;
    let named = |name: &String| scans.iter().any(|scan| ScanName::of(scan).as_str() == name);
    if let Some(name) = exclude.iter().find(|name| !named(name)) {
        let (name, folder) = (name.clone(), folder.clone());
        return Err(ExperimentError::NotExcluded { name, folder });
    }
    let held = |index: usize| hold_out_every.is_some_and(|every| (index + 1).is_multiple_of(every));
    let trains = scans.iter().enumerate().filter(|(index, scan)| {
        !held(*index) && !exclude.iter().any(|name| ScanName::of(scan).as_str() == name)
    });
    Ok(trains.map(|(_, scan)| scan.clone()).collect())
}

impl TestSet {
    /// Reads a CSV file with the columns `scan,label[,mask]`; paths are relative to it.
    fn read(name: &str, path: &Path) -> Result<Self, ExperimentError> {
        let fail = |source| ExperimentError::Cases { path: path.to_owned(), source };
        let text = std::fs::read(path).map_err(ExperimentError::io("read", path))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&text[..]);
        let lines: Vec<CaseLine> = reader.deserialize().collect::<Result<_, _>>().map_err(fail)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let cases = lines.into_iter().map(|line| TestCase::find(line, folder));
        let cases: Vec<TestCase> = cases.collect::<Result<_, _>>()?;
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let (path, name) = (path.to_owned(), twice[0].to_owned());
            return Err(ExperimentError::SameCase { path, name });
        }
        match cases.is_empty() {
            true => Err(ExperimentError::NoCases { path: path.to_owned() }),
            false => Ok(Self { name: name.to_owned(), cases }),
        }
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
        Ok(Self { name: ScanName::of(&scan).to_string(), scan, label, mask, hashes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| fs::write(folder.path().join(name), name).unwrap());
        folder
    }

    #[test]
    fn every_third_scan_and_those_that_are_named_are_left_out() {
        let folder = folder_of(&["f.nii", "a.nii", "c.nii", "b.nii", "e.nii", "d.nii", "g.nii"]);
        let mut healthy = HealthyFolder {
            folder: folder.path().to_owned(),
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
    }
}
