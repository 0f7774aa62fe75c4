//! The one rule by which a file belongs to a scan; [`SidecarFiles`](super::SidecarFiles) asks it.
use std::cmp::Reverse;

use super::scan_name::{ScanName, entity, is_entity};

/// Keys of entities that say what a file shows; all others say which scan it belongs to.
const DESCRIBING: [&str; 4] = ["desc", "label", "seg", "atlas"];

/// Contrasts, as names end in them, in lower case.
const CONTRASTS: [&str; 30] = [
    "t1",
    "t1w",
    "t1c",
    "t1ce",
    "t1gd",
    "t1n",
    "t1map",
    "t2",
    "t2w",
    "t2f",
    "t2map",
    "t2star",
    "t2starw",
    "flair",
    "pd",
    "pdw",
    "pdt2",
    "unit1",
    "inplanet1",
    "inplanet2",
    "mprage",
    "swi",
    "angio",
    "adc",
    "dwi",
    "asl",
    "bold",
    "sbref",
    "ct",
    "pet",
];

/// How a file's name continues the name of the scan that it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Belonging<'a> {
    /// Parts that only the file's name has, in order.
    pub(super) added: Vec<&'a str>,
    /// Whether the file's name keeps all words of the scan's, as `sub-01_T1w_mask` does for `sub-01_T1w`.
    pub(super) keeps_words: bool,
    /// Parts in common, and parts that only the scan's name has: of several scans, the greatest is closest.
    pub(super) closeness: (usize, Reverse<usize>),
}

/// Tells whether a file belongs to a scan.
///
/// - Both have the same entities, apart from those that describe (`desc`, `label`, `seg`, `atlas`).
/// - The scan's words come first in the file's name. The last, if it is a suffix or a contrast, may be missing or stand
///   after added words: `sub-01_lesion_T1w` belongs to `sub-01_T1w`.
/// - What the file adds is for [`SidecarKind`](super::SidecarKind) to judge.
/// - A file that ends as the scan does keeps its `desc`, or describes a scan without one.
pub(super) fn belonging<'a>(scan: &ScanName, file: &'a ScanName) -> Option<Belonging<'a>> {
    if identifying(scan) != identifying(file) {
        return None;
    }
    let (words, contrast) = words_and_contrast(scan);
    let rest: Vec<&str> = file.parts().filter(|part| !is_entity(part)).collect();
    let rest = rest.strip_prefix(words.as_slice())?;
    let at = rest.iter().position(|word| contrast == Some(*word));
    let mut rest = rest.to_vec();
    let keeps_contrast = at.map(|at| rest.remove(at)).is_some();
    let desc = (scan.entity("desc"), file.entity("desc"));
    if keeps_contrast && rest.is_empty() && desc.0.is_some() && desc.0 != desc.1 {
        return None;
    }
    let describes = |part: &&str| {
        entity(part).is_some_and(|(key, value)| {
            DESCRIBING.contains(&key) && scan.entity(key) != Some(value)
        })
    };
    let mut rest = rest.iter().peekable();
    let added = file.parts().filter(|part| describes(part) || rest.next_if_eq(&part).is_some());
    let added: Vec<&str> = added.collect();
    let common = file.parts().count() - added.len();
    let closeness = (common, Reverse(scan.parts().count().saturating_sub(common)));
    let keeps_words = keeps_contrast || contrast.is_none();
    Some(Belonging { added, keeps_words, closeness })
}

/// Whether the names of two scans differ in contrast and description only, as `sub-01_T1w` and `sub-01_FLAIR`.
pub(super) fn is_same_session(a: &ScanName, b: &ScanName) -> bool {
    identifying(a) == identifying(b) && words_and_contrast(a).0 == words_and_contrast(b).0
}

/// Entities that say which scan a file belongs to, sorted.
fn identifying(name: &ScanName) -> Vec<&str> {
    let identifies = |part: &&str| entity(part).is_some_and(|(key, _)| !DESCRIBING.contains(&key));
    let mut entities: Vec<&str> = name.parts().filter(identifies).collect();
    entities.sort_unstable();
    entities
}

/// Parts of a scan's name that are no entities, and the last of them apart if it is a suffix or a contrast.
fn words_and_contrast(scan: &ScanName) -> (Vec<&str>, Option<&str>) {
    let mut words: Vec<&str> = scan.parts().filter(|part| !is_entity(part)).collect();
    let last = scan.as_str().rsplit_once('_').map(|(_, last)| last);
    let contrast = scan.suffix().or(last.filter(|last| is_contrast(last)));
    words.truncate(words.len() - usize::from(contrast.is_some()));
    (words, contrast)
}

/// Whether a word is a contrast, as names end in them.
pub(super) fn is_contrast(word: &str) -> bool {
    CONTRASTS.contains(&word.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn added(scan: &str, file: &str) -> Option<String> {
        let [scan, file] = [scan, file].map(|name| ScanName::of(Path::new(name)));
        belonging(&scan, &file).map(|belonging| belonging.added.join("_"))
    }

    fn added_is(scan: &str, file: &str, expected: &str) {
        assert_eq!(added(scan, file).as_deref(), Some(expected), "{file} of {scan}");
    }

    #[test]
    fn a_file_adds_words_to_the_name_of_its_scan() {
        added_is("a", "a", "");
        added_is("a", "a_desc-brain_mask", "desc-brain_mask");
        added_is("sub-01_T1w", "sub-01_dseg", "dseg");
        added_is("sub-01_T1w", "sub-01_T1w_lesion", "lesion");
        added_is("sub-01_T1w", "sub-01_T1w_desc-brain_mask", "desc-brain_mask");
        added_is("sub-01_T1w", "sub-01_desc-lesion_T1w", "desc-lesion");
        added_is(
            "sub-01_ses-2_run-1_T1w",
            "sub-01_ses-2_run-1_label-lesion_mask",
            "label-lesion_mask",
        );
        added_is("IXI01-HH-12_T1", "IXI01-HH-12_DLMUSE", "DLMUSE");
        added_is("ms07_t1", "ms07_brain", "brain");
        added_is("stroke-1", "stroke-1_lesion", "lesion");
        added_is("sub-01_T1w", "sub-01_lesion_T1w", "lesion");
        added_is("ms07_t1", "ms07_lesion_t1", "lesion");
        added_is("sub-01_T1w", "sub-01_FLAIR_lesion", "FLAIR_lesion");
        added_is("P1", "P1_2_lesion", "2_lesion");
    }

    #[test]
    fn a_desc_of_the_scan_may_give_way_to_that_of_the_file() {
        let scan = "sub-01_desc-preproc_T1w";
        added_is(scan, scan, "");
        added_is(scan, "sub-01_desc-brain_mask", "desc-brain_mask");
        added_is(scan, "sub-01_desc-preproc_mask", "mask");
        added_is(scan, "sub-01_label-lesion_mask", "label-lesion_mask");
        assert_eq!(added(scan, "sub-01_T1w"), None);
        assert_eq!(added(scan, "sub-01_desc-raw_T1w"), None);
    }

    #[test]
    fn whole_parts_match_never_prefixes_of_text() {
        for (scan, file) in [
            ("P1", "P1-2"),
            ("P1", "P1-2_lesion"),
            ("P1", "P10_lesion"),
            ("a", "a-aseg"),
            ("a", "ab"),
            ("IXI01-HH-12_T1", "IXI01-HH-122_DLMUSE"),
            ("sub-1_T1w", "sub-10_lesion"),
        ] {
            assert_eq!(added(scan, file), None, "{file} of {scan}");
        }
    }

    #[test]
    fn sessions_runs_and_spaces_are_scans_of_their_own() {
        for (scan, file) in [
            ("sub-01_ses-1_T1w", "sub-01_ses-2_lesion"),
            ("sub-01_ses-1_T1w", "sub-01_lesion"),
            ("sub-01_T1w", "sub-01_ses-1_lesion"),
            ("sub-01_run-1_T1w", "sub-01_run-2_T1w"),
            ("sub-01_T1w", "sub-01_space-MNI_desc-brain_mask"),
        ] {
            assert_eq!(added(scan, file), None, "{file} of {scan}");
        }
    }
}
