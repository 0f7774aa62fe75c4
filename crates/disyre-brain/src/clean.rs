//! From a probability to one solid part: threshold, largest component, holes filled.

use std::collections::VecDeque;

use disyre_core::ndarray::{Array3, ArrayView3};

/// Mask of the largest part where the probability reaches a threshold, holes filled; voxels connect through faces.
///
/// Of equally large parts the first counts. A hole is what no path of voxels outside leads to the border of the array.
pub(crate) fn solid(probability: ArrayView3<'_, f32>, threshold: f32) -> Array3<u8> {
    let inside = probability.mapv(|share| share >= threshold);
    let parts = label(&inside);
    let Some(largest) = parts.largest() else { return Array3::zeros(inside.raw_dim()) };
    let mut mask = parts.labels.mapv(|part| u8::from(part == largest));
    fill_holes(&mut mask);
    mask
}

/// Parts of a mask, numbered from 1; 0 outside.
struct Parts {
    labels: Array3<u32>,
    voxels: Vec<usize>,
}

impl Parts {
    fn largest(&self) -> Option<u32> {
        let numbered = self.voxels.iter().enumerate().rev();
        numbered.max_by_key(|(_, voxels)| **voxels).map(|(index, _)| index as u32 + 1)
    }
}

fn label(inside: &Array3<bool>) -> Parts {
    let mut parts = Parts { labels: Array3::zeros(inside.raw_dim()), voxels: Vec::new() };
    let shape = shape_of(inside);
    for start in 0..inside.len() {
        let start = unravel(start, shape);
        if !inside[start] || parts.labels[start] != 0 {
            continue;
        }
        let part = parts.voxels.len() as u32 + 1;
        parts.labels[start] = part;
        let labels = &mut parts.labels;
        let voxels = flood(VecDeque::from([start]), shape, |voxel| {
            let joins = inside[voxel] && labels[voxel] == 0;
            if joins {
                labels[voxel] = part;
            }
            joins
        });
        parts.voxels.push(voxels);
    }
    parts
}

fn fill_holes(mask: &mut Array3<u8>) {
    let shape = shape_of(mask);
    let mut outside = mask.mapv(|_| false);
    let mut queue = VecDeque::new();
    for index in 0..mask.len() {
        let voxel = unravel(index, shape);
        let border = (0..3).any(|axis| voxel[axis] == 0 || voxel[axis] + 1 == shape[axis]);
        if border && mask[voxel] == 0 {
            outside[voxel] = true;
            queue.push_back(voxel);
        }
    }
    flood(queue, shape, |voxel| {
        let joins = mask[voxel] == 0 && !outside[voxel];
        outside[voxel] |= joins;
        joins
    });
    mask.zip_mut_with(&outside, |inside, &outside| *inside = u8::from(!outside));
}

/// Visits face neighbours of a queue as long as they join; the number of voxels that were in the queue.
fn flood(
    mut queue: VecDeque<[usize; 3]>,
    shape: [usize; 3],
    mut joins: impl FnMut([usize; 3]) -> bool,
) -> usize {
    let mut visited = 0;
    while let Some(voxel) = queue.pop_front() {
        visited += 1;
        for axis in 0..3 {
            let mut neighbour = voxel;
            if voxel[axis] > 0 {
                neighbour[axis] = voxel[axis] - 1;
                if joins(neighbour) {
                    queue.push_back(neighbour);
                }
            }
            if voxel[axis] + 1 < shape[axis] {
                neighbour[axis] = voxel[axis] + 1;
                if joins(neighbour) {
                    queue.push_back(neighbour);
                }
            }
        }
    }
    visited
}

/// Index along each axis of a voxel in memory order.
fn unravel(position: usize, [_, height, width]: [usize; 3]) -> [usize; 3] {
    [position / (height * width), position / width % height, position % width]
}

fn shape_of<T>(array: &Array3<T>) -> [usize; 3] {
    array.dim().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Slice;

    fn fill(probability: &mut Array3<f32>, from: [usize; 3], to: [usize; 3], value: f32) {
        let range = |axis: usize| Slice::from(from[axis]..to[axis]);
        probability.slice_each_axis_mut(|axis| range(axis.axis.index())).fill(value);
    }

    #[test]
    fn the_largest_part_stays_and_its_hole_is_filled() {
        let mut probability = Array3::zeros((9, 9, 9));
        fill(&mut probability, [1; 3], [6; 3], 0.9);
        probability[[3, 3, 3]] = 0.1; // a hole
        fill(&mut probability, [7; 3], [9; 3], 1.0); // a smaller part
        let mask = solid(probability.view(), 0.5);
        let mut expected = Array3::zeros((9, 9, 9));
        fill(&mut expected, [1; 3], [6; 3], 1.0);
        assert_eq!(mask.mapv(f32::from), expected);
    }

    #[test]
    fn a_bay_is_no_hole_and_nothing_stays_nothing() {
        let mut probability = Array3::from_elem((5, 5, 5), 1.0);
        fill(&mut probability, [0, 2, 2], [3, 3, 3], 0.0);
        assert_eq!(solid(probability.view(), 0.5).mapv(u32::from).sum(), 122);
        assert_eq!(solid(Array3::zeros((2, 2, 2)).view(), 0.5), Array3::<u8>::zeros((2, 2, 2)));
    }
}
