//! Brain masks, and files that lie on the grid of a scan.
use std::path::Path;

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, ArrayView3, Zip};

use crate::affine::corner_distance_mm;
use crate::{Scan, VolumeError};

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
    const TOLERANCE_VOXELS: f64 = 0.05;
    let mask = Scan::read(path)?;
    let (expected, got) = (&image.volume.grid, &mask.volume.grid);
    if expected.shape != got.shape {
        return Err(VolumeError::MaskShape {
            mask: path.to_owned(),
            image: image.path().to_owned(),
            expected: expected.shape,
            got: got.shape,
        });
    }
    let distance_mm = corner_distance_mm(expected, got);
    let side = expected.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    if distance_mm > TOLERANCE_VOXELS * side {
        return Err(VolumeError::MaskAffine {
            mask: path.to_owned(),
            image: image.path().to_owned(),
            expected: Box::new(expected.affine),
            got: Box::new(got.affine),
            distance_mm,
        });
    }
    Ok(mask.volume)
}
