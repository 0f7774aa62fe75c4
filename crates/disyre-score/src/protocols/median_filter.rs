//! Median of a cube about each voxel.

use disyre_core::ndarray::{Array3, ArrayView3, ArrayViewMut1, Axis};
use rayon::prelude::*;

use crate::float_order;

/// The median of the `size`³ voxels about each, those beyond an edge mirrored at it.
///
/// An even cube reaches one voxel further back than forward, and of two middle values the greater is taken: SciPy's
/// `median_filter(volume, size, mode="reflect")`.
pub(super) fn median_filter(volume: ArrayView3<'_, f32>, size: usize) -> Array3<f32> {
    let mut filtered = Array3::zeros(volume.raw_dim());
    filtered.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut slice)| {
        let (mut rows, mut cube) = (Vec::new(), Vec::with_capacity(size.pow(3)));
        for (y, row) in slice.axis_iter_mut(Axis(0)).enumerate() {
            collect_rows(volume, [z, y], size, &mut rows);
            filter_row(row, &rows, size, &mut cube);
        }
    });
    filtered
}

/// The `size`² rows about one, each mirrored at both of its ends, one after another and encoded by [`float_order`].
fn collect_rows(volume: ArrayView3<'_, f32>, at: [usize; 2], size: usize, rows: &mut Vec<u32>) {
    let (slices, lines, columns) = volume.dim();
    let about = |at: usize, length| (at..at + size).map(move |p| mirrored(p, size / 2, length));
    rows.clear();
    for (z, y) in about(at[0], slices).flat_map(|z| about(at[1], lines).map(move |y| (z, y))) {
        let padded = (0..columns + size - 1).map(|p| mirrored(p, size / 2, columns));
        rows.extend(padded.map(|x| float_order::encode(volume[[z, y, x]])));
    }
}

fn filter_row(mut row: ArrayViewMut1<'_, f32>, rows: &[u32], size: usize, cube: &mut Vec<u32>) {
    // Most rows of a volume are background, whose median needs no search.
    if rows.iter().all(|&key| key == rows[0]) {
        return row.fill(float_order::decode(rows[0]));
    }
    let length = row.len() + size - 1;
    for (x, median) in row.into_iter().enumerate() {
        cube.clear();
        rows.chunks_exact(length).for_each(|line| cube.extend_from_slice(&line[x..x + size]));
        let middle = cube.len() / 2;
        *median = float_order::decode(*cube.select_nth_unstable(middle).1);
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
