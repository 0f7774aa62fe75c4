//! Known affines are recovered, from any contrast, beside SimpleITK's (`fixtures/make.py`).
#![cfg(feature = "template")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use common::{Contrast, PLAIN, distances, head, random_affine, scan, without};
use disyre_core::ndarray::Array3;
use disyre_core::{Affine, Key};
use disyre_register::{
    Freedom, Level, Metric, RegisterConfig, RegisterError, Registration, Start, Template, Verdict,
};
use disyre_volume::affine::{compose, transform};
use disyre_volume::{Grid, Interpolation, Volume, nonzero_mask, resample_to_grid};
use serde::Deserialize;

#[derive(Deserialize)]
struct Document {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    contrast: String,
    gamma: f32,
    inverted: bool,
    bias: f32,
    noise: f32,
    truth: Affine,
    simpleitk: Affine,
}

fn cases() -> Vec<Case> {
    let text = include_str!("fixtures/simpleitk.json");
    serde_json::from_str::<Document>(text).unwrap().cases
}

fn template() -> Template {
    Template::mni152().unwrap()
}

fn register(config: &RegisterConfig, template: &Template, scan: &Volume) -> Registration {
    config.build().unwrap().register(template, scan, None).unwrap()
}

#[test]
fn every_contrast_is_brought_home_and_nearer_than_by_simpleitk() {
    let template = template();
    let cases = cases();
    assert_eq!(cases.len(), 8);
    for (index, case) in cases.iter().enumerate() {
        let Case { gamma, inverted, bias, noise, .. } = *case;
        let contrast = Contrast { gamma, inverted, bias, noise };
        let scan = scan(&template, &case.truth, contrast, Key::new(index as u64));
        let found = register(&RegisterConfig::default(), &template, &scan);
        let [median, most] = distances(&template, &found.scan_from_template, &case.truth);
        let [theirs, theirs_most] = distances(&template, &case.simpleitk, &case.truth);
        println!(
            "{}: {median:.2} and {most:.2} mm, SimpleITK {theirs:.2} and {theirs_most:.2} mm",
            case.contrast
        );
        assert!(median < 0.25 && most < 0.5, "{}: {median} mm, {most} mm", case.contrast);
        assert!(median <= theirs, "{}: {median} mm, SimpleITK {theirs} mm", case.contrast);
        assert_eq!(found.verdict, Verdict::Good);
    }
}

#[test]
fn each_freedom_recovers_what_it_can_express() {
    let template = template();
    let rigid = random_affine(Key::new(1), 20.0, 20.0, false);
    let similar = compose(&rigid, &common::scaled([0.9; 3]));
    let scaled = compose(&rigid, &common::scaled([0.85, 0.95, 0.9]));
    let truths =
        [(Freedom::Rigid, rigid), (Freedom::Similarity, similar), (Freedom::Scaling, scaled)];
    for (freedom, truth) in truths {
        let scan = scan(&template, &truth, PLAIN, Key::new(2));
        let config = RegisterConfig { freedom, ..RegisterConfig::default() };
        let found = register(&config, &template, &scan).scan_from_template;
        let [median, most] = distances(&template, &found, &truth);
        assert!(median < 0.3 && most < 0.6, "{freedom:?}: {median} mm, {most} mm");
        // A rigid map keeps lengths, a similarity their ratios.
        let length = |column: usize| (0..3).map(|r| found[r][column].powi(2)).sum::<f64>().sqrt();
        if freedom == Freedom::Rigid {
            assert!((length(0) - 1.0).abs() < 1e-9);
        }
        if freedom != Freedom::Scaling {
            assert!((length(0) - length(1)).abs() < 1e-9 && (length(0) - length(2)).abs() < 1e-9);
        }
    }
}

#[test]
fn local_correlation_is_as_near_under_a_strong_bias_field() {
    let template = template();
    let truth = random_affine(Key::new(4), 20.0, 20.0, true);
    let contrast = Contrast { bias: 1.0, noise: 0.05, ..PLAIN };
    let scan = scan(&template, &truth, contrast, Key::new(4));
    let metric = Metric::LocalCorrelation { radius: 2 };
    let config = RegisterConfig { metric, ..RegisterConfig::default() };
    let found = register(&config, &template, &scan);
    let [median, most] = distances(&template, &found.scan_from_template, &truth);
    assert!(median < 0.5 && most < 1.0, "{median} mm, {most} mm");
    assert!((0.5..1.0).contains(&found.metric), "{}", found.metric);
}

#[test]
fn turns_of_thirty_degrees_about_each_axis_are_found_from_moments() {
    let template = template();
    let config = RegisterConfig { start: Start::Moments, ..RegisterConfig::default() };
    for seed in 0..4 {
        let truth = random_affine(Key::new(seed), 30.0, 20.0, true);
        let scan = scan(&template, &truth, PLAIN, Key::new(seed));
        let found = register(&config, &template, &scan);
        let [median, most] = distances(&template, &found.scan_from_template, &truth);
        assert!(median < 0.3 && most < 0.6, "seed {seed}: {median} mm, {most} mm");
    }
}

#[test]
fn the_header_alone_is_enough_in_the_templates_space() {
    let template = template();
    let truth = random_affine(Key::new(5), 4.0, 5.0, true);
    let scan = scan(&template, &truth, PLAIN, Key::new(5));
    let config = RegisterConfig { start: Start::Header, ..RegisterConfig::default() };
    let [_, most] =
        distances(&template, &register(&config, &template, &scan).scan_from_template, &truth);
    assert!(most < 0.6, "{most} mm");
}

/// A ball of 130 ml, dark and with a bright rim, as a glioma.
fn lesion(truth: &Affine) -> impl Fn([f64; 3]) -> bool {
    let centre = transform(truth, [30.0, -10.0, 20.0]);
    move |p| (0..3).map(|d| (p[d] - centre[d]).powi(2)).sum::<f64>().sqrt() < 31.4
}

#[test]
fn a_lesion_of_130_ml_does_not_pull_the_map() {
    let template = template();
    let truth = random_affine(Key::new(6), 20.0, 20.0, true);
    let mut scan = scan(&template, &truth, PLAIN, Key::new(6));
    let healthy = without(&scan, lesion(&truth));
    let mut excluded = Array3::zeros(scan.data.dim());
    for ((index, value), healthy) in scan.data.indexed_iter_mut().zip(&healthy.data) {
        if *healthy == 0.0 && *value > 0.0 {
            (*value, excluded[index]) = (0.2, 1u8);
        }
    }
    let registrar = RegisterConfig::default().build().unwrap();
    let whole = registrar.register(&template, &scan, None).unwrap();
    let [median, most] = distances(&template, &whole.scan_from_template, &truth);
    assert!(median < 0.5 && most < 1.0, "{median} mm, {most} mm");
    // Without the lesion the fit is as good.
    let part = registrar.register_excluding(&template, &scan, None, excluded.view()).unwrap();
    let [without, _] = distances(&template, &part.scan_from_template, &truth);
    assert!(without < 0.2, "{without} mm");
    assert!(part.metric > whole.metric, "{} is no better than {}", part.metric, whole.metric);
    assert!(part.quality.in_view < whole.quality.in_view - 0.03);
}

#[test]
fn a_head_is_fitted_by_what_lies_in_the_templates_brain() {
    let template = template();
    let truth = random_affine(Key::new(10), 10.0, 30.0, true);
    let brain = scan(&template, &truth, PLAIN, Key::new(10));
    let found = register(&RegisterConfig::default(), &template, &head(&brain, Key::new(10)));
    let [median, most] = distances(&template, &found.scan_from_template, &truth);
    assert!(median < 0.5 && most < 1.0, "{median} mm, {most} mm");
    assert_eq!((found.quality.dice, found.verdict), (None, Verdict::Good));
}

#[test]
fn one_level_is_enough_for_all_freedoms() {
    let template = template();
    let truth = random_affine(Key::new(11), 10.0, 10.0, true);
    let scan = scan(&template, &truth, PLAIN, Key::new(11));
    let levels = vec![Level { spacing_mm: 4.0, samples: 20_000 }];
    let config = RegisterConfig { levels, start: Start::Moments, ..RegisterConfig::default() };
    let [median, most] =
        distances(&template, &register(&config, &template, &scan).scan_from_template, &truth);
    assert!(median < 0.5 && most < 1.0, "{median} mm, {most} mm");
}

#[test]
fn a_mask_makes_a_brain_of_what_has_a_skull() {
    let template = template();
    let truth = random_affine(Key::new(7), 10.0, 10.0, true);
    let brain = scan(&template, &truth, PLAIN, Key::new(7));
    let mask = nonzero_mask(brain.data.view());
    let mut head = brain.clone();
    head.data.mapv_inplace(|value| if value == 0.0 { 0.8 } else { value });
    let registrar = RegisterConfig::default().build().unwrap();
    let masked = registrar.register(&template, &head, Some(mask.view())).unwrap();
    assert_eq!(masked, registrar.register(&template, &brain, None).unwrap());
}

#[test]
fn the_bytes_are_equal_for_any_number_of_threads_and_differ_by_seed() {
    let template = template();
    let truth = random_affine(Key::new(8), 40.0, 20.0, true);
    let scan = scan(&template, &truth, Contrast { noise: 0.1, ..PLAIN }, Key::new(8));
    let with = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let config =
            RegisterConfig { seed, start: Start::Orientations, ..RegisterConfig::default() };
        pool.install(|| register(&config, &template, &scan))
    };
    let one = with(1, 0);
    assert_eq!(one, with(3, 0));
    let other = with(1, 1);
    assert_ne!(one.scan_from_template, other.scan_from_template);
    let [_, most] = distances(&template, &one.scan_from_template, &other.scan_from_template);
    assert!(most < 0.3, "{most} mm");
}

#[test]
fn the_result_resamples_inverts_and_places() {
    let template = template();
    let truth = random_affine(Key::new(9), 10.0, 10.0, true);
    let scan = scan(&template, &truth, PLAIN, Key::new(9));
    let found = register(&RegisterConfig::default(), &template, &scan);
    let back = found.resample(&scan, &template.volume.grid, Interpolation::Linear).unwrap();
    assert_eq!(back.grid, template.volume.grid);
    let grid = template.volume.grid;
    let true_grid = Grid { shape: grid.shape, affine: compose(&truth, &grid.affine) };
    let ideal = resample_to_grid(&scan, &true_grid, Interpolation::Linear).unwrap();
    let pairs = back.data.iter().zip(&ideal.data);
    let difference: f64 = pairs.map(|(a, b)| f64::from((a - b).abs())).sum();
    let brain = template.mask.iter().filter(|&&inside| inside != 0).count() as f64;
    // Of intensities in [0, 1], a tenth of a millimetre apart.
    assert!(difference / brain < 0.01, "{}", difference / brain);
    let there = transform(&found.scan_from_template, [10.0, -20.0, 30.0]);
    for (got, expected) in found.position(there).into_iter().zip([10.0, -20.0, 30.0]) {
        assert!((got - expected).abs() < 1e-9);
    }
    let rigid = found.rigid([0.0; 3]);
    for (a, b) in
        transform(&rigid, [0.0; 3]).iter().zip(transform(&found.scan_from_template, [0.0; 3]))
    {
        assert!((a - b).abs() < 1e-9);
    }
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Registration>(&text).unwrap(), found);
}

#[test]
fn what_cannot_be_registered_is_an_error_that_says_why() {
    let template = template();
    let registrar = RegisterConfig::default().build().unwrap();
    let message =
        |scan: &Volume| registrar.register(&template, scan, None).unwrap_err().to_string();
    let slice = Volume::zeros(Grid::from_spacing([1, 100, 100], [5.0, 1.0, 1.0]));
    assert!(message(&slice).contains("5 mm thick"));
    let mut empty = Volume::zeros(Grid::from_spacing([50; 3], [3.0; 3]));
    assert!(message(&empty).contains("the scan has no foreground"));
    empty.data[[1, 2, 3]] = f32::NAN;
    assert!(message(&empty).contains("not finite, first at index [1, 2, 3]"));
    let mask = Array3::ones((2, 2, 2));
    let error = registrar.register(&template, &template.volume, Some(mask.view())).unwrap_err();
    assert!(matches!(error, RegisterError::Shape(_)));
}
