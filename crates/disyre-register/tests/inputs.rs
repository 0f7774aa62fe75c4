//! Any input yields an affine with an inverse, or an error: nothing panics.
#![cfg(feature = "template")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use disyre_core::ndarray::Array3;
use disyre_core::rand::RngExt;
use disyre_core::{Grid, Key, Volume};
use disyre_register::{
    Freedom, Level, Metric, RegisterConfig, RegisterError, Registration, Start, Template,
};
use proptest::prelude::*;

fn config(metric: Metric, start: Start) -> RegisterConfig {
    let level = |spacing_mm| Level { spacing_mm, samples: 500 };
    let levels = vec![level(16.0), level(8.0)];
    RegisterConfig { metric, start, levels, freedom: Freedom::Affine, ..RegisterConfig::default() }
}

const MATTES: Metric = Metric::MattesMutualInformation { bins: 32 };

fn register(template: &Template, scan: &Volume) -> Result<Registration, RegisterError> {
    config(MATTES, Start::Auto).build().unwrap().register(template, scan, None)
}

/// Zeros in a cube of 150 mm, but for some voxels.
fn voxels(values: &[([usize; 3], f32)]) -> Volume {
    let mut scan = Volume::zeros(Grid::from_spacing([50; 3], [3.0; 3]));
    values.iter().for_each(|&(index, value)| scan.data[index] = value);
    scan
}

fn assert_doubtful_and_finite(found: &Registration) {
    assert!(!found.verdict.is_good(), "{found:?}");
    assert!(found.metric.is_finite(), "{}", found.metric);
    let affines = [found.scan_from_template, found.inverse()];
    assert!(affines.iter().flatten().flatten().all(|value| value.is_finite()), "{found:?}");
}

#[test]
fn points_and_negative_scans_are_doubtful() {
    let template = Template::mni152().unwrap();
    let point = voxels(&[([20, 30, 25], 7.0)]);
    let two = voxels(&[([20, 30, 25], 7.0), ([40, 3, 2], f32::MAX)]);
    let mut negative = voxels(&[]);
    negative.data.indexed_iter_mut().for_each(|((z, ..), value)| *value = -1.0 - z as f32);
    for scan in [point, two, negative] {
        assert_doubtful_and_finite(&register(&template, &scan).unwrap());
    }
}

#[test]
fn a_scan_that_is_left_out_as_a_whole_is_doubtful() {
    let template = Template::mni152().unwrap();
    for metric in [MATTES, Metric::LocalCorrelation { radius: 1 }] {
        let registrar = config(metric, Start::Moments).build().unwrap();
        let all = Array3::ones(template.mask.dim());
        let found =
            registrar.register_excluding(&template, &template.volume, None, all.view()).unwrap();
        assert_doubtful_and_finite(&found);
    }
}

#[test]
fn affines_without_an_inverse_are_named() {
    let template = Template::mni152().unwrap();
    for bad in [0.0, f64::NAN, f64::INFINITY] {
        let mut scan = template.volume.clone();
        scan.grid.affine[0] = [bad, bad, bad, 1.0];
        scan.grid.affine[1] = [3.0, 4.0, 5.0, 0.0];
        let error = register(&template, &scan).unwrap_err();
        assert!(matches!(error, RegisterError::Singular { .. }), "{error}");
        let mut flat = template.clone();
        flat.volume.grid = scan.grid;
        let error = register(&flat, &template.volume).unwrap_err();
        assert!(matches!(error, RegisterError::Singular { .. }), "{error}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let template = Template::mni152().unwrap();
    let mut other = template.clone();
    other.mask = Array3::ones((3, 3, 3));
    let message = register(&other, &template.volume).unwrap_err().to_string();
    assert!(message.starts_with("mask of the template has shape [3, 3, 3]"), "{message}");
    let scan = Volume { data: Array3::ones((40, 40, 40)), grid: template.volume.grid };
    let message = register(&template, &scan).unwrap_err().to_string();
    assert!(message.starts_with("scan has shape [40, 40, 40]"), "{message}");
    let none = Volume::zeros(Grid::from_spacing([0, 50, 50], [3.0; 3]));
    assert!(matches!(register(&template, &none), Err(RegisterError::Thin { .. })));
}

#[test]
fn a_template_smaller_than_its_cells_fits_nothing() {
    let scan = Template::mni152().unwrap().volume;
    for template in [voxels(&[([20, 30, 25], 7.0)]), voxels(&[([0; 3], 7.0), ([49; 3], 5.0)])] {
        let template = Template::new(template, None).unwrap();
        for metric in [MATTES, Metric::LocalCorrelation { radius: 1 }] {
            let registrar = config(metric, Start::Moments).build().unwrap();
            assert_doubtful_and_finite(&registrar.register(&template, &scan, None).unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_finite_scan_is_registered_or_refused(
        shape in prop::array::uniform3(1..14_usize), log_spacing in prop::array::uniform3(0.0..4.0_f64),
        density in 0.0..1.0_f32, seed: u64, orientations: bool,
    ) {
        let mut rng = Key::new(seed).rng();
        let grid = Grid::from_spacing(shape, log_spacing.map(f64::exp));
        let data = Array3::from_shape_fn(shape, |_| {
            if rng.random::<f32>() < density { rng.random_range(-1.0_f32..20.0) } else { 0.0 }
        });
        let start = if orientations { Start::Orientations } else { Start::Moments };
        let registrar = config(MATTES, start).build().unwrap();
        match registrar.register(&Template::mni152().unwrap(), &Volume { data, grid }, None) {
            Ok(found) => assert_doubtful_and_finite(&found),
            Err(RegisterError::Thin { .. } | RegisterError::NoForeground { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
