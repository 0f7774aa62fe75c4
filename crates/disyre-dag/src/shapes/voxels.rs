//! Loop over the voxels of a window, for shapes that are evaluated voxel by voxel.

use disyre_core::ndarray::ArrayViewMut3;

/// Writes `value([z, y, x])` into every voxel, in order of memory.
pub(super) fn for_each_voxel(
    mut shape: ArrayViewMut3<'_, f32>,
    mut value: impl FnMut([usize; 3]) -> f32,
) {
    for (z, mut plane) in shape.outer_iter_mut().enumerate() {
        for (y, mut row) in plane.outer_iter_mut().enumerate() {
            for (x, out) in row.iter_mut().enumerate() {
                *out = value([z, y, x]);
            }
        }
    }
}
