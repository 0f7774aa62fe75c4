//! Findings of scans that come twice: equal voxels, one name, one person.

use std::collections::BTreeMap;
use std::path::PathBuf;

use disyre_volume::{ScanName, path_text, subject_of};

use super::scan_check::ScanCheck;
use super::{CheckFinding, CheckTopic};

/// Adds the findings of scans that come twice.
pub(super) fn compare(checks: &mut [ScanCheck]) {
    let voxels = groups(checks, |check| check.voxels.as_ref().map(|voxels| voxels.sha256.clone()));
    add(checks, &voxels, |others| {
        let problem = format!("it has the same voxels as {others}");
        CheckFinding::fail(CheckTopic::Duplicates, problem, "keep one of them")
    });
    let names = groups(checks, |check| Some(ScanName::of(&check.path).to_string()));
    add(checks, &names, |others| {
        let problem =
            format!("it has the name of {others}, so that outputs and records mix them up");
        CheckFinding::fail(CheckTopic::Duplicates, problem, "keep one of them, or rename it")
    });
    let people = groups(checks, |check| Some(subject_of(&check.path)));
    add(checks, &people, |others| {
        let problem = format!("it is of the same person as {others}, by its name");
        let fix = "nothing, if so: all of them train, or all validate; else rename them";
        CheckFinding::warn(CheckTopic::Duplicates, problem, fix)
    });
}

/// Positions of the scans of each key.
fn groups(checks: &[ScanCheck], key: impl Fn(&ScanCheck) -> Option<String>) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, check) in checks.iter().enumerate() {
        if let Some(key) = key(check) {
            groups.entry(key).or_default().push(index);
        }
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn add(checks: &mut [ScanCheck], groups: &[Vec<usize>], finding: impl Fn(&str) -> CheckFinding) {
    let paths: Vec<PathBuf> = checks.iter().map(|check| check.path.clone()).collect();
    for (group, &index) in groups.iter().flat_map(|g| g.iter().map(move |index| (g, index))) {
        let others = group.iter().filter(|other| **other != index);
        let others: Vec<String> = others.map(|&other| path_text(&paths[other])).collect();
        checks[index].findings.push(finding(&others.join(", ")));
    }
}
