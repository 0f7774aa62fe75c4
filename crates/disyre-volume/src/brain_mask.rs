//! Brain masks, and files that lie on the grid of a scan.
use std::path::Path;

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Grid, Volume};

use crate::affine::corner_distance_mm;
use crate::inside::inside_of;
use crate::{MaskRule, Scan, ScanHeader, VolumeError};

/// Mask that is 1 where a voxel is not 0: the brain of a skull-stripped scan whose background is exactly 0, as [`Image`](crate::Image) has it.
pub fn nonzero_mask(data: ArrayView3<'_, f32>) -> Array3<u8> {
    Zip::from(data).par_map_collect(|&value| u8::from(value != 0.0))
}

/// Reads a mask that lies on the grid of an image: 1 inside, as the [`MaskRule`] for its values says.
///
/// Logs a warning where the mask holds shares of voxels.
///
/// # Shapes and units
/// `(z, y, x)` of `image.volume`, in the file's own orientation.
///
/// # Errors
/// Those of [`Scan::read`]; [`VolumeError::NotAMask`] for other values than those of a mask; [`VolumeError::MaskShape`] and
/// [`VolumeError::MaskAffine`], naming both files. The affines may differ by a twentieth of the smallest voxel side at the
/// corners: programs round headers differently.
pub fn read_mask(path: &Path, image: &Scan) -> Result<Array3<u8>, VolumeError> {
    read_mask_of(path, image.header())
}

/// [`read_mask`] for the header of an image.
///
/// # Errors
/// Those of [`read_mask`].
pub fn read_mask_of(path: &Path, image: &ScanHeader) -> Result<Array3<u8>, VolumeError> {
    let mask = Scan::read(path)?;
    ensure_mask_fits(mask.header(), image)?;
    mask.inside()
}

impl Scan {
    /// The voxels of a mask that are inside, 1, as the [`MaskRule`] for its values says; logs a warning where it holds shares
    /// of voxels.
    ///
    /// # Errors
    /// [`VolumeError::NotAMask`].
    pub fn inside(&self) -> Result<Array3<u8>, VolumeError> {
        let found = inside_of(self.volume.data.view(), self.header().rounding());
        let path = || self.path().to_owned();
        let (inside, rule) =
            found.map_err(|reason| VolumeError::NotAMask { mask: path(), reason })?;
        if rule == MaskRule::Half && inside.iter().zip(&self.volume.data).any(is_changed) {
            log::warn!("mask {} {rule}", self.path().display());
        }
        Ok(inside)
    }
}

/// Whether a voxel of a mask is inside and not 1, or outside and not 0.
fn is_changed((&inside, &value): (&u8, &f32)) -> bool {
    (f32::from(inside) - value).abs() > 0.01
}

/// Reads a mask or a segmentation that lies on the grid of an image, with its values.
///
/// # Shapes and units
/// `(z, y, x)` of `image.volume`, in the file's own orientation.
///
/// # Errors
/// As [`read_mask`].
pub fn read_on_grid(path: &Path, image: &Scan) -> Result<Volume, VolumeError> {
    Ok(read_scan_on_grid(path, image)?.volume)
}

/// [`read_on_grid`] with the header of the file.
///
/// # Errors
/// As [`read_mask`].
pub fn read_scan_on_grid(path: &Path, image: &Scan) -> Result<Scan, VolumeError> {
    let scan = Scan::read(path)?;
    ensure_mask_fits(scan.header(), image.header())?;
    Ok(scan)
}

/// Checks by headers alone that a mask lies on the grid of an image, before either is read in whole.
///
/// # Errors
/// [`VolumeError::MaskShape`] and [`VolumeError::MaskAffine`], with the tolerance of [`read_mask`].
pub fn ensure_mask_fits(mask: &ScanHeader, image: &ScanHeader) -> Result<(), VolumeError> {
    ensure_grid((mask.path(), mask.grid()), (image.path(), image.grid()))
}

/// Checks that a mask lies on the grid of an image; each with its file.
fn ensure_grid(mask: (&Path, &Grid), image: (&Path, &Grid)) -> Result<(), VolumeError> {
    const TOLERANCE_VOXELS: f64 = 0.05;
    let ((path, got), (of, expected)) = (mask, image);
    if expected.shape != got.shape {
        return Err(VolumeError::MaskShape {
            mask: path.to_owned(),
            image: of.to_owned(),
            expected: Box::new(expected.shape),
            got: Box::new(got.shape),
        });
    }
    let distance_mm = corner_distance_mm(expected, got);
    let side = expected.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    if distance_mm > TOLERANCE_VOXELS * side {
        return Err(VolumeError::MaskAffine {
            mask: path.to_owned(),
            image: of.to_owned(),
            expected: Box::new(expected.affine),
            got: Box::new(got.affine),
            distance_mm,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_volume;
    use disyre_core::ndarray::array;

    #[test]
    fn every_value_but_zero_is_foreground() {
        let data = array![[[0.0, -0.0, 1e-30, -2.0]]];
        assert_eq!(nonzero_mask(data.view()), array![[[0, 0, 1, 1]]]);
    }

    #[test]
    fn a_mask_may_lie_a_twentieth_of_the_smallest_side_from_its_image() {
        let folder = tempfile::tempdir().unwrap();
        let [image, mask] = ["image.nii", "mask.nii"].map(|name| folder.path().join(name));
        let mut grid = Grid::from_spacing([1, 1, 2], [4.0, 3.0, 2.0]);
        write_volume(&image, &Volume::zeros(grid)).unwrap();
        let image = Scan::read(&image).unwrap();
        let mut read_shifted = |shift_mm: f64| {
            grid.affine[0][3] += shift_mm;
            write_volume(&mask, &Volume::new(array![[[0.0, 0.5]]], grid).unwrap()).unwrap();
            grid.affine[0][3] -= shift_mm;
            read_mask(&mask, &image)
        };
        // A twentieth of 2 mm is 0.1 mm.
        assert_eq!(read_shifted(0.09).unwrap(), array![[[0, 1]]]);
        assert!(matches!(read_shifted(0.11), Err(VolumeError::MaskAffine { .. })));
        let by_header = ensure_mask_fits(&ScanHeader::read(&mask).unwrap(), image.header());
        assert!(matches!(by_header, Err(VolumeError::MaskAffine { .. })));
    }
}
