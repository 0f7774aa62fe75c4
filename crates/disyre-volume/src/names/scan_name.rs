//! The name of a scan and the names of its outputs.
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::subject::person;

/// Descriptions of the maps that `disyre detect` writes.
const OUTPUTS: [&str; 5] = ["anomalyscore", "restored", "signed", "uncertainty", "findings"];

/// Name of a scan: its file's without `.nii` or `.nii.gz`, in either case.
///
/// Bytes that are not UTF-8 are written as `%` and two hexadecimal digits, so that different names stay different and
/// any name can be printed.
///
/// ```
/// use disyre_volume::ScanName;
/// use std::path::Path;
///
/// let scan = ScanName::of(Path::new("scans/sub-01_ses-2_T1w.nii.gz"));
/// assert_eq!(scan.as_str(), "sub-01_ses-2_T1w");
/// assert_eq!(scan.entity("ses"), Some("2"));
/// assert_eq!(scan.subject(), "sub-01");
///
/// let map = scan.output("anomalyscore");
/// assert_eq!(map.file("nii.gz"), Path::new("sub-01_ses-2_desc-anomalyscore_T1w.nii.gz"));
/// assert_eq!(map.source(), scan);
/// ```
#[doc(alias = "scan_name")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScanName(String);

impl ScanName {
    /// Name of the scan in a file.
    pub fn of(path: &Path) -> Self {
        let mut name = text(path.file_name().unwrap_or_default());
        let lower = name.to_ascii_lowercase();
        let extension = [".nii.gz", ".nii"].into_iter().find(|end| lower.ends_with(end));
        name.truncate(name.len() - extension.map_or(0, str::len));
        Self(name)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Value of the first entity with this key, as `01` for the key `sub` of `sub-01_T1w`.
    pub fn entity(&self, key: &str) -> Option<&str> {
        self.parts().filter_map(entity).find(|entity| entity.0 == key).map(|entity| entity.1)
    }

    /// Last part of a name whose first part is an entity, as `T1w` of `sub-01_T1w`, unless it is an entity too.
    pub fn suffix(&self) -> Option<&str> {
        let (first, last) = (self.parts().next()?, self.0.rsplit_once('_')?.1);
        (is_entity(first) && !is_entity(last)).then_some(last)
    }

    /// Name of the person: see [`subject_of`](super::subject_of), which knows the folders too.
    pub fn subject(&self) -> String {
        person(self)
    }

    /// Name of an output, in the manner of BIDS: `desc-DESCRIPTION`, the suffix last.
    ///
    /// A `desc` that the name already has is kept in front of the new one, so that different scans get different names.
    ///
    /// ```
    /// # use disyre_volume::ScanName;
    /// # use std::path::Path;
    /// let name = |scan| ScanName::of(Path::new(scan)).output("mask").to_string();
    /// assert_eq!(name("patient 7.nii"), "patient 7_desc-mask");
    /// assert_eq!(name("sub-01_desc-preproc_T1w.nii"), "sub-01_desc-preprocmask_T1w");
    /// ```
    #[doc(alias = "output_name")]
    pub fn output(&self, description: &str) -> Self {
        let mut parts: Vec<String> = self.parts().map(str::to_owned).collect();
        if let Some(desc) = parts.iter_mut().find(|part| is_desc(part)) {
            desc.push_str(description);
        } else {
            let at = parts.len() - usize::from(self.suffix().is_some());
            parts.insert(at, format!("desc-{description}"));
        }
        Self(parts.join("_"))
    }

    /// Name of the scan that this is an output of ([`output`](Self::output) undone), or the name itself if it is none.
    pub fn source(&self) -> Self {
        let undone = OUTPUTS.iter().find_map(|description| self.without(description));
        undone.unwrap_or_else(|| self.clone())
    }

    /// Whether this is the name of a map that `disyre detect` wrote.
    pub fn is_output(&self) -> bool {
        OUTPUTS.iter().any(|description| self.is_output_of(description))
    }

    /// Whether this is the name of an output of this description, as `anomalyscore`.
    pub fn is_output_of(&self, description: &str) -> bool {
        self.without(description).is_some()
    }

    /// The name with an extension, which is given without its dot.
    pub fn file(&self, extension: &str) -> PathBuf {
        PathBuf::from(format!("{}.{extension}", self.0))
    }

    /// The parts between underscores.
    pub(super) fn parts(&self) -> std::str::Split<'_, char> {
        self.0.split('_')
    }

    /// The name without its `desc` and its suffix, as `sub-01` for `sub-01_desc-preproc_T1w`.
    pub(super) fn without_desc_and_suffix(&self) -> String {
        let all = self.parts().count();
        let kept = self.parts().take(all - usize::from(self.suffix().is_some()));
        kept.filter(|part| !is_desc(part)).collect::<Vec<_>>().join("_")
    }

    /// Name whose output of this description this is.
    fn without(&self, description: &str) -> Option<Self> {
        let mut parts: Vec<&str> = self.parts().collect();
        let at = parts.iter().position(|part| is_desc(part))?;
        parts[at] = parts[at].strip_suffix(description)?;
        if parts[at] == "desc-" {
            parts.remove(at);
        }
        Some(Self(parts.join("_")))
    }
}

impl fmt::Display for ScanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Key and value of a part, if it is an entity.
pub(super) fn entity(part: &str) -> Option<(&str, &str)> {
    part.split_once('-').filter(|(key, value)| !key.is_empty() && !value.is_empty())
}

pub(super) fn is_entity(part: &str) -> bool {
    entity(part).is_some()
}

fn is_desc(part: &str) -> bool {
    entity(part).is_some_and(|(key, _)| key == "desc")
}

/// A path as text for JSON, CSV and messages: bytes that are not UTF-8 as `%` and two hexadecimal digits.
///
/// ```
/// # use std::path::Path;
/// assert_eq!(disyre_volume::path_text(Path::new("scans/Zürich.nii")), "scans/Zürich.nii");
/// ```
pub fn path_text(path: &Path) -> String {
    text(path.as_os_str())
}

fn text(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(file: &str) -> ScanName {
        ScanName::of(Path::new(file))
    }

    #[test]
    fn a_scan_is_named_without_its_extensions() {
        assert_eq!(name("a/sub-01_T1w.nii.gz").as_str(), "sub-01_T1w");
        assert_eq!(name("X.NII").as_str(), "X");
        assert_eq!(name("notes.gz").as_str(), "notes.gz");
        assert_eq!(name("").as_str(), "");
    }

    #[test]
    fn names_that_are_not_bids_get_the_description_last() {
        let output = |file| name(file).output("mask").to_string();
        assert_eq!(output("T1.NII.GZ"), "T1_desc-mask");
        assert_eq!(output("ms07_t1.nii.gz"), "ms07_t1_desc-mask");
        assert_eq!(output("sub-01.nii"), "sub-01_desc-mask");
        assert_eq!(output("sub-01_desc-brain_T1w.nii"), "sub-01_desc-brainmask_T1w");
        assert_eq!(output("noextension"), "noextension_desc-mask");
    }

    #[test]
    fn an_output_is_told_from_a_scan() {
        assert!(name("sub-1_desc-preprocanomalyscore_T1w.nii").is_output());
        assert!(name("P1_desc-restored.nii").is_output());
        assert!(!name("P1_desc-restored.nii").is_output_of("anomalyscore"));
        assert!(!name("anomalyscore_T1w.nii").is_output());
        assert_eq!(name("sub-01_T1w.nii").source(), name("sub-01_T1w.nii"));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf8_differ_and_can_be_printed() {
        use std::os::unix::ffi::OsStrExt;
        let of = |bytes| ScanName::of(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(of(b"a_M\xfcnchen.nii.gz").as_str(), "a_M%FCnchen");
        assert_ne!(of(b"\xfc.nii"), of(b"\xf6.nii"));
        assert_eq!(of(b"M\xc3\xbcnchen.nii").as_str(), "München");
    }

    proptest! {
        #[test]
        fn the_source_of_an_output_is_the_scan(
            scan in "[a-zT12_-]{0,24}|sub-[0-9]_(desc-[a-z]{1,8}_)?T1w",
            which in 0..OUTPUTS.len(),
        ) {
            let scan = ScanName(scan);
            let output = scan.output(OUTPUTS[which]);
            prop_assert!(output.is_output());
            // Where both descriptions follow each other, the scan is itself an output of the scan before.
            prop_assert_eq!(output.without(OUTPUTS[which]), Some(scan));
        }

        #[test]
        fn an_output_read_from_its_file_has_the_same_name(scan in "[ -.0-~]{1,20}") {
            let output = ScanName(scan).output("restored");
            prop_assert_eq!(ScanName::of(&output.file("nii.gz")), output);
        }
    }
}
