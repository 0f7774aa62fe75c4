//! Distances to a set of voxels, for closing masks.

use disyre_core::ndarray::{Array3, ArrayView3, Axis, AxisDescription, Slice};

/// Whether a voxel's centre lies within `radius` voxels of a voxel of the mask.
///
/// # Source
/// The separable squared distance of Saito and Toriwaki (1994), cut off at the radius.
pub(crate) fn within(mask: ArrayView3<'_, bool>, radius: f64) -> Array3<bool> {
    let limit = radius * radius + 1e-9;
    let reach = radius.floor() as usize;
    let mut squared = mask.map(|&inside| if inside { 0.0 } else { f64::INFINITY });
    for axis in 0..3 {
        for mut lane in squared.lanes_mut(Axis(axis)) {
            let before = lane.to_vec();
            for (at, value) in lane.iter_mut().enumerate() {
                let near = at.saturating_sub(reach)..(at + reach + 1).min(before.len());
                *value = near
                    .map(|other| before[other] + (at.abs_diff(other) as f64).powi(2))
                    .fold(f64::INFINITY, f64::min);
            }
        }
    }
    squared.mapv(|value| value <= limit)
}

/// Closes a mask by a ball: gaps narrower than twice `radius`, in voxels, are filled. Beyond the array nothing is.
pub(crate) fn close(mask: ArrayView3<'_, bool>, radius: f64) -> Array3<bool> {
    let margin = radius.ceil() as usize + 1;
    let (depth, height, width) = mask.dim();
    let mut padded = Array3::from_elem([depth, height, width].map(|n| n + 2 * margin), false);
    let inner = |axis: AxisDescription| {
        let length = mask.len_of(axis.axis);
        Slice::from(margin..margin + length)
    };
    padded.slice_each_axis_mut(inner).assign(&mask);
    let outside = within(padded.view(), radius).mapv(|near| !near);
    within(outside.view(), radius).slice_each_axis(inner).mapv(|near| !near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ball_of_two_voxels_holds_33() {
        let mut mask = Array3::from_elem((9, 9, 9), false);
        mask[[4, 4, 4]] = true;
        let ball = within(mask.view(), 2.0);
        assert_eq!(ball.iter().filter(|&&near| near).count(), 33);
    }

    #[test]
    fn a_narrow_gap_is_closed_and_a_wide_one_is_not() {
        let slabs =
            |gap: usize| Array3::from_shape_fn((8, 8, 30), |(_, _, x)| x < 8 || x >= 8 + gap);
        let middle = |mask: Array3<bool>| mask[[4, 4, 9]];
        assert!(middle(close(slabs(3).view(), 2.0)));
        assert!(!middle(close(slabs(9).view(), 2.0)));
        // What was in stays in, at the border of the array too.
        assert!(
            close(slabs(9).view(), 2.0)
                .iter()
                .zip(&slabs(9))
                .all(|(&after, &before)| after || !before)
        );
    }
}
