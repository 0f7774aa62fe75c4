//! Differences between scanners: what each does to a patch, and what holds of every draw.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::f64::consts::FRAC_PI_2;

use disyre_augment::{CropParams, NoiseParams, Scanner, ScannerConfig, ScannerParams, Wave};
use disyre_core::Key;
use disyre_core::ndarray::{Array4, Axis, array, s};
use proptest::prelude::*;

const NOTHING: ScannerParams = ScannerParams {
    spacing_mm: [2.0; 3],
    curve: None,
    field: None,
    blur_sigma_mm: None,
    noise: None,
    crop: None,
};

/// Everything always happens.
fn always() -> ScannerConfig {
    ScannerConfig {
        curve_probability: 1.0,
        field_probability: 1.0,
        blur_probability: 1.0,
        noise_probability: 1.0,
        crop_probability: 1.0,
        ..ScannerConfig::default()
    }
}

fn scanner(config: ScannerConfig) -> Scanner {
    config.build([2.0; 3]).unwrap()
}

/// A ball of tissue in background.
fn ball(shape: [usize; 4]) -> Array4<f32> {
    Array4::from_shape_fn(shape, |(c, z, y, x)| {
        let apart =
            |index: usize, axis: usize| (2.0 * index as f32 + 1.0) / shape[axis] as f32 - 1.0;
        let radius = apart(z, 1).powi(2) + apart(y, 2).powi(2) + apart(x, 3).powi(2);
        if radius < 0.8 { 0.1 + ((x * 7 + y * 3 + z + c) % 9) as f32 / 10.0 } else { 0.0 }
    })
}

fn changed(params: &ScannerParams, patch: &Array4<f32>) -> Array4<f32> {
    let mut patch = patch.clone();
    params.apply(patch.view_mut()).unwrap();
    patch
}

fn ensure_near(got: &Array4<f32>, expected: &Array4<f32>) {
    let apart = (got - expected).mapv(f32::abs);
    assert!(apart.iter().all(|&apart| apart < 1e-5), "{got} expected {expected}");
}

#[test]
fn a_curve_joins_its_knots_by_straight_lines() {
    let params = ScannerParams { curve: Some(vec![0.2, 0.6, 0.7, 1.0]), ..NOTHING };
    let patch = array![[[[0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 0.875, 1.0]]]];
    let expected = array![[[[0.0, 0.1, 0.2, 0.4, 0.6, 0.7, 0.85, 1.0]]]];
    ensure_near(&changed(&params, &patch), &expected);
}

#[test]
fn a_field_is_the_exponential_of_its_waves_in_millimetres() {
    // A quarter of a wave of 40 mm is 5 voxels of 2 mm; voxel 5 of 11 is the middle.
    let along = |axis: usize| {
        let mut frequency = [0.0; 3];
        frequency[axis] = FRAC_PI_2 / 10.0;
        Wave { amplitude: [0.3, 9.0, 9.0], frequency, phase: 0.0 }
    };
    for axis in 0..3 {
        let mut shape = [1; 4];
        shape[axis + 1] = 11;
        let params = ScannerParams { field: Some(vec![along(axis)]), ..NOTHING };
        let values = changed(&params, &Array4::from_elem(shape, 0.5));
        let values: Vec<f32> = values.into_iter().collect();
        let expected = [0.5 * (-0.3f32).exp(), 0.5, 0.5 * 0.3f32.exp()];
        for (index, expected) in [0, 5, 10].into_iter().zip(expected) {
            assert!((values[index] - expected).abs() < 1e-6, "{values:?}");
        }
    }
    let both = ScannerParams { field: Some(vec![along(1), along(2)]), ..NOTHING };
    let corner = changed(&both, &Array4::from_elem((1, 1, 11, 11), 0.5))[[0, 0, 10, 10]];
    assert!((corner - 0.5 * 0.6f32.exp()).abs() < 1e-6, "{corner}");
}

#[test]
fn resolution_is_lost_along_each_axis_by_its_own_amount_and_not_at_the_rim() {
    let blur = |blur_sigma_mm| ScannerParams { blur_sigma_mm: Some(blur_sigma_mm), ..NOTHING };
    let mut point = Array4::from_elem((1, 1, 33, 33), 0.2f32);
    point[[0, 0, 16, 16]] = 1.0;
    let smooth = changed(&blur([9.0, 2.0, 3.0]), &point);
    // Second moments of the point: 1 and 1.5 voxels.
    let moment = |axis: usize| {
        let spread = smooth.indexed_iter().map(|((_, _, y, x), &value)| {
            let apart = [y, x][axis] as f64 - 16.0;
            f64::from(value - 0.2) * apart * apart
        });
        spread.sum::<f64>() / 0.8
    };
    assert!((moment(0) - 1.0).abs() < 0.01, "{}", moment(0)); // cut off after four
    assert!((moment(1) - 2.25).abs() < 0.02, "{}", moment(1));
    // A uniform object keeps its value up to its rim.
    let disc = ball([1, 1, 24, 24]).mapv(|value| if value > 0.0 { 0.6 } else { 0.0 });
    ensure_near(&changed(&blur([2.0; 3]), &disc), &disc);
}

#[test]
fn noise_grows_with_the_intensity_as_drawn() {
    let noise = NoiseParams { deviation: 0.01, per_intensity: 0.05, source: Key::new(2) };
    let params = ScannerParams { noise: Some(noise), ..NOTHING };
    for (level, expected) in [(0.2f32, 0.02), (0.6, 0.04)] {
        let noisy = changed(&params, &Array4::from_elem((1, 1, 200, 200), level));
        let squares = noisy.iter().map(|&value| f64::from(value - level).powi(2));
        let deviation = (squares.sum::<f64>() / 40_000.0).sqrt();
        // Its standard error is 1 / √80 000 of it.
        assert!((deviation / expected - 1.0).abs() < 0.02, "{deviation}");
    }
}

#[test]
fn a_crop_takes_its_share_along_a_straight_line_and_leaves_the_rest() {
    let patch = Array4::from_elem((1, 1, 20, 20), 0.5);
    let crop =
        |normal, share| ScannerParams { crop: Some(CropParams { normal, share }), ..NOTHING };
    let rows = changed(&crop([0.0, -1.0, 0.0], 0.3), &patch);
    assert_eq!(rows.slice(s![.., .., ..6, ..]).sum(), 0.0);
    assert_eq!(rows.slice(s![.., .., 6.., ..]), patch.slice(s![.., .., 6.., ..]));
    // Half of the diagonal from corner to corner.
    let diagonal = changed(&crop([0.0, 1.0, 1.0], 0.5), &patch);
    for ((_, _, y, x), &value) in diagonal.indexed_iter() {
        assert_eq!(value, if y + x > 19 { 0.0 } else { 0.5 });
    }
    // A direction across the slice leaves a slice alone.
    assert_eq!(changed(&crop([1.0, 0.0, 0.0], 0.3), &patch), patch);
}

#[test]
fn draws_are_as_frequent_and_as_far_as_configured() {
    let (config, scanner) = (ScannerConfig::default(), scanner(ScannerConfig::default()));
    let draws: Vec<_> = (0..10_000u64).map(|i| scanner.draw(Key::new(4).child(i))).collect();
    let share = |happens: &dyn Fn(&ScannerParams) -> bool| {
        draws.iter().filter(|draw| happens(draw)).count() as f64 / draws.len() as f64
    };
    // Standard deviations: at most .005.
    assert!((share(&|draw| draw.curve.is_some()) - 0.5).abs() < 0.02);
    assert!((share(&|draw| draw.field.is_some()) - 0.5).abs() < 0.02);
    assert!((share(&|draw| draw.blur_sigma_mm.is_some()) - 0.3).abs() < 0.02);
    assert!((share(&|draw| draw.noise.is_some()) - 0.3).abs() < 0.02);
    assert!((share(&|draw| draw.crop.is_some()) - 0.05).abs() < 0.01);
    // They are independent of each other.
    assert!((share(&|draw| draw.curve.is_some() && draw.field.is_some()) - 0.25).abs() < 0.02);
    for curve in draws.iter().filter_map(|draw| draw.curve.as_ref()) {
        for (index, knot) in curve.iter().enumerate() {
            let apart = (knot - (index + 1) as f64 / 5.0).abs();
            assert!(apart <= config.curve_displacement && *knot <= 1.0);
        }
    }
    for field in draws.iter().filter_map(|draw| draw.field.as_ref()) {
        let bound: f64 = field.iter().map(|wave| wave.amplitude[0].abs()).sum();
        assert!(bound <= 0.150_001, "{bound}");
        for wave in field {
            let number = wave.frequency.iter().map(|v| v * v).sum::<f64>().sqrt();
            let length = std::f64::consts::TAU / number;
            assert!((119.9..400.1).contains(&length), "{length}");
        }
    }
}

#[test]
fn settings_and_records_out_of_range_are_named() {
    let refused = |config: ScannerConfig| config.build([2.0; 3]).unwrap_err().to_string();
    let default = ScannerConfig::default;
    let error = refused(ScannerConfig { field_probability: 1.5, ..default() });
    assert!(error.starts_with("field_probability is 1.5"), "{error}");
    let error = refused(ScannerConfig { curve_displacement: 0.1, ..default() });
    assert!(error.starts_with("curve_displacement is 0.1, expected less than half"), "{error}");
    let error = refused(ScannerConfig { curve_knots: 0, ..default() });
    assert!(error.starts_with("curve_knots is 0"), "{error}");
    let error = default().build([2.0, 2.0, 0.0]).unwrap_err().to_string();
    assert!(error.starts_with("spacing_mm is 0"), "{error}");

    let original = array![[[[0.25f32, 0.5]]]];
    let refused = |params: ScannerParams| {
        let mut patch = original.clone();
        assert!(params.apply(patch.view_mut()).is_err());
        assert_eq!(patch, original);
    };
    refused(ScannerParams { curve: Some(vec![0.5, 0.4]), ..NOTHING });
    refused(ScannerParams { blur_sigma_mm: Some([0.0, f64::NAN, 0.0]), ..NOTHING });
    let steep = Wave { amplitude: [3.0; 3], frequency: [0.0; 3], phase: 0.0 };
    refused(ScannerParams { field: Some(vec![steep]), ..NOTHING });
    let crop = Some(CropParams { normal: [0.0, 1.0, 0.0], share: 1.5 });
    refused(ScannerParams { crop, ..NOTHING });
    let mut nan = array![[[[f32::NAN]]]];
    assert!(NOTHING.apply(nan.view_mut()).is_err());
}

fn shapes() -> impl Strategy<Value = [usize; 4]> {
    [1usize..3, 1..6, 1..24, 1..24]
}

proptest! {
    #[test]
    fn background_stays_0_and_patches_are_in_the_unit_interval_and_replayed(
        seed: u64, shape in shapes(), often: bool,
    ) {
        let config = if often { always() } else { ScannerConfig::default() };
        let drawn = scanner(config).draw(Key::new(seed));
        let patch = ball(shape);
        let first = changed(&drawn, &patch);
        prop_assert!(first.iter().all(|value| (0.0..=1.0).contains(value)));
        prop_assert!(first.iter().zip(&patch).all(|(&new, &old)| old > 0.0 || new == 0.0));
        let recipe = serde_json::to_string(&drawn).unwrap();
        let replayed: ScannerParams = serde_json::from_str(&recipe).unwrap();
        prop_assert_eq!(&replayed, &drawn);
        prop_assert_eq!(changed(&replayed, &patch), first);
    }

    #[test]
    fn a_curve_keeps_the_order_of_intensities(
        seed: u64, knots in 1usize..12, share in 0.0..0.99f64,
    ) {
        let curve_displacement = share * 0.499 / knots as f64;
        let config = ScannerConfig { curve_knots: knots, curve_displacement, ..always() };
        let drawn = scanner(config).draw(Key::new(seed));
        let ramp = Array4::from_shape_fn((1, 1, 1, 201), |(_, _, _, x)| x as f32 / 200.0);
        let values = changed(&ScannerParams { curve: drawn.curve, ..NOTHING }, &ramp);
        let values: Vec<f32> = values.into_iter().collect();
        prop_assert_eq!(values[0], 0.0);
        prop_assert!(values[1] > 0.0);
        prop_assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn nothing_drawn_changes_nothing(seed: u64, shape in shapes()) {
        let never = ScannerConfig {
            curve_probability: 0.0,
            field_probability: 0.0,
            blur_probability: 0.0,
            noise_probability: 0.0,
            crop_probability: 0.0,
            ..ScannerConfig::default()
        };
        let drawn = scanner(never).draw(Key::new(seed));
        prop_assert_eq!(changed(&drawn, &ball(shape)), ball(shape));
    }

    #[test]
    fn a_slice_of_a_volume_is_changed_as_the_slice_alone(seed: u64) {
        // The middle slice of three, by all that does not look across slices.
        let drawn = scanner(always()).draw(Key::new(seed));
        let mut drawn = ScannerParams { noise: None, ..drawn };
        drawn.blur_sigma_mm.as_mut().unwrap()[0] = 0.0;
        drawn.crop = None;
        let volume = ball([1, 3, 20, 20]);
        let alone = volume.slice(s![.., 1..2, .., ..]).to_owned();
        let (whole, slice) = (changed(&drawn, &volume), changed(&drawn, &alone));
        prop_assert_eq!(whole.index_axis(Axis(1), 1), slice.index_axis(Axis(1), 0));
    }
}
