//! [`Background`] of a patch: it stays exactly 0, whatever is done to the patch.

use disyre_core::ndarray::{Array3, ArrayViewMut4, Axis, Zip};

/// The voxels `(z, y, x)` of a patch that are exactly 0 in all channels.
pub(crate) struct Background(pub(crate) Array3<bool>);

impl Background {
    /// Finds the background of a patch `(c, z, y, x)`.
    pub(crate) fn of(patch: &ArrayViewMut4<'_, f32>) -> Self {
        Self(patch.map_axis(Axis(0), |voxel| voxel.iter().all(|&value| value == 0.0)))
    }

    /// Sets the background back to 0 and clips all other values to `[0, 1]`.
    pub(crate) fn clip(&self, mut patch: ArrayViewMut4<'_, f32>) {
        for channel in patch.outer_iter_mut() {
            Zip::from(channel).and(&self.0).for_each(|value, &background| {
                *value = if background { 0.0 } else { value.clamp(0.0, 1.0) };
            });
        }
    }
}
