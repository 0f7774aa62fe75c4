//! Components against a flood fill, on masks of any density.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::collections::BTreeMap;

use disyre_core::ndarray::Array3;
use disyre_core::{Components, Connectivity, Overlap};
use proptest::prelude::*;

/// Numbers from 1 in the order of first voxels, by visiting neighbours one by one.
fn flood(mask: &Array3<u8>, connectivity: Connectivity) -> Array3<u32> {
    let mut labels = Array3::<u32>::zeros(mask.raw_dim());
    let mut count = 0;
    for ((z, y, x), _) in mask.indexed_iter().filter(|(_, inside)| **inside != 0) {
        if labels[[z, y, x]] != 0 {
            continue;
        }
        count += 1;
        let mut stack = vec![[z, y, x]];
        while let Some(voxel) = stack.pop() {
            if mask.get(voxel).is_none_or(|&inside| inside == 0) || labels[voxel] != 0 {
                continue;
            }
            labels[voxel] = count;
            for step in 0..27 {
                let step = [step / 9, step / 3 % 3, step % 3];
                let axes = step.iter().filter(|&&along| along != 1).count();
                if connectivity == Connectivity::Corners || axes == 1 {
                    stack.push([0, 1, 2].map(|axis| (voxel[axis] + step[axis]).wrapping_sub(1)));
                }
            }
        }
    }
    labels
}

fn masks(count: usize) -> impl Strategy<Value = Vec<Array3<u8>>> {
    let shape = (1usize..6, 1usize..7, 1usize..45);
    (shape, 1u8..12).prop_flat_map(move |(shape, density)| {
        let voxels = prop::collection::vec(0u8..12, shape.0 * shape.1 * shape.2);
        let mask = voxels.prop_map(move |voxels| {
            let voxels = voxels.into_iter().map(|voxel| u8::from(voxel < density)).collect();
            Array3::from_shape_vec(shape, voxels).unwrap()
        });
        prop::collection::vec(mask, count)
    })
}

proptest! {
    #[test]
    fn components_are_those_of_a_flood_fill(masks in masks(1)) {
        for connectivity in [Connectivity::Faces, Connectivity::Corners] {
            let (found, expected) = (Components::new(masks[0].view(), connectivity), flood(&masks[0], connectivity));
            prop_assert_eq!(&found.labels(), &expected);
            prop_assert_eq!(found.len() as u32, expected.iter().copied().max().unwrap_or(0));
            for (index, component) in found.iter().enumerate() {
                let own: Vec<_> = expected
                    .indexed_iter()
                    .filter(|(_, label)| **label == index as u32 + 1)
                    .map(|((z, y, x), _)| [z, y, x])
                    .collect();
                prop_assert_eq!(component.voxels, own.len() as u64);
                for axis in 0..3 {
                    let along = || own.iter().map(|voxel| voxel[axis]);
                    prop_assert_eq!(component.lower[axis], along().min().unwrap());
                    prop_assert_eq!(component.upper[axis], along().max().unwrap() + 1);
                    let mean = along().sum::<usize>() as f64 / own.len() as f64;
                    prop_assert_eq!(component.centroid()[axis], mean);
                }
            }
            prop_assert_eq!(found.mask(|_| true), masks[0].clone());
        }
    }

    #[test]
    fn overlaps_are_those_of_the_voxels(masks in masks(2)) {
        let [a, b] = [0, 1].map(|index| Components::new(masks[index].view(), Connectivity::Corners));
        let mut expected = BTreeMap::new();
        for (&first, &second) in a.labels().iter().zip(&b.labels()) {
            if first != 0 && second != 0 {
                *expected.entry((first as usize - 1, second as usize - 1)).or_insert(0) += 1;
            }
        }
        let expected: Vec<_> = expected
            .into_iter()
            .map(|((first, second), voxels)| Overlap { first, second, voxels })
            .collect();
        prop_assert_eq!(a.overlaps(&b).unwrap(), expected);
    }
}

#[test]
fn masks_without_voxels_have_no_component() {
    for shape in [(0, 0, 0), (0, 3, 3), (3, 0, 3), (3, 3, 0), (2, 2, 2)] {
        let found = Components::new(Array3::zeros(shape).view(), Connectivity::Corners);
        assert!(found.is_empty());
        assert_eq!(found.labels(), Array3::zeros(shape));
        assert_eq!(found.largest(), None);
    }
}

#[test]
fn the_first_of_equally_large_components_is_the_largest() {
    let mask = disyre_core::ndarray::array![[[1, 0, 1, 1, 0, 1, 1]]];
    assert_eq!(Components::new(mask.view(), Connectivity::Faces).largest(), Some(1));
}
