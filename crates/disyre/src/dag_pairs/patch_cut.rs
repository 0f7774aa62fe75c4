//! Cut of a training patch out of a subject: drawn, then applied to image, labels and location map alike.

use std::ops::Range;

use disyre_augment::{AugmentError, AugmentParams};
use disyre_core::KeyRng;
use disyre_core::ndarray::{
    ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4, Axis, AxisDescription, Slice,
};
use disyre_core::rand::RngExt;

/// Cut of a patch out of a subject.
pub(super) enum PatchCut {
    /// Whole voxels, mirrored or not.
    Plain(PlainCut),
    /// Inside a box `(z, y, x)`.
    Augmented([Range<usize>; 3], Box<AugmentParams>),
}

impl PatchCut {
    /// Draws a cut of whole voxels; each axis is mirrored with its probability.
    pub(super) fn draw_plain(
        image: ArrayView4<'_, f32>,
        patch: [usize; 3],
        mirror: [f64; 3],
        mut rng: KeyRng,
    ) -> Self {
        let z = AxisCut::draw(0..image.len_of(Axis(1)), patch[0], &mut rng);
        let slab = image.slice_axis(Axis(1), Slice::from(z.from..z.from + z.size));
        let y = AxisCut::draw(extent(&slab, Axis(2)), patch[1], &mut rng);
        let x = AxisCut::draw(extent(&slab, Axis(3)), patch[2], &mut rng);
        let axes = [z, y, x];
        Self::Plain(PlainCut {
            from: axes.map(|axis| axis.from),
            to: axes.map(|axis| axis.to),
            size: axes.map(|axis| axis.size),
            mirror: mirror.map(|p| rng.random_bool(p)),
        })
    }

    /// Draws the box that an augmented patch is cut inside of: for a patch of one slice, that of the slice.
    pub(super) fn draw_augmented(
        image: ArrayView4<'_, f32>,
        patch: [usize; 3],
        params: AugmentParams,
        mut rng: KeyRng,
    ) -> Self {
        let slices = image.len_of(Axis(1));
        let z = if patch[0] == 1 {
            let z = rng.random_range(0..slices);
            z..z + 1
        } else {
            0..slices
        };
        let part = image.slice_axis(Axis(1), z.clone().into());
        let within = [z, extent(&part, Axis(2)), extent(&part, Axis(3))];
        Self::Augmented(within, Box::new(params))
    }

    /// Cuts the patch `(c, z, y, x)` out of an image.
    pub(super) fn cut(
        &self,
        mut image: ArrayView4<'_, f32>,
        patch: ArrayViewMut4<'_, f32>,
    ) -> Result<(), AugmentError> {
        match self {
            Self::Plain(cut) => cut_plain(cut, image, patch),
            Self::Augmented(within, params) => {
                for (axis, range) in within.iter().enumerate() {
                    image.slice_axis_inplace(Axis(axis + 1), range.clone().into());
                }
                params.apply(image, patch)?;
            }
        }
        Ok(())
    }

    /// Cuts the patch `(z, y, x)` out of a segmentation or a location map: whole voxels.
    pub(super) fn cut_labels<T: Copy + Default>(
        &self,
        mut labels: ArrayView3<'_, T>,
        patch: ArrayViewMut3<'_, T>,
    ) -> Result<(), AugmentError> {
        match self {
            Self::Plain(cut) => {
                cut_plain(cut, labels.insert_axis(Axis(0)), patch.insert_axis(Axis(0)));
            }
            Self::Augmented(within, params) => {
                for (axis, range) in within.iter().enumerate() {
                    labels.slice_axis_inplace(Axis(axis), range.clone().into());
                }
                params.apply_to_labels(labels, patch)?;
            }
        }
        Ok(())
    }
}

/// Cuts and mirrors, background where the patch exceeds the brain.
fn cut_plain<T: Clone + Default>(
    cut: &PlainCut,
    image: ArrayView4<'_, T>,
    mut patch: ArrayViewMut4<'_, T>,
) {
    let part = |axis: AxisDescription, at: [usize; 3]| match axis.axis.index() {
        0 => Slice::from(..),
        axis => Slice::from(at[axis - 1]..at[axis - 1] + cut.size[axis - 1]),
    };
    patch.fill(T::default());
    patch
        .slice_each_axis_mut(|axis| part(axis, cut.to))
        .assign(&image.slice_each_axis(|axis| part(axis, cut.from)));
    if cut.mirror.contains(&true) {
        let original = patch.to_owned();
        let mut mirrored = original.view();
        for axis in (0..3).filter(|&axis| cut.mirror[axis]) {
            mirrored.invert_axis(Axis(axis + 1));
        }
        patch.assign(&mirrored);
    }
}

/// The voxels of a volume that a patch holds; it is 0 elsewhere. All `(z, y, x)`.
pub(super) struct PlainCut {
    /// First voxel in the volume.
    from: [usize; 3],
    /// First voxel in the patch, before that is mirrored.
    to: [usize; 3],
    /// Number of voxels, in the volume from `from` on, and in the patch from `to` on.
    size: [usize; 3],
    /// Axes along which the whole patch is then mirrored.
    mirror: [bool; 3],
}

/// A [`PlainCut`] along one axis.
#[derive(Clone, Copy)]
struct AxisCut {
    from: usize,
    to: usize,
    size: usize,
}

impl AxisCut {
    /// A foreground longer than the patch is cut at random, a shorter one centred.
    fn draw(foreground: Range<usize>, patch: usize, rng: &mut KeyRng) -> Self {
        let (from, size) = (foreground.start, foreground.len());
        if size > patch {
            return Self { from: from + rng.random_range(0..=size - patch), to: 0, size: patch };
        }
        Self { from, to: (patch - size) / 2, size }
    }
}

/// Smallest range of an axis that holds all voxels above 0.
fn extent(slab: &ArrayView4<'_, f32>, axis: Axis) -> Range<usize> {
    let lit = |index: &usize| slab.index_axis(axis, *index).iter().any(|&value| value > 0.0);
    let mut indices = (0..slab.len_of(axis)).filter(lit);
    let first = indices.next().unwrap_or(0);
    first..indices.next_back().map_or(first + 1, |last| last + 1)
}
