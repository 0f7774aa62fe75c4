use std::path::{Path, PathBuf};

use disyre_core::Grid;
use disyre_core::ndarray::{ArcArray, Array3, Ix3};
use disyre_tissue::{LabelMap, label_codes};
use disyre_volume::{Interpolation, Scan, find_scans, read_on_grid, resample_to_grid, scan_name};

use crate::{Error, Source, Subject};

/// A folder with an anatomical segmentation of each scan.
#[derive(Debug, Clone)]
pub struct Segmentations {
    folder: PathBuf,
    files: Vec<PathBuf>,
}

impl Segmentations {
    /// Lists a folder.
    ///
    /// # Errors
    /// [`Error::Volume`] for a folder without NIfTI files.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        Ok(Self { folder: folder.to_owned(), files: find_scans(folder)? })
    }

    /// The segmentation of a scan: its name starts with the scan's, or, for a BIDS name, with the part before the suffix
    /// (`sub-01_T1w` → `sub-01_dseg`).
    ///
    /// # Errors
    /// [`Error::Segmentation`] unless there is exactly one.
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
            several => Err(Error::Segmentation {
                scan: scan.to_owned(),
                folder: self.folder.clone(),
                count: several.len(),
                subject: subject.to_owned(),
            }),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The segmentation of a prepared scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// Its file.
    pub source: Source,
    /// The code of each voxel of the prepared scan, `(z, y, x)`.
    pub codes: ArcArray<i32, Ix3>,
}

impl Segmentation {
    /// Reads a segmentation that lies on the grid of a scan and brings it to the grid on which that scan was prepared:
    /// the nearest code.
    ///
    /// # Errors
    /// [`Error::Volume`] for a file on another grid, [`Error::Codes`] for codes that are no whole numbers.
    pub fn read(path: &Path, scan: &Scan, prepared: &Grid) -> Result<Self, Error> {
        let volume = read_on_grid(path, scan)?;
        // Whole numbers up to there are exact in 32 bits.
        let is_code = |value: &f32| value.fract() == 0.0 && value.abs() <= 16_777_216.0;
        if let Some(&value) = volume.data.iter().find(|value| !is_code(value)) {
            return Err(Error::Codes { path: path.to_owned(), value });
        }
        let nearest = resample_to_grid(&volume, prepared, Interpolation::Nearest)?;
        let codes = nearest.data.mapv(|value| value as i32).into_shared();
        Ok(Self { source: Source::of(path)?, codes })
    }
}

/// All codes of the segmentations of some subjects, ascending.
pub(crate) fn codes_of<'a>(
    subjects: impl Iterator<Item = &'a Subject> + Clone,
) -> Result<Vec<i32>, Error> {
    let all: Vec<Array3<i32>> =
        subjects.map(|subject| Ok(codes(subject)?.to_owned())).collect::<Result<_, Error>>()?;
    Ok(label_codes(all.iter().map(|codes| codes.view()))?)
}

/// The label map of a subject, whose classes are some codes.
pub(crate) fn label_map(subject: &Subject, known: &[i32]) -> Result<LabelMap, Error> {
    let map = LabelMap::new(codes(subject)?.view(), known);
    map.map_err(|error| Error::case(&subject.name)(error.into()))
}

fn codes(subject: &Subject) -> Result<&ArcArray<i32, Ix3>, Error> {
    let missing = || Error::Unsegmented { name: subject.name.clone() };
    Ok(&subject.segmentation.as_ref().ok_or_else(missing)?.codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_among(scan: &str, files: &[&str]) -> Result<PathBuf, Error> {
        let files = files.iter().map(PathBuf::from).collect();
        let folder = Segmentations { folder: "s".into(), files };
        folder.find(Path::new(scan)).map(Path::to_owned)
    }

    #[test]
    fn a_segmentation_is_found_by_the_name_of_its_scan() {
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
