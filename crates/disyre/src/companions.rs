use std::path::{Path, PathBuf};

use disyre_volume::{find_scans, scan_name};

use crate::Error;

/// A folder with one file for each scan: its segmentation, say, or its map of places.
#[derive(Debug, Clone)]
pub struct Companions {
    what: &'static str,
    folder: PathBuf,
    files: Vec<PathBuf>,
}

impl Companions {
    /// Lists a folder; `what` its files are, in the plural, is for messages.
    ///
    /// # Errors
    /// [`Error::Volume`] for a folder without NIfTI files.
    pub fn of(folder: &Path, what: &'static str) -> Result<Self, Error> {
        Ok(Self { what, folder: folder.to_owned(), files: find_scans(folder)? })
    }

    /// The file of a scan: its name starts with the scan's, or, for a BIDS name, with the part before the suffix
    /// (`sub-01_T1w` → `sub-01_dseg`).
    ///
    /// # Errors
    /// [`Error::Companion`] unless there is exactly one.
    pub fn find(&self, scan: &Path) -> Result<&Path, Error> {
        let name = scan_name(scan);
        let subject = match name.rsplit_once('_') {
            Some((subject, suffix)) if subject.contains('-') && !suffix.contains('-') => subject,
            _ => &name,
        };
        let fits = |file: &&PathBuf| {
            let candidate = scan_name(file);
            // `sub-1` goes with `sub-1_dseg`, not with `sub-10_dseg`.
            let rest = candidate.strip_prefix(subject);
            file.as_path() != scan
                && rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        };
        let found: Vec<&PathBuf> = self.files.iter().filter(fits).collect();
        match found.as_slice() {
            [file] => Ok(file),
            several => Err(Error::Companion {
                what: self.what,
                scan: scan.to_owned(),
                folder: self.folder.clone(),
                count: several.len(),
                subject: subject.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_among(scan: &str, files: &[&str]) -> Result<PathBuf, Error> {
        let files = files.iter().map(PathBuf::from).collect();
        let folder = Companions { what: "segmentations", folder: "s".into(), files };
        folder.find(Path::new(scan)).map(Path::to_owned)
    }

    #[test]
    fn a_file_is_found_by_the_name_of_its_scan() {
        for file in ["s/a.nii", "s/a_seg.nii.gz", "s/a_dseg.nii.gz", "s/a-aseg.nii"] {
            assert_eq!(find_among("t1/a.nii.gz", &["s/b.nii", file]).unwrap(), Path::new(file));
        }
        let bids = "s/sub-01_dseg.nii.gz";
        assert_eq!(find_among("t1/sub-01_T1w.nii.gz", &[bids]).unwrap(), Path::new(bids));
        let ixi = "s/IXI01-HH-12_DLMUSE.nii.gz";
        let among = ["s/IXI01-HH-122_DLMUSE.nii.gz", ixi];
        assert_eq!(find_among("t1/IXI01-HH-12_T1.nii.gz", &among).unwrap(), Path::new(ixi));
        let none = find_among("t1/a.nii", &["s/ab.nii"]).unwrap_err().to_string();
        assert!(none.starts_with("0 segmentations of t1/a.nii in s"), "{none}");
        let two = find_among("t1/a.nii", &["s/a.nii", "s/a_seg.nii"]).unwrap_err().to_string();
        assert!(two.starts_with("2 segmentations of t1/a.nii in s"), "{two}");
    }
}
