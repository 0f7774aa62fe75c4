//! Findings of the entries of a folder that are no scans, or are not read.

use std::fs;
use std::path::{Path, PathBuf};

use disyre_volume::{PassedOver, PassedOverReason};

use super::{CheckFinding, CheckLevel, CheckTopic, CheckedFile};

/// Endings of images in other formats than those that are read, in small letters.
const OTHER_FORMATS: [&str; 15] = [
    ".mgz", ".mgh", ".img", ".hdr", ".img.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mnc", ".dcm",
    ".nii.bz2", ".nii.xz", ".nii.zst", ".nii.zip",
];

/// Findings of files that are passed over.
pub(super) fn passed_over(files: &[PassedOver]) -> Vec<CheckedFile> {
    let file = |PassedOver { path, reason }: &PassedOver| {
        let level = match reason {
            PassedOverReason::Output => CheckLevel::Pass,
            PassedOverReason::InSubfolder => CheckLevel::Fail,
            _ => CheckLevel::Warn,
        };
        let fix = match reason {
            PassedOverReason::Output => "",
            PassedOverReason::InSubfolder => {
                "check and give each folder of scans by itself, or move the scans up"
            }
            _ => {
                "keep masks and segmentations in a folder of their own (masks: give it with --mask)"
            }
        };
        let problem = format!("it is {reason}, and not read as a scan");
        let topic = CheckTopic::Listing;
        CheckedFile::new(path, vec![CheckFinding { topic, level, problem, fix: fix.to_owned() }])
    };
    files.iter().map(file).collect()
}

/// Findings of images in other formats.
pub(super) fn other_formats(folder: &Path) -> Vec<CheckedFile> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_other = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        !name.starts_with('.') && OTHER_FORMATS.iter().any(|ending| name.ends_with(ending))
    };
    let finding = || {
        let problem = "it is an image in a format that is not read";
        CheckFinding::warn(CheckTopic::Listing, problem, "convert it to .nii.gz, or take it out")
    };
    let files = entries.map(|entry| entry.path()).filter(is_other);
    files.map(|path| CheckedFile::new(&path, vec![finding()])).collect()
}
