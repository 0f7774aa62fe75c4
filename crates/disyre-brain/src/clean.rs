//! From a probability to one solid part: threshold, largest component, holes filled.

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{Component, Components, Connectivity};

/// Mask of the largest part where the probability reaches a threshold, holes filled; voxels connect through faces.
///
/// Of equally large parts the first counts. A hole is what no path of voxels outside leads to the border of the array.
pub(crate) fn solid(probability: ArrayView3<'_, f32>, threshold: f32) -> Array3<u8> {
    let inside = probability.mapv(|share| u8::from(share >= threshold));
    let parts = Components::new(inside.view(), Connectivity::Faces);
    let Some(largest) = parts.largest() else { return inside };
    let outside = parts.mask(|part| part == largest).mapv(|inside| 1 - inside);
    let spaces = Components::new(outside.view(), Connectivity::Faces);
    spaces.mask(|space| reaches_border(&spaces[space], spaces.shape())).mapv(|outside| 1 - outside)
}

fn reaches_border(space: &Component, shape: [usize; 3]) -> bool {
    (0..3).any(|axis| space.lower[axis] == 0 || space.upper[axis] == shape[axis])
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
