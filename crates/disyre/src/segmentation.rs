//! Segmentation of a scan, which tells its tissues; cohorts and samples read one for each scan.

use std::path::{Path, PathBuf};

use disyre_core::ndarray::{ArcArray, Array3, Ix3};
use disyre_core::{Grid, Volume};
use disyre_tissue::{LabelMap, label_codes};
use disyre_volume::{Interpolation, NotCodes, Scan, codes, read_scan_on_grid, resample_to_grid};

use crate::{Error, Subject};

/// The segmentation of a prepared scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// Its file.
    pub path: PathBuf,
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
        let file = read_scan_on_grid(path, scan)?;
        let (volume, rounding) = (&file.volume, file.header().rounding());
        let found = codes(volume.data.view(), rounding);
        let wrong = |NotCodes { value }| Error::Codes { path: path.to_owned(), value };
        let found = found.map_err(wrong)?;
        let volume = Volume { data: found.mapv(|code| code as f32), grid: volume.grid };
        let nearest = resample_to_grid(&volume, prepared, Interpolation::Nearest)?;
        let codes = nearest.data.mapv(|value| value as i32).into_shared();
        Ok(Self { path: path.to_owned(), codes })
    }
}

/// All codes of the segmentations of some subjects, ascending.
pub(crate) fn codes_of<'a>(
    subjects: impl Iterator<Item = &'a Subject> + Clone,
) -> Result<Vec<i32>, Error> {
    let all: Vec<Array3<i32>> =
        subjects.map(|subject| Ok(codes_in(subject)?.to_owned())).collect::<Result<_, Error>>()?;
    Ok(label_codes(all.iter().map(|codes| codes.view()))?)
}

/// The label map of a subject, whose classes are some codes.
pub(crate) fn label_map(subject: &Subject, known: &[i32]) -> Result<LabelMap, Error> {
    let map = LabelMap::new(codes_in(subject)?.view(), known);
    map.map_err(|error| Error::case(&subject.name)(error.into()))
}

/// The codes of a subject.
pub(crate) fn codes_in(subject: &Subject) -> Result<&ArcArray<i32, Ix3>, Error> {
    let missing = || Error::Unsegmented { name: subject.name.clone() };
    Ok(&subject.segmentation.as_ref().ok_or_else(missing)?.codes)
}
