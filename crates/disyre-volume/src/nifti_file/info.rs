//! Facts of a header and its voxels; `disyre info` prints them.
use std::path::{Path, PathBuf};

use disyre_core::Affine;
use serde::{Serialize, Serializer};

use super::header::{Endian, Version};
use super::header_affine::LengthUnit;
use super::read::Scan;
use crate::{AffineSource, Orientation, obliquity_degrees, path_text};

/// Facts of a scan's header and voxels, as `disyre info` prints them.
///
/// ```
/// # use disyre_volume::{Grid, Scan, Volume, write_volume};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("scan.nii");
/// # write_volume(&path, &Volume::zeros(Grid::from_spacing([2, 3, 4], [3.0, 2.0, 1.0])))?;
/// let info = Scan::read(&path)?.info();
/// assert_eq!((info.dims, info.datatype), (vec![4, 3, 2], "float32"));
/// assert_eq!((info.orientation.as_str(), info.spacing_mm), ("RAS", [3.0, 2.0, 1.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ScanInfo {
    /// The file; as JSON by [`path_text`].
    #[serde(serialize_with = "serialize_path")]
    pub path: PathBuf,
    /// Edition of the format, 1 or 2.
    pub nifti_version: u8,
    /// "little" or "big".
    pub byte_order: &'static str,
    /// Type of the stored voxels, such as "int16".
    pub datatype: &'static str,
    /// Sizes in the header's order: x, y, z, then the axes of a series.
    pub dims: Vec<usize>,
    /// Shape `(z, y, x)`.
    pub shape: [usize; 3],
    /// Spacing `(z, y, x)` in millimetres.
    pub spacing_mm: [f64; 3],
    /// Directions of x, y and z: R/L, A/P, S/I.
    pub orientation: String,
    /// Greatest angle between an axis and the nearest axis of the world, in degrees.
    pub oblique_degrees: f64,
    /// Header field that gives the affine.
    pub affine_source: AffineSource,
    /// The header's `qform_code`.
    pub qform_code: i32,
    /// The header's `sform_code`.
    pub sform_code: i32,
    /// Affine from voxel indices `(x, y, z)` to millimetres, RAS+.
    pub affine: Affine,
    /// Unit of the header's lengths; as JSON "mm", "m", "um" or "unknown".
    pub space_unit: LengthUnit,
    /// Factor that was applied to the stored numbers.
    pub slope: f64,
    /// Offset that was applied to the stored numbers.
    pub inter: f64,
    /// The header's `intent_code`, such as 1002 for labels; 0: none.
    pub intent_code: i32,
    /// The header's description.
    pub descrip: String,
    /// Bytes of header extensions.
    pub extension_bytes: usize,
    /// Doubts about the header, in words.
    pub warnings: Vec<String>,
    /// Least intensity.
    pub minimum: f32,
    /// Greatest intensity.
    pub maximum: f32,
    /// Fraction of voxels that are not 0, in `[0, 1]`.
    pub nonzero_fraction: f64,
}

impl Scan {
    /// The facts of header and voxels.
    pub fn info(&self) -> ScanInfo {
        ScanInfo::of(self)
    }
}

impl ScanInfo {
    fn of(scan: &Scan) -> Self {
        let (header, volume) = (&scan.header, &scan.volume);
        let values = || volume.data.iter().copied();
        let nonzero = values().filter(|&value| value != 0.0).count();
        Self {
            path: header.path.clone(),
            nifti_version: if header.version == Version::One { 1 } else { 2 },
            byte_order: if header.endian == Endian::Little { "little" } else { "big" },
            datatype: header.datatype.name(),
            dims: header.sizes.clone(),
            shape: volume.grid.shape,
            spacing_mm: volume.grid.spacing_mm(),
            orientation: Orientation::of(&volume.grid.affine).to_string(),
            oblique_degrees: obliquity_degrees(&volume.grid.affine),
            affine_source: header.affine_source,
            qform_code: header.fields.qform_code,
            sform_code: header.fields.sform_code,
            affine: volume.grid.affine,
            space_unit: LengthUnit::of(header.fields.xyzt_units),
            slope: header.scaling.0,
            inter: header.scaling.1,
            intent_code: header.fields.intent_code,
            descrip: text(&header.fields.descrip),
            extension_bytes: header.bytes.len() - header.version.least_offset() as usize,
            warnings: header.warnings().iter().map(ToString::to_string).collect(),
            minimum: values().fold(f32::INFINITY, f32::min),
            maximum: values().fold(f32::NEG_INFINITY, f32::max),
            nonzero_fraction: nonzero as f64 / volume.data.len() as f64,
        }
    }
}

/// Any path, also where it is not UTF-8.
fn serialize_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path_text(path))
}

/// Text up to the first zero byte; bytes that are not UTF-8 become replacement characters.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_volume;
    use disyre_core::{Grid, Volume};

    #[cfg(unix)]
    #[test]
    fn a_scan_whose_name_is_not_utf8_has_facts_too() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"M\xfcnchen.nii"));
        write_volume(&path, &Volume::zeros(Grid::from_spacing([1, 1, 1], [1.0; 3]))).unwrap();
        let scan = Scan::read(&path).unwrap();
        let json = serde_json::to_value(scan.info()).unwrap();
        assert!(json["path"].as_str().unwrap().ends_with("/M%FCnchen.nii"), "{json}");
        assert_eq!(scan.name().as_str(), "M%FCnchen");
    }
}
