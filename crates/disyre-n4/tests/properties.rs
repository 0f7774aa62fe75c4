//! Properties for any image and mask, and the inputs that are refused.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use disyre_core::Key;
use disyre_core::ndarray::Array3;
use disyre_core::rand::RngExt;
use disyre_n4::{N4Config, N4Error};
use proptest::prelude::*;
use support::*;

fn random_image(shape: (usize, usize, usize), seed: u64) -> Array3<f32> {
    let mut rng = Key::new(seed).rng();
    Array3::from_shape_fn(shape, |_| rng.random_range(-1.0_f32..50.0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_image_gets_a_positive_field_and_is_divided_by_it(
        shape in (1..9_usize, 1..20_usize, 1..20_usize), shrink in 1..5_usize, seed in 0..1000_u64,
    ) {
        let image = random_image(shape, seed);
        let config = N4Config { shrink, iterations: vec![5, 5], ..N4Config::default() };
        let n4 = config.build().unwrap();
        let result = n4.correct(image.view(), Array3::ones(shape).view());
        let Ok(correction) = result else {
            let is_small = matches!(result, Err(N4Error::NoVoxels { .. }));
            prop_assert!(is_small);
            return Ok(());
        };
        let field = correction.field.evaluate();
        prop_assert!(field.iter().all(|&value| value > 0.0 && value.is_finite()));
        prop_assert_eq!(&correction.corrected, &(&image / &field));
    }

    #[test]
    fn voxels_without_weight_do_not_matter(seed in 0..1000_u64) {
        let image = random_image((6, 10, 10), seed);
        let mut rng = Key::new(seed).child("mask").rng();
        let mask = Array3::from_shape_fn((6, 10, 10), |_| u8::from(rng.random::<f32>() < 0.7));
        let mut other = image.clone();
        other.zip_mut_with(&mask, |value, &inside| if inside == 0 { *value = 1e4 });
        let n4 = N4Config { shrink: 1, iterations: vec![5, 5], ..N4Config::default() }.build().unwrap();
        let field = n4.correct(image.view(), mask.view()).unwrap().field;
        prop_assert_eq!(&n4.correct(other.view(), mask.view()).unwrap().field, &field);
        let weights = mask.mapv(f32::from);
        prop_assert_eq!(&n4.correct_weighted(image.view(), weights.view()).unwrap().field, &field);
    }
}

#[test]
fn voxels_count_by_their_weights() {
    // Two halves with opposite shading: the field of the heavier half wins where they meet.
    let image = Array3::from_shape_fn((1, 24, 24), |(_, y, x)| {
        let tissue = if (x / 2 + y / 2) % 2 == 0 { 100.0 } else { 50.0 };
        tissue * if y % 2 == 0 { (0.01 * x as f32).exp() } else { (-0.01 * x as f32).exp() }
    });
    let n4 = N4Config { shrink: 1, ..N4Config::default() }.build().unwrap();
    let rise = |even: f32, odd: f32| {
        let weights =
            Array3::from_shape_fn((1, 24, 24), |(_, y, _)| if y % 2 == 0 { even } else { odd });
        let field = n4.correct_weighted(image.view(), weights.view()).unwrap().field;
        field.log_at([0.0, 12.0, 22.0]) - field.log_at([0.0, 12.0, 1.0])
    };
    let (even, odd) = (rise(1.0, 0.01), rise(0.01, 1.0));
    assert!(even > 0.05 && odd < -0.05, "{even} {odd}");
    // Only ratios of weights count.
    let small = 2.0_f32.powi(-40);
    assert_eq!(rise(small, 0.01 * small), even);
}

#[test]
fn a_constant_image_has_no_field() {
    let image = Array3::from_elem((8, 8, 8), 3.0);
    let correction = correct(&N4Config { shrink: 1, ..N4Config::default() }, &image);
    assert_eq!(correction.corrected, image);
}

#[test]
fn what_cannot_be_corrected_is_refused_with_the_cause() {
    let n4 = N4Config::default().build().unwrap();
    let image = random_image((8, 8, 8), 1);
    let message = |result: Result<_, N4Error>| {
        result.map(|_: disyre_n4::N4Correction| ()).unwrap_err().to_string()
    };
    assert_eq!(
        message(n4.correct(image.view(), Array3::zeros((8, 8, 8)).view())),
        "only 0 of the sampled voxels are in the mask and above 0, and 2 are needed; check the mask, or use a smaller \
         shrink than 4"
    );
    assert_eq!(
        message(n4.correct(image.view(), Array3::ones((8, 8, 7)).view())),
        "mask has shape [8, 8, 7], expected [8, 8, 8]"
    );
    let nothing = Array3::zeros((0, 8, 8));
    let empty = n4.correct(nothing.view(), Array3::zeros((0, 8, 8)).view());
    assert_eq!(message(empty), "image is empty");
    let none = n4.correct_weighted(image.view(), Array3::zeros((8, 8, 8)).view());
    assert!(matches!(none, Err(N4Error::NoVoxels { got: 0, .. })));
    let mut weights = Array3::ones((8, 8, 8));
    weights[[1, 2, 3]] = -0.5;
    assert_eq!(
        message(n4.correct_weighted(image.view(), weights.view())),
        "weights hold -0.5 at voxel [1, 2, 3] (z, y, x); they must be 0 or more"
    );
    let mut image = image;
    image[[0, 0, 5]] = f32::NAN;
    let message = message(n4.correct(image.view(), Array3::ones((8, 8, 8)).view()));
    assert!(
        message.contains("image holds a value that is not finite, first at index [0, 0, 5]"),
        "{message}"
    );
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |config: N4Config| config.build().unwrap_err().to_string();
    let default = N4Config::default;
    for (config, message) in [
        (N4Config { iterations: vec![], ..default() }, "number of iterations is 0; choose 1 to 16"),
        (N4Config { iterations: vec![50, 0], ..default() }, "iterations is 0; choose 1 to 1000000"),
        (
            N4Config { control_points: [4, 3, 4], ..default() },
            "control_points is 3; choose 4 to 259",
        ),
        (N4Config { bins: 1, ..default() }, "bins is 1; choose 2 to 65536"),
        (N4Config { fwhm: 0.0, ..default() }, "fwhm is 0; it must be a finite number above 0"),
        (
            N4Config { noise: f64::NAN, ..default() },
            "noise is NaN; it must be a finite number above 0",
        ),
        (
            N4Config { convergence: -1.0, ..default() },
            "convergence is -1; it must be a finite number above 0",
        ),
        (
            N4Config { iterations: vec![1; 10], ..default() },
            "10 fitting levels from [4, 4, 4] control points end with 515 along an axis, more than 259; remove entries \
             of iterations",
        ),
    ] {
        assert_eq!(refused(config), message);
    }
}

#[test]
fn a_misspelt_setting_is_refused() {
    assert!(serde_json::from_str::<N4Config>(r#"{"shrink": 2}"#).is_ok());
    assert!(serde_json::from_str::<N4Config>(r#"{"shrinks": 2}"#).is_err());
}
