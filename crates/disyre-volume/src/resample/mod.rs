//! Resampling to another spacing or onto another grid.
mod interpolation;
mod oblique;
mod separable;

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{Affine, Grid, Volume, ensure_same_shape};

use crate::affine::{compose, invert, rescaled};
use crate::{MemoryExcess, MemoryLeft, VolumeError, VoxelBox};
use oblique::{ObliquePlan, image_of};
use separable::{AxisMaps, SeparablePlan};

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
    let grid = grid_at_spacing(&volume.grid, spacing_mm)?;
    resample_to_grid(volume, &grid, interpolation)
}

/// The grid of [`resample_to_spacing`].
///
/// # Errors
/// [`VolumeError::Spacing`] unless every spacing is positive and finite, [`VolumeError::Singular`] for an affine without
/// an inverse.
pub fn grid_at_spacing(grid: &Grid, spacing_mm: [f64; 3]) -> Result<Grid, VolumeError> {
    if !spacing_mm.iter().all(|&spacing| spacing > 0.0 && spacing.is_finite()) {
        return Err(VolumeError::Spacing { spacing_mm });
    }
    inverse(grid, "input")?;
    let old = grid.spacing_mm();
    let step = [0, 1, 2].map(|axis| spacing_mm[axis] / old[axis]);
    let shape = [0, 1, 2].map(|axis| {
        // A millionth of a voxel is rounding, not extent.
        let voxels = (grid.shape[axis] as f64 / step[axis] - 1e-6).ceil();
        (voxels.max(1.0) as usize).max(1)
    });
    let step_xyz = [step[2], step[1], step[0]];
    let start = step_xyz.map(|step| (step - 1.0) / 2.0);
    Ok(Grid { shape, affine: rescaled(&grid.affine, start, step_xyz) })
}

/// Resamples onto another grid through world coordinates: any rotation, shear, flip or spacing.
///
/// A grid whose axes run along the volume's is resampled one axis at a time, which is much faster.
///
/// # Shapes and units
/// The result lies on `grid`; what lies outside the volume is 0.
///
/// # Errors
/// [`VolumeError::Singular`] if an affine has no inverse, [`VolumeError::GridTooLarge`] for a grid beyond the
/// memory that is left.
///
/// # Source
/// Ours; nearest and linear agree with SciPy's `map_coordinates` of order 0 and 1 inside the volume.
pub fn resample_to_grid(
    volume: &Volume,
    grid: &Grid,
    interpolation: Interpolation,
) -> Result<Volume, VolumeError> {
    ensure_same_shape("volume data", &volume.grid.shape, volume.data.shape())?;
    let resampler = Resampler::new(&volume.grid, grid, interpolation)?;
    let whole = VoxelBox::whole(grid.shape);
    resampler.ensure_memory(whole, 4)?;
    let input = resampler.input_box(whole).view_of(volume.data.view());
    Ok(Volume::new(resampler.resample_box(input, whole), *grid)?)
}

/// Resampling from one grid to another, prepared: any box of the result can be made by itself, from the box of the input
/// that it depends on. Boxes are, to the last bit, those of [`resample_to_grid`].
///
/// ```
/// use disyre_volume::{Grid, Interpolation, Resampler, Volume, VoxelBox, resample_to_grid};
///
/// let volume = Volume::new(disyre_core::ndarray::Array3::ones([8, 8, 8]), Grid::from_spacing([8; 3], [1.0; 3]))?;
/// let coarse = Grid::from_spacing([4; 3], [2.0; 3]);
/// let resampler = Resampler::new(&volume.grid, &coarse, Interpolation::Area)?;
/// let planes = VoxelBox { start: [1, 0, 0], end: [2, 4, 4] };
/// let input = resampler.input_box(planes);
/// assert_eq!((input.start[0], input.end[0]), (1, 4)); // of 8 planes
/// let part = resampler.resample_box(input.view_of(volume.data.view()), planes);
/// let whole = resample_to_grid(&volume, &coarse, Interpolation::Area)?;
/// assert_eq!(part, planes.view_of(whole.data.view()));
/// # Ok::<(), disyre_volume::VolumeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Resampler {
    grid: Grid,
    /// From input to output indices, x first.
    back: Affine,
    plan: Plan,
}

#[derive(Debug, Clone)]
enum Plan {
    /// One of the grids has no voxel.
    Empty,
    Separable(SeparablePlan),
    Oblique(ObliquePlan),
}

impl Resampler {
    /// Prepares resampling of volumes on `from` onto `to`.
    ///
    /// # Errors
    /// [`VolumeError::Singular`] if an affine has no inverse; [`VolumeError::GridTooLarge`] for more voxels than can be
    /// counted along an axis.
    pub fn new(from: &Grid, to: &Grid, interpolation: Interpolation) -> Result<Self, VolumeError> {
        let relative = compose(&inverse(from, "input")?, &to.affine);
        let back = compose(&inverse(to, "target")?, &from.affine);
        // The weights of an axis take memory too.
        let longest = to.shape.into_iter().max().unwrap_or(0) as u64;
        MemoryLeft::ensure(longest.saturating_mul(64)).map_err(too_large(to))?;
        let plan = if from.is_empty() || to.shape.contains(&0) {
            Plan::Empty
        } else if let Some(axes) = AxisMaps::of(&relative, to.shape) {
            Plan::Separable(SeparablePlan::new(from.shape, to.shape, &axes, interpolation))
        } else {
            Plan::Oblique(ObliquePlan::new(from.shape, relative, interpolation))
        };
        Ok(Self { grid: *to, back, plan })
    }

    /// Voxels of the input, `(z, y, x)`, that a box of the output depends on.
    pub fn input_box(&self, output: VoxelBox) -> VoxelBox {
        match &self.plan {
            Plan::Empty => VoxelBox { start: [0; 3], end: [0; 3] },
            Plan::Separable(plan) => plan.input_box(output),
            Plan::Oblique(plan) => plan.input_box(output),
        }
    }

    /// Voxels of the output that could depend on a box of the input: outside it a volume that is 0 outside `input` is 0.
    pub fn output_box(&self, input: VoxelBox) -> VoxelBox {
        image_of(&self.back, input, self.grid.shape)
    }

    /// A box of the output from the voxels of its [`input_box`](Self::input_box).
    ///
    /// # Panics
    /// For a box that reaches beyond the output.
    pub fn resample_box(&self, input: ArrayView3<'_, f32>, output: VoxelBox) -> Array3<f32> {
        match &self.plan {
            Plan::Empty => Array3::zeros(output.shape()),
            Plan::Separable(plan) => plan.resample(input, output),
            Plan::Oblique(plan) => plan.resample(input, output),
        }
    }

    /// A box of the output in slabs of whole planes that depend on about a million voxels of the input each. Where the grids
    /// are turned against each other, a plane depends on a large part of the input: then it is one slab.
    pub fn slabs(&self, output: VoxelBox) -> Vec<VoxelBox> {
        const VOXELS: usize = 1 << 20;
        match &self.plan {
            Plan::Oblique(_) => vec![output],
            Plan::Empty | Plan::Separable(_) => {
                let planes = |slab: VoxelBox| self.input_box(slab).len().div_ceil(VOXELS);
                output.slabs().flat_map(|slab| slab.parts(planes(slab))).collect()
            }
        }
    }

    /// Compares the memory that a box of the output takes with what is left: so many bytes a voxel, and the passes.
    ///
    /// # Errors
    /// [`VolumeError::GridTooLarge`].
    pub fn ensure_memory(&self, output: VoxelBox, bytes: u64) -> Result<(), VolumeError> {
        let own = output.shape().into_iter().map(|n| n as u128).fold(1, u128::saturating_mul);
        let passes = match &self.plan {
            Plan::Empty | Plan::Oblique(_) => 0,
            Plan::Separable(plan) => plan.peak_voxels(output).saturating_sub(own),
        };
        let needed = own.saturating_mul(bytes.into()).saturating_add(passes.saturating_mul(4));
        let needed = u64::try_from(needed).unwrap_or(u64::MAX);
        MemoryLeft::ensure(needed).map_err(too_large(&self.grid))
    }
}

fn too_large(grid: &Grid) -> impl FnOnce(MemoryExcess) -> VolumeError {
    let (shape, spacing_mm) = (grid.shape, grid.spacing_mm());
    move |excess| VolumeError::GridTooLarge { shape, spacing_mm, excess }
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
