//! Largest connected component of a mask, for blobs.

use disyre_core::ndarray::{ArrayViewMut3, Zip};
use disyre_core::{Components, Connectivity};

/// Sets a mask to 0 outside its largest connected part (voxels that share a face; the first among equals).
pub(crate) fn keep_largest_component(mut mask: ArrayViewMut3<'_, f32>) {
    let inside = mask.mapv(|value| u8::from(value > 0.0));
    let parts = Components::new(inside.view(), Connectivity::Faces);
    let largest = parts.largest();
    let kept = parts.mask(|part| Some(part) == largest);
    Zip::from(&mut mask).and(&kept).for_each(|value, &kept| {
        if kept == 0 {
            *value = 0.0;
        }
    });
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
