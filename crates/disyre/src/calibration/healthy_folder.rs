//! [`HealthyFolder`]: the checks of folders with healthy maps, whose files are named with their hashes by a record.

use std::fmt;
use std::path::Path;

use disyre_core::Grid;
use disyre_core::ndarray::Array3;
use disyre_register::Verdict;
use disyre_volume::sha256_of_bytes;
use serde::{Deserialize, Serialize};

use crate::stored_files::StoredFiles;
use crate::{Error, HashedFile};

/// Kind of a folder with healthy maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthyFolder {
    /// An [`AtlasDetector`](crate::AtlasDetector).
    Atlas,
    /// A [`Calibration`](crate::Calibration) of a model.
    Calibration,
}

/// A healthy scan behind an atlas or a calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthyScan {
    /// Its file.
    pub file: HashedFile,
    /// Whether its registration can be trusted; scans with a doubtful one are left out.
    pub registration: Verdict,
}

/// Checks that a file is none of some healthy scans, whatever its name.
///
/// # Errors
/// [`Error::SameScan`].
pub(crate) fn ensure_other<'a>(
    file: &HashedFile,
    scans: impl IntoIterator<Item = &'a HealthyScan>,
) -> Result<(), Error> {
    match scans.into_iter().find(|scan| scan.file.sha256 == file.sha256) {
        None => Ok(()),
        Some(scan) => {
            let (first, second) = (scan.file.name.clone(), file.name.clone());
            Err(Error::SameScan { first, second })
        }
    }
}

impl fmt::Display for HealthyFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Atlas => "atlas",
            Self::Calibration => "calibration",
        })
    }
}

/// Difference of two entries of an affine that rounding in a header explains.
const TOLERANCE_MM: f64 = 1e-3;

impl HealthyFolder {
    /// Command that makes one.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Atlas => "disyre atlas",
            Self::Calibration => "disyre calibrate",
        }
    }

    /// Checks a file of a folder against the hash of its record.
    pub(crate) fn ensure_whole(
        self,
        files: &StoredFiles,
        file: &str,
        expected: Option<&String>,
    ) -> Result<(), Error> {
        if !files.has(file) {
            return Err(self.not_there(files.folder(), file));
        }
        let path = files.path(file);
        let got = sha256_of_bytes(&files.read(file)?);
        match expected {
            Some(expected) if *expected == got => Ok(()),
            expected => {
                let expected = expected.cloned().unwrap_or_default();
                Err(Error::DamagedMaps { kind: self, path, expected, got })
            }
        }
    }

    /// Reads a map, which has to lie on a grid of the template.
    pub(crate) fn read_map(
        self,
        files: &StoredFiles,
        file: &str,
        template: &Grid,
    ) -> Result<Array3<f32>, Error> {
        let (volume, path) = (files.volume(file)?, files.path(file));
        if volume.grid.shape != template.shape {
            let (expected, got) = (template.shape, volume.grid.shape);
            return Err(Error::MapsGrid { kind: self, path, expected, got });
        }
        let entries = volume.grid.affine.iter().flatten().zip(template.affine.iter().flatten());
        let same = entries.into_iter().all(|(got, expected)| (got - expected).abs() < TOLERANCE_MM);
        self.contradiction_unless(same, &path, "its affine is not the template's")?;
        Ok(volume.data)
    }

    pub(crate) fn contradiction_unless(
        self,
        holds: bool,
        path: &Path,
        reason: &'static str,
    ) -> Result<(), Error> {
        match holds {
            true => Ok(()),
            false => Err(Error::MapsContradiction { kind: self, path: path.to_owned(), reason }),
        }
    }

    pub(crate) fn not_there(self, folder: &Path, missing: &str) -> Error {
        let (folder, missing) = (folder.to_owned(), missing.to_owned());
        Error::NotHealthyMaps { kind: self, folder, missing }
    }

    pub(crate) fn too_few(self, good: usize, left_out: &[HealthyScan]) -> Error {
        let doubtful = left_out.iter().map(|scan| scan.file.name.clone()).collect();
        Error::TooFewHealthy { kind: self, good, doubtful }
    }
}
