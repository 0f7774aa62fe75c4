//! [`CalibrationScans`]: healthy scans for the maps, and others for the thresholds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use disyre_core::Key;
use disyre_core::rand::RngExt;
use disyre_volume::{ScanName, subject_of};

/// Healthy scans of a calibration, split by subject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CalibrationScans {
    /// For mean and deviation at each place.
    pub maps: Vec<PathBuf>,
    /// For thresholds: one of each of other subjects, none of whom trained the network.
    pub thresholds: Vec<PathBuf>,
    /// Further scans of these subjects, which serve neither: two scans of one brain are more alike than those of two, so
    /// that thresholds by both would promise more than they keep, and no scan of theirs may be behind the maps.
    pub unused: Vec<PathBuf>,
}

/// Splits healthy scans: half of the subjects that did not train the network, rounded down, are for the thresholds, with one
/// scan each, all others for the maps. Fewer than `least` scans for thresholds are none.
///
/// Subjects are ordered by a hash of their names, so that the split depends on the names alone. Lists keep the order of the
/// scans; the first scan of a subject is the one for thresholds.
///
/// ```
/// use disyre::split_scans;
///
/// let scans: Vec<_> = (0..8).map(|i| format!("sub-{}_ses-{}_T1w.nii.gz", i / 2, i % 2).into()).collect();
/// let split = split_scans(&scans, &["sub-3_ses-0_T1w".to_owned()], 1);
/// assert_eq!((split.thresholds.len(), split.maps.len()), (1, 6)); // one of three subjects, one of its two scans
/// assert!(split.maps.contains(&scans[6]) && split.maps.contains(&scans[7]));
/// assert!(split_scans(&scans, &[], 9).thresholds.is_empty());
/// ```
pub fn split_scans(scans: &[PathBuf], trained: &[String], least: usize) -> CalibrationScans {
    let name = |path: &PathBuf| ScanName::of(path);
    let subject = |path: &PathBuf| subject_of(path);
    let mut subjects: BTreeMap<String, bool> = BTreeMap::new();
    for scan in scans {
        *subjects.entry(subject(scan)).or_default() |= trained.contains(&name(scan).to_string());
    }
    for scan in trained {
        let of = subject_of(Path::new(scan));
        subjects.entry(of).and_modify(|trained| *trained = true);
    }
    let new = subjects.into_iter().filter(|(_, trained)| !trained);
    let mut new: Vec<(u64, String)> =
        new.map(|(name, _)| (Key::new(0).child(name.as_str()).rng().random(), name)).collect();
    new.sort_unstable();
    new.truncate(new.len() / 2);
    if new.len() < least {
        return CalibrationScans { maps: scans.to_vec(), ..CalibrationScans::default() };
    }
    let mut left: BTreeSet<String> = new.iter().map(|(_, name)| name.clone()).collect();
    let mut split = CalibrationScans::default();
    for scan in scans {
        let subject = subject(scan);
        let list = match new.iter().any(|(_, name)| *name == subject) {
            false => &mut split.maps,
            true if left.remove(&subject) => &mut split.thresholds,
            true => &mut split.unused,
        };
        list.push(scan.clone());
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_not_split_and_the_order_of_the_scans_does_not_matter() {
        let name = |i: usize| PathBuf::from(format!("sub-{}_run-{}_T1w.nii.gz", i % 10, i / 10));
        let scans: Vec<PathBuf> = (0..30).map(name).collect();
        let split = split_scans(&scans, &[], 1);
        let lengths = [&split.maps, &split.thresholds, &split.unused].map(Vec::len);
        assert_eq!(lengths, [15, 5, 10], "one scan of each of five subjects");
        let subject = |path: &PathBuf| subject_of(path);
        let of_thresholds: Vec<_> = split.thresholds.iter().map(subject).collect();
        assert!(split.maps.iter().all(|scan| !of_thresholds.contains(&subject(scan))));
        assert!(split.unused.iter().all(|scan| of_thresholds.contains(&subject(scan))));
        assert!(split.thresholds.iter().all(|scan| scan.to_string_lossy().contains("run-0")));
        let reversed: Vec<PathBuf> = scans.iter().rev().cloned().collect();
        let mut again: Vec<_> =
            split_scans(&reversed, &[], 1).thresholds.iter().map(subject).collect();
        again.reverse();
        assert_eq!(again, of_thresholds);
        // Which subjects these are does not follow from their order.
        assert_ne!(split.thresholds[..5], scans[..5]);
    }
}
