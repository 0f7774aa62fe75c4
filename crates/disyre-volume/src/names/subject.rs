//! Whose scan a file is; every split between people asks here.
use std::path::Path;

use super::belonging::is_contrast;
use super::scan_name::{ScanName, entity, is_entity, path_text};

/// Keys of entities that tell scans of one person apart.
const OF_A_SCAN: [&str; 31] = [
    "ses", "session", "visit", "run", "scan", "acq", "ce", "rec", "dir", "echo", "part", "chunk",
    "inv", "flip", "mt", "mod", "task", "space", "res", "den", "hemi", "desc", "label", "seg",
    "atlas", "time", "tp", "month", "year", "implant", "sample",
];

/// Words that tell scans of one person apart, alone or before a number.
const WORDS: [&str; 32] = [
    "ses",
    "session",
    "visit",
    "run",
    "scan",
    "mr",
    "tp",
    "time",
    "timepoint",
    "month",
    "year",
    "week",
    "day",
    "fu",
    "followup",
    "baseline",
    "bl",
    "pre",
    "post",
    "repeat",
    "retest",
    "brain",
    "stripped",
    "preproc",
    "n4",
    "mni",
    "anat",
    "std",
    "reg",
    "corrected",
    "corrupted",
    "clean",
];

/// Letters that do so before a number alone.
const LETTERS: [&str; 6] = ["v", "m", "y", "w", "d", "s"];

/// Name of the person whose scan a file is.
///
/// - The entity `sub-…` of the name, else that of the nearest folder.
/// - Else the name without what tells scans of one person apart: suffix, contrast, session, visit, run and the like.
///
/// Names that do not say whose scan it is count as persons of their own.
///
/// ```
/// use disyre_volume::subject_of;
/// use std::path::Path;
///
/// let person = |path| subject_of(Path::new(path));
/// assert_eq!(person("healthy/sub-01_ses-2_T1w.nii.gz"), "sub-01");
/// assert_eq!(person("sub-01/ses-2/anat/T1w.nii.gz"), "sub-01");
/// assert_eq!(person("ms07_t1.nii"), person("ms07_visit2_flair.nii"));
/// assert_ne!(person("P1.nii"), person("P1-2.nii"));
/// ```
pub fn subject_of(path: &Path) -> String {
    let name = ScanName::of(path);
    let folders = path.ancestors().skip(1).filter_map(Path::file_name);
    let folder = || folders.map(|folder| path_text(Path::new(folder))).find(|name| is_sub(name));
    sub_entity(&name).or_else(folder).unwrap_or_else(|| person(&name))
}

/// The person by a name alone.
pub(super) fn person(name: &ScanName) -> String {
    sub_entity(name).unwrap_or_else(|| {
        let suffix = usize::from(name.suffix().is_some());
        let parts: Vec<&str> = name.parts().collect();
        let (first, rest) = parts[..parts.len() - suffix].split_at(1);
        let rest = rest.iter().filter(|part| !tells_scans_apart(part));
        first.iter().chain(rest).copied().collect::<Vec<_>>().join("_")
    })
}

fn sub_entity(name: &ScanName) -> Option<String> {
    name.parts().find(|part| is_sub(part)).map(str::to_owned)
}

fn is_sub(part: &str) -> bool {
    entity(part).is_some_and(|(key, _)| key == "sub") && !part.contains('_')
}

fn tells_scans_apart(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    if is_entity(part) {
        return entity(&lower).is_some_and(|(key, _)| OF_A_SCAN.contains(&key));
    }
    let word = lower.trim_end_matches(|c: char| c.is_ascii_digit());
    is_contrast(part)
        || WORDS.contains(&lower.as_str())
        || WORDS.contains(&word)
        || (LETTERS.contains(&word) && word != lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person_of(path: &str) -> String {
        subject_of(Path::new(path))
    }

    #[test]
    fn scans_of_one_person_have_one_name() {
        for (person, scans) in [
            ("sub-01", ["sub-01_ses-1_T1w", "sub-01_run-2_FLAIR", "sub-01_desc-preproc_T1w"]),
            (
                "IXI01-HH-12",
                ["IXI01-HH-12_T1", "IXI01-HH-12_ses-2_T2", "IXI01-HH-12_implant-3_T1w"],
            ),
            ("ms07", ["ms07_t1", "ms07_flair", "ms07_visit2_t1"]),
            ("OAS1_0001", ["OAS1_0001_MR1", "OAS1_0001_MR2", "OAS1_0001"]),
            ("P1", ["P1_pre", "P1_post_T1w", "P1_m06"]),
        ] {
            for scan in scans {
                assert_eq!(person_of(&format!("a/{scan}.nii.gz")), person, "{scan}");
            }
        }
    }

    #[test]
    fn names_that_say_nothing_of_a_scan_are_whole() {
        for name in ["P1-2", "healthy-01", "stroke_2", "T1", "ses-1", "002_S_0295", "a"] {
            assert_eq!(person_of(name), name);
        }
    }

    #[test]
    fn a_folder_names_the_person_where_the_file_does_not() {
        assert_eq!(person_of("data/sub-02/ses-1/T1.nii"), "sub-02");
        assert_eq!(person_of("data/sub-02/sub-03_T1w.nii"), "sub-03");
        assert_eq!(person_of("sub-02_set/P1_t1.nii"), "P1");
    }
}
