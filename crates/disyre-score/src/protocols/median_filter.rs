//! Median of a cube about each voxel.

use disyre_core::ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;

/// The median of the `size`³ voxels about each, those beyond an edge mirrored at it.
///
/// An even cube reaches one voxel further back than forward, and of two middle values the greater is taken: SciPy's
/// `median_filter(volume, size, mode="reflect")`.
pub(super) fn median_filter(volume: ArrayView3<'_, f32>, size: usize) -> Array3<f32> {
    let mut filtered = Array3::zeros(volume.raw_dim());
    let (_, rows, columns) = volume.dim();
    filtered.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut slice)| {
        let mut cube = Vec::with_capacity(size.pow(3));
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            collect_cube(volume, [z, y, x], size, &mut cube);
            let middle = cube.len() / 2;
            slice[[y, x]] = *cube.select_nth_unstable_by(middle, f32::total_cmp).1;
        }
    });
    filtered
}

fn collect_cube(volume: ArrayView3<'_, f32>, at: [usize; 3], size: usize, cube: &mut Vec<f32>) {
    cube.clear();
    let axis = |axis: usize| {
        let length = volume.len_of(Axis(axis));
        (0..size).map(move |step| mirrored(at[axis] + step, size / 2, length))
    };
    for (z, y) in axis(0).flat_map(|z| axis(1).map(move |y| (z, y))) {
        cube.extend(axis(2).map(|x| volume[[z, y, x]]));
    }
}

/// Index `place − back`, mirrored at the outer faces of the first and the last voxel.
fn mirrored(place: usize, back: usize, length: usize) -> usize {
    let period = 2 * length;
    let index = (place + back * (period - 1)) % period;
    if index < length { index } else { period - 1 - index }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_even_cubes_are_those_of_scipy() {
        let text = include_str!("../../tests/fixtures/protocols.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        let volume = |values: &serde_json::Value| {
            let values: Vec<u16> = serde_json::from_value(values.clone()).unwrap();
            Array3::from_shape_vec((7, 9, 8), values).unwrap().mapv(f32::from)
        };
        let case = &golden["cases"][0];
        let masked = volume(&case["scores"]) * volume(&case["brain"]);
        assert_eq!(median_filter(masked.view(), 4), volume(&golden["median"]));
        assert_eq!(median_filter(masked.view(), 1), masked);
    }

    #[test]
    fn a_cube_larger_than_the_volume_is_mirrored_again_and_again() {
        let places: Vec<usize> = (0..9).map(|place| mirrored(place, 4, 2)).collect();
        assert_eq!(places, [0, 1, 1, 0, 0, 1, 1, 0, 0]);
        assert_eq!(mirrored(0, 7, 1), 0);
    }
}
