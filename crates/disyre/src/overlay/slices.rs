//! Which slices a picture shows, and their values between voxels.

use disyre_core::ndarray::{ArrayView2, ArrayView3, Axis};

/// Up to `count` axial slices, evenly spread from the lowest to the highest that holds a fair part of the brain.
pub(super) fn choose(brain: ArrayView3<'_, u8>, count: usize) -> Vec<usize> {
    /// A slice of less than this share of the largest one is a cap that shows nothing.
    const FAIR: f64 = 0.2;
    let area = |plane: ArrayView2<'_, u8>| plane.iter().filter(|&&inside| inside != 0).count();
    let areas: Vec<usize> = brain.axis_iter(Axis(0)).map(area).collect();
    let fair = areas.iter().copied().max().unwrap_or(0) as f64 * FAIR;
    let shown = |&z: &usize| areas[z] > 0 && areas[z] as f64 >= fair;
    let (Some(low), Some(high)) = ((0..areas.len()).find(shown), (0..areas.len()).rfind(shown))
    else {
        return Vec::new();
    };
    let range = high - low + 1;
    let count = count.min(range);
    (0..count).map(|index| low + (2 * index + 1) * range / (2 * count)).collect()
}

/// Value at a place between voxel centres, linear in both directions; the border continues outwards.
pub(super) fn between(plane: ArrayView2<'_, f32>, y: f64, x: f64) -> f32 {
    let [(y0, y1, fy), (x0, x1, fx)] =
        [(y, plane.nrows()), (x, plane.ncols())].map(|(at, length)| neighbours(at, length));
    let row = |y| mix(plane[[y, x0]], plane[[y, x1]], fx);
    mix(row(y0), row(y1), fy)
}

/// Value of the voxel that a place lies in.
pub(super) fn nearest(plane: ArrayView2<'_, u8>, y: f64, x: f64) -> u8 {
    let [y, x] = [(y, plane.nrows()), (x, plane.ncols())]
        .map(|(at, length)| (at.round().max(0.0) as usize).min(length - 1));
    plane[[y, x]]
}

fn neighbours(at: f64, length: usize) -> (usize, usize, f32) {
    let at = at.clamp(0.0, (length - 1) as f64);
    let below = at as usize;
    (below, (below + 1).min(length - 1), (at - below as f64) as f32)
}

fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + share * (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};

    #[test]
    fn slices_spread_over_the_brain_and_leave_its_caps_out() {
        let mut brain = Array3::from_shape_fn((14, 4, 5), |(z, ..)| u8::from((2..12).contains(&z)));
        brain[[1, 0, 0]] = 1;
        assert_eq!(choose(brain.view(), 5), [3, 5, 7, 9, 11]);
        assert_eq!(choose(brain.view(), 20), (2..12).collect::<Vec<_>>());
        assert!(choose(Array3::zeros((3, 2, 2)).view(), 4).is_empty());
    }

    #[test]
    fn a_place_between_voxels_takes_from_both() {
        let plane = array![[0.0, 1.0], [2.0, 3.0]];
        assert_eq!(between(plane.view(), 0.5, 0.5), 1.5);
        assert_eq!(between(plane.view(), -3.0, 0.25), 0.25);
        assert_eq!(between(plane.view(), 9.0, 9.0), 3.0);
        assert_eq!(nearest(array![[1, 2], [3, 4]].view(), 0.6, -0.4), 3);
    }
}
