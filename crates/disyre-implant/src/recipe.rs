//! Recipes: all that an implanted case was made from.

use std::path::{Path, PathBuf};

use disyre_core::{Affine, Key};
use disyre_n4::N4Config;
use disyre_volume::{HashedFile, ScanName, sha256_of_bytes};
use serde::{Deserialize, Serialize};

use crate::paint::{Implanted, RealisedLesion};
use crate::params::LesionParams;
use crate::{Host, ImplantError, Implanter, ShapeLibrary};

/// Recipe of an implanted case: with the host and the shapes that it names, it gives the same voxels again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of disyre.
    pub version: String,
    /// Name of the case.
    pub case: String,
    /// The healthy scan.
    pub host: HashedFile,
    /// Key that the lesions were drawn from.
    pub key: Key,
    /// SHA-256 of the table of real lesions, as JSON without line breaks.
    pub statistics_sha256: String,
    /// Bias field correction of the host.
    pub n4: N4Config,
    /// MNI millimetres → those of the host.
    pub scan_from_template: Affine,
    /// The lesions, in the order in which they are drawn.
    pub lesions: Vec<LesionParams>,
    /// Each of them as it came out.
    pub realised: Vec<RealisedLesion>,
    /// SHA-256 of intensities (little-endian f32) and label.
    pub voxels_sha256: String,
}

impl Recipe {
    /// Draws the lesions of a case and applies them.
    ///
    /// # Errors
    /// Those of [`Implanter::draw`] and [`Implanter::apply`].
    pub fn make(
        implanter: &Implanter,
        host: &Host,
        case: &str,
        key: Key,
    ) -> Result<(Self, Implanted), ImplantError> {
        let lesions = implanter.draw(host, key)?;
        let implanted = Implanter::apply(host, &lesions, implanter.shapes())?;
        let recipe = Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            case: case.to_owned(),
            host: host.file.clone(),
            key,
            statistics_sha256: implanter.statistics().sha256()?,
            n4: implanter.statistics().measure.n4.clone(),
            scan_from_template: host.registration().scan_from_template,
            lesions,
            realised: implanted.lesions.clone(),
            voxels_sha256: hash(&implanted),
        };
        Ok((recipe, implanted))
    }

    /// Reads a recipe.
    ///
    /// # Errors
    /// [`ImplantError::File`] and [`ImplantError::Json`], naming the file.
    pub fn load(path: &Path) -> Result<Self, ImplantError> {
        let text = std::fs::read_to_string(path).map_err(ImplantError::file("read", path))?;
        serde_json::from_str(&text).map_err(|source| ImplantError::Json {
            path: path.to_owned(),
            expected: "a recipe that `disyre implant` wrote",
            source,
        })
    }

    /// Makes the case again: its host from healthy scans, its shapes from a library.
    ///
    /// # Errors
    /// [`ImplantError::Volume`] for files that are not as they were;
    /// [`ImplantError::NotReplayed`] if other voxels come out; those of reading.
    pub fn replay(
        &self,
        healthy: &[PathBuf],
        shapes: &ShapeLibrary,
    ) -> Result<(Host, Implanted), ImplantError> {
        let folder = healthy.first().and_then(|file| file.parent()).unwrap_or(Path::new(""));
        let path = self.host.find(folder, healthy)?;
        let host = Host::read(&path, &self.n4)?;
        let implanted = Implanter::apply(&host, &self.lesions, shapes)?;
        if hash(&implanted) != self.voxels_sha256 {
            let (name, version) = (self.case.clone(), self.version.clone());
            return Err(ImplantError::NotReplayed { name, version });
        }
        Ok((host, implanted))
    }

    /// Name of a case: that of its host with the number of the case in it, from 1, before the suffix.
    ///
    /// ```
    /// use disyre_implant::Recipe;
    /// use std::path::Path;
    /// let name = |host| Recipe::case_name(Path::new(host), 2);
    /// assert_eq!(name("sub-01_T1w.nii.gz").as_str(), "sub-01_implant-2_T1w");
    /// assert_eq!(name("patient.nii").as_str(), "patient_implant-2");
    /// ```
    pub fn case_name(host: &Path, number: usize) -> ScanName {
        let host = ScanName::of(host);
        let suffix = host.suffix().map(|suffix| format!("_{suffix}")).unwrap_or_default();
        let stem = &host.as_str()[..host.as_str().len() - suffix.len()];
        ScanName::of(Path::new(&format!("{stem}_implant-{number}{suffix}")))
    }
}

fn hash(implanted: &Implanted) -> String {
    let mut bytes: Vec<u8> = implanted.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    bytes.extend(&implanted.label);
    sha256_of_bytes(&bytes)
}
