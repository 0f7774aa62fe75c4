//! Largest connected component of a mask, for blobs.

use std::ops::Range;

use disyre_core::ndarray::{ArrayViewMut3, Axis, Slice};

/// Sets a mask to 0 outside its largest connected part (voxels that share a face; the first among equals).
///
/// # Source
/// Rosenfeld and Pfaltz, "Sequential operations in digital picture processing" (1966), on runs of voxels.
pub(crate) fn keep_largest_component(mut mask: ArrayViewMut3<'_, f32>) {
    let (_, height, _) = mask.dim();
    let mut runs: Vec<Run> = Vec::new();
    // The runs of every row so far: row `r` has those from `starts[r]` to `starts[r + 1]`.
    let mut starts = vec![0];
    for (row, voxels) in mask.rows().into_iter().enumerate() {
        let own = runs.len();
        let mut first = None;
        for (x, &value) in voxels.iter().chain([&0.0]).enumerate() {
            match (value > 0.0, first) {
                (true, None) => first = Some(x),
                (false, Some(start)) => {
                    runs.push(Run { row, start, end: x, part: runs.len() });
                    first = None;
                }
                _ => {}
            }
        }
        if row % height > 0 {
            connect(&mut runs, starts[row - 1]..starts[row], own);
        }
        if row >= height {
            connect(&mut runs, starts[row - height]..starts[row - height + 1], own);
        }
        starts.push(runs.len());
    }
    clear_all_but_largest(&mut mask, &mut runs);
}

/// Neighbouring voxels of a row that belong to the mask.
#[derive(Debug, Clone, Copy)]
struct Run {
    row: usize,
    start: usize,
    end: usize,
    /// A run of the same part that comes no later than this one; its own index for the first of a part.
    part: usize,
}

/// Joins the runs from `own` on with those of a neighbouring row, both in order.
fn connect(runs: &mut [Run], mut other: Range<usize>, own: usize) {
    for index in own..runs.len() {
        let run = runs[index];
        while other.start < other.end && runs[other.start].end <= run.start {
            other.start += 1;
        }
        for neighbour in other.clone() {
            if runs[neighbour].start >= run.end {
                break;
            }
            let (a, b) = (root(runs, index), root(runs, neighbour));
            runs[a.max(b)].part = a.min(b);
        }
    }
}

/// The first run of a part, as far as it is known; shortens the path to it.
fn root(runs: &mut [Run], mut index: usize) -> usize {
    while runs[index].part != index {
        runs[index].part = runs[runs[index].part].part;
        index = runs[index].part;
    }
    index
}

fn clear_all_but_largest(mask: &mut ArrayViewMut3<'_, f32>, runs: &mut [Run]) {
    let mut voxels = vec![0usize; runs.len()];
    for index in 0..runs.len() {
        voxels[root(runs, index)] += runs[index].end - runs[index].start;
    }
    let Some(largest) = (0..runs.len()).rev().max_by_key(|&index| voxels[index]) else { return };
    let mut index = 0;
    for (row, mut voxels) in mask.rows_mut().into_iter().enumerate() {
        while let Some(&Run { start, end, .. }) = runs.get(index).filter(|run| run.row == row) {
            if root(runs, index) != largest {
                voxels.slice_axis_mut(Axis(0), Slice::from(start..end)).fill(0.0);
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};

    #[test]
    fn only_the_larger_of_two_parts_stays() {
        let mut mask = array![[[1., 1., 0., 1.], [0., 0., 0., 1.], [1., 0., 1., 1.]]];
        keep_largest_component(mask.view_mut());
        assert_eq!(mask, array![[[0., 0., 0., 1.], [0., 0., 0., 1.], [0., 0., 1., 1.]]]);
    }

    #[test]
    fn parts_connect_across_slices() {
        let mut mask = Array3::zeros((3, 1, 3));
        mask[[0, 0, 0]] = 1.0;
        mask[[1, 0, 0]] = 1.0;
        mask[[2, 0, 2]] = 1.0;
        keep_largest_component(mask.view_mut());
        assert_eq!((mask.sum(), mask[[2, 0, 2]]), (2.0, 0.0));
    }

    #[test]
    fn a_part_that_closes_late_is_one_part() {
        // Two arms that meet in the last row, and a block between them that is smaller than both together.
        let mut mask = array![[
            [1., 0., 1., 1., 0., 1.],
            [1., 0., 1., 0., 0., 1.],
            [1., 0., 0., 0., 0., 1.],
            [1., 1., 1., 1., 1., 1.]
        ]];
        let expected = Array3::from_shape_fn((1, 4, 6), |(_, y, x)| {
            f32::from(u8::from(y == 3 || x == 0 || x == 5))
        });
        keep_largest_component(mask.view_mut());
        assert_eq!(mask, expected);
    }

    #[test]
    fn an_empty_mask_stays_empty() {
        let mut mask = Array3::zeros((1, 2, 2));
        keep_largest_component(mask.view_mut());
        assert_eq!(mask.sum(), 0.0);
    }
}
