//! Resampling to another spacing or onto another grid.
mod interpolation;
mod oblique;
mod separable;

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{Affine, Grid, Volume, ensure_same_shape};

use crate::VolumeError;
use crate::affine::{compose, invert, rescaled};
use interpolation::allocate;

pub use interpolation::Interpolation;

/// Resamples to another spacing over the same field of view.
///
/// The first voxel's outer corner stays where it is, so halving the resolution with [`Interpolation::Area`] is the
/// mean of 2×2×2 voxels. Where the extent is no multiple of the new spacing the last voxel reaches beyond it.
///
/// # Shapes and units
/// `spacing_mm` is `(z, y, x)` in millimetres, along the volume's own axes. The result has
/// `ceil(extent / spacing)` voxels along each axis.
///
/// # Errors
/// [`VolumeError::Spacing`] unless every spacing is positive and finite; otherwise as [`resample_to_grid`].
///
/// # Source
/// Ours.
pub fn resample_to_spacing(
    volume: &Volume,
    spacing_mm: [f64; 3],
    interpolation: Interpolation,
) -> Result<Volume, VolumeError> {
    if !spacing_mm.iter().all(|&spacing| spacing > 0.0 && spacing.is_finite()) {
        return Err(VolumeError::Spacing { spacing_mm });
    }
    inverse(&volume.grid, "input")?;
    let old = volume.grid.spacing_mm();
    let step = [0, 1, 2].map(|axis| spacing_mm[axis] / old[axis]);
    let shape = [0, 1, 2].map(|axis| {
        // A millionth of a voxel is rounding, not extent.
        let voxels = (volume.grid.shape[axis] as f64 / step[axis] - 1e-6).ceil();
        (voxels.max(1.0) as usize).max(1)
    });
    let step_xyz = [step[2], step[1], step[0]];
    let start = step_xyz.map(|step| (step - 1.0) / 2.0);
    let affine = rescaled(&volume.grid.affine, start, step_xyz);
    resample_to_grid(volume, &Grid { shape, affine }, interpolation)
}

/// Resamples onto another grid through world coordinates: any rotation, shear, flip or spacing.
///
/// A grid whose axes run along the volume's is resampled one axis at a time, which is much faster.
///
/// # Shapes and units
/// The result lies on `grid`; what lies outside the volume is 0.
///
/// # Errors
/// [`VolumeError::Singular`] if an affine has no inverse, [`VolumeError::GridTooLarge`] for a grid beyond memory.
///
/// # Source
/// Ours; nearest and linear agree with SciPy's `map_coordinates` of order 0 and 1 inside the volume.
pub fn resample_to_grid(
    volume: &Volume,
    grid: &Grid,
    interpolation: Interpolation,
) -> Result<Volume, VolumeError> {
    ensure_same_shape("volume data", &volume.grid.shape, volume.data.shape())?;
    inverse(grid, "target")?;
    let relative = compose(&inverse(&volume.grid, "input")?, &grid.affine);
    ensure_allocatable(grid)?;
    if volume.grid.is_empty() || grid.is_empty() {
        return Ok(Volume::zeros(*grid));
    }
    let data = match separable::AxisMaps::of(&relative, grid.shape) {
        Some(axes) => separable::resample(volume.data.view(), grid.shape, &axes, interpolation)?,
        None => oblique::resample(volume.data.view(), grid.shape, &relative, interpolation),
    };
    Ok(Volume::new(data, *grid)?)
}

/// Resamples a mask onto another grid: 1 where at least half of the new voxel is covered.
///
/// # Shapes and units
/// `mask` lies on `from`, the result on `to`; values other than 0 count as 1.
///
/// # Errors
/// [`VolumeError::Shape`] if `mask` is not of the shape of `from`; otherwise as [`resample_to_grid`].
pub fn resample_mask(
    mask: ArrayView3<'_, u8>,
    from: &Grid,
    to: &Grid,
) -> Result<Array3<u8>, VolumeError> {
    let soft = Volume::new(mask.mapv(|value| f32::from(u8::from(value != 0))), *from)?;
    let resampled = resample_to_grid(&soft, to, Interpolation::Area)?;
    // A hair below one half, so that an exact half does not depend on rounding.
    Ok(resampled.data.mapv(|share| u8::from(share >= 0.5 - 1e-6)))
}

fn inverse(grid: &Grid, which: &'static str) -> Result<Affine, VolumeError> {
    invert(&grid.affine)
        .ok_or_else(|| VolumeError::Singular { which, affine: Box::new(grid.affine) })
}

fn ensure_allocatable(grid: &Grid) -> Result<(), VolumeError> {
    allocate(grid.shape).map(drop)
}
