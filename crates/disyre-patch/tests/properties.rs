//! Properties of plans, weights and blends over images of any size.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_core::ndarray::{Array3, Array4, Axis};
use disyre_patch::{Blender, TilePlan, Window, WindowWeights};
use proptest::prelude::*;

/// Image, window and a stride of at most the window, 2D and 3D, smaller and larger than the window.
fn geometry() -> impl Strategy<Value = ([usize; 3], [usize; 3], [usize; 3])> {
    let axis = (1usize..20, 1usize..9)
        .prop_flat_map(|(image, window)| (Just(image), Just(window), 1..=window));
    let flat = prop_oneof![Just((1, 1, 1)), axis.clone()];
    (flat, axis.clone(), axis)
        .prop_map(|(z, y, x)| ([z.0, y.0, x.0], [z.1, y.1, x.1], [z.2, y.2, x.2]))
}

fn noise(shape: [usize; 3]) -> Array4<f32> {
    let [z, y, x] = shape;
    Array4::from_shape_fn((1, z, y, x), |(_, i, j, k)| {
        ((i * 7919 + j * 104_729 + k * 1_299_709) % 1009) as f32 / 1008.0
    })
}

fn blend(
    plan: &TilePlan,
    weights: &WindowWeights,
    image: &Array4<f32>,
    windows: impl Iterator<Item = Window>,
) -> Array3<f32> {
    let mut blender = Blender::new(plan, weights).unwrap();
    let [z, y, x] = plan.window_shape();
    let mut patch = Array4::zeros((1, z, y, x));
    for window in windows {
        plan.extract(image.view(), window, patch.view_mut()).unwrap();
        blender.add(window, patch.index_axis(Axis(0), 0)).unwrap();
    }
    blender.finish()
}

proptest! {
    #[test]
    fn windows_cover_every_voxel_and_fill_the_padded_image((image, window, stride) in geometry()) {
        let plan = TilePlan::new(image, window, stride).unwrap();
        let mut covered = Array3::<u32>::zeros(image);
        let (mut low, mut high) = ([isize::MAX; 3], [isize::MIN; 3]);
        for (index, one) in plan.windows().enumerate() {
            prop_assert_eq!(one.index(), index);
            prop_assert_eq!(plan.window(index), Some(one));
            let [z, y, x] = one.region();
            prop_assert!(!z.is_empty() && !y.is_empty() && !x.is_empty());
            covered.slice_mut(disyre_core::ndarray::s![z, y, x]).mapv_inplace(|n| n + 1);
            for axis in 0..3 {
                low[axis] = low[axis].min(one.start()[axis]);
                high[axis] = high[axis].max(one.start()[axis] + window[axis] as isize);
            }
        }
        prop_assert_eq!(plan.window(plan.len()), None);
        prop_assert!(covered.iter().all(|&count| count > 0));
        for axis in 0..3 {
            prop_assert_eq!(high[axis] - low[axis], plan.padded()[axis] as isize);
            let padding = plan.padded()[axis] - image[axis];
            prop_assert_eq!(-low[axis], (padding / 2) as isize);
            prop_assert!(padding < stride[axis].max(window[axis]));
        }
    }

    #[test]
    fn blending_what_was_extracted_gives_the_image_back((image, window, stride) in geometry()) {
        let plan = TilePlan::new(image, window, stride).unwrap();
        let original = noise(image);
        for weights in [WindowWeights::gaussian(window), WindowWeights::uniform(window)] {
            let weights = weights.unwrap();
            prop_assert!(weights.values().iter().all(|&weight| weight > 0.0 && weight <= 1.0));
            let blended = blend(&plan, &weights, &original, plan.windows());
            prop_assert_eq!(blended.view(), original.index_axis(Axis(0), 0));
        }
    }

    #[test]
    fn the_order_of_windows_changes_at_most_rounding((image, window, stride) in geometry()) {
        let plan = TilePlan::new(image, window, stride).unwrap();
        let windows: Vec<_> = plan.windows().collect();
        let weights = WindowWeights::gaussian(window).unwrap();
        let values = |one: &Window| {
            Array3::from_shape_fn(window, |(i, j, k)| ((one.index() + i * j + k) % 17) as f32)
        };
        let mut forward = Blender::new(&plan, &weights).unwrap();
        let mut backward = Blender::new(&plan, &weights).unwrap();
        for (one, other) in windows.iter().zip(windows.iter().rev()) {
            forward.add(*one, values(one).view()).unwrap();
            backward.add(*other, values(other).view()).unwrap();
        }
        for (a, b) in forward.finish().iter().zip(&backward.finish()) {
            prop_assert!((a - b).abs() <= 16.0 * f32::EPSILON, "{} {}", a, b);
        }
    }
}
