//! Values of a map inside a brain.

use disyre_core::ndarray::{ArrayView3, Zip};

/// Values of a map inside the brain, in the order of the voxels. Both have the same shape.
pub(crate) fn inside_brain<T: Copy>(map: ArrayView3<'_, T>, brain: ArrayView3<'_, u8>) -> Vec<T> {
    let mut inside = Vec::new();
    Zip::from(map).and(brain).for_each(|&value, &brain| {
        if brain != 0 {
            inside.push(value);
        }
    });
    inside
}
