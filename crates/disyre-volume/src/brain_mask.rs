//! Brain masks, and files that lie on the grid of a scan.
use std::path::Path;

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Grid, Volume};

use crate::affine::corner_distance_mm;
use crate::{Scan, ScanHeader, VolumeError};

/// Mask that is 1 where a voxel is not 0: the brain of a skull-stripped scan.
pub fn nonzero_mask(data: ArrayView3<'_, f32>) -> Array3<u8> {
    Zip::from(data).par_map_collect(|&value| u8::from(value != 0.0))
}

/// Reads a mask that lies on the grid of an image: 1 where the file is not 0.
///
/// # Shapes and units
/// `(z, y, x)` of `image.volume`, in the file's own orientation.
///
/// # Errors
/// Those of [`Scan::read`]; [`VolumeError::MaskShape`] and [`VolumeError::MaskAffine`], naming both files. The
/// affines may differ by a twentieth of the smallest voxel side at the corners: programs round headers differently.
pub fn read_mask(path: &Path, image: &Scan) -> Result<Array3<u8>, VolumeError> {
    Ok(nonzero_mask(read_on_grid(path, image)?.data.view()))
}

/// Reads a mask or a segmentation that lies on the grid of an image, with its values.
///
/// # Shapes and units
/// `(z, y, x)` of `image.volume`, in the file's own orientation.
///
/// # Errors
/// As [`read_mask`].
pub fn read_on_grid(path: &Path, image: &Scan) -> Result<Volume, VolumeError> {
    let mask = Scan::read(path)?;
    ensure_grid((path, &mask.volume.grid), (image.path(), &image.volume.grid))?;
    Ok(mask.volume)
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
