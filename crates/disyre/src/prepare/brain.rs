//! The brain on a grid, and voxels that are brain in part.

use disyre_core::ndarray::{Array3, ArrayView3, ArrayViewMut3, Zip};
use disyre_core::{Volume, ensure_same_shape};
use disyre_volume::nonzero_mask;

use crate::Error;

pub(super) fn brain_on_grid(
    scan: &Volume,
    brain: Option<ArrayView3<'_, u8>>,
) -> Result<Array3<u8>, Error> {
    match brain {
        None => Ok(nonzero_mask(scan.data.view())),
        Some(brain) => {
            ensure_same_shape("brain mask", scan.data.shape(), brain.shape())?;
            Ok(Zip::from(brain).par_map_collect(|&inside| u8::from(inside != 0)))
        }
    }
}

pub(super) fn ensure_magnitudes(data: &Array3<f32>, mask: &Array3<u8>) -> Result<(), Error> {
    let (mut brain, mut negative) = (0u64, 0u64);
    Zip::from(data).and(mask).for_each(|&value, &inside| {
        brain += u64::from(inside != 0);
        negative += u64::from(inside != 0 && value < 0.0);
    });
    ensure_few_negative(brain, negative)
}

/// Refuses a brain of which more than a twentieth of so many voxels is below 0.
pub(crate) fn ensure_few_negative(brain: u64, negative: u64) -> Result<(), Error> {
    let percent = 100.0 * negative as f64 / brain.max(1) as f64;
    if percent > 5.0 { Err(Error::NegativeBrain { percent }) } else { Ok(()) }
}

/// A mask as the share of brain in each voxel: 0 or 1.
pub(super) fn share(mask: ArrayView3<'_, u8>) -> Array3<f32> {
    Zip::from(mask).par_map_collect(|&inside| f32::from(inside))
}

/// Makes voxels outside a mask 0.
pub(super) fn keep_inside(data: &mut Array3<f32>, mask: &Array3<u8>) {
    Zip::from(data).and(mask).par_for_each(|value, &inside| {
        if inside == 0 {
            *value = 0.0;
        }
    });
}

/// Mean over the brain's share of a voxel alone: the background that was averaged in is taken out again.
pub(super) fn undilute(values: ArrayViewMut3<'_, f32>, shares: ArrayView3<'_, f32>) {
    Zip::from(values).and(shares).par_for_each(|value, &share| {
        *value = if share > 1e-3 { *value / share } else { 0.0 };
    });
}
