//! Fields of known form, no field, other scales of intensity, and any number of threads.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]
mod support;

use disyre_core::Key;
use disyre_core::ndarray::Array3;
use disyre_core::rand::RngExt;
use disyre_n4::N4Config;
use rayon::ThreadPoolBuilder;
use support::*;

const SIDE: usize = 48;

/// A head of three tissues in folds, without any field: intensities .3, .6, .9, noise of sd .02, background 0.
fn phantom() -> Array3<f32> {
    let mut rng = Key::new(7).child("n4-phantom").rng();
    Array3::from_shape_fn([SIDE; 3], |(z, y, x)| {
        let [z, y, x] = [z, y, x].map(centred);
        let radius = (z * z + 0.8 * y * y + 1.2 * x * x).sqrt();
        let folds = 0.12 * ((9.0 * x + 4.0 * y).sin() + (8.0 * y - 5.0 * z).cos());
        let noise: f32 = (0..12).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 0.02;
        let tissue = match radius + folds {
            _ if radius > 0.95 => return 0.0,
            depth if depth < 0.15 => 0.3,
            depth if depth < 0.65 => 0.9,
            depth if depth < 0.9 => 0.6,
            _ => 0.3,
        };
        tissue + noise
    })
}

/// Coordinate from −1 to 1.
fn centred(index: usize) -> f32 {
    2.0 * index as f32 / (SIDE - 1) as f32 - 1.0
}

/// A log field of coordinates `[z, y, x]` from −1 to 1.
type Form = fn([f32; 3]) -> f32;

/// Log fields of known form.
const FORMS: [(&str, Form); 4] = [
    ("ramp", |[_, _, x]| 0.3 * x),
    ("bowl", |[z, y, x]| 0.3 * (x * x + y * y + z * z)),
    ("wave", |[z, y, _]| 0.2 * (2.5 * y).sin() * z.cos()),
    // A coil beside the head.
    ("coil", |[z, y, x]| -0.5 * ((x - 1.5).powi(2) + y * y + z * z).ln()),
];

fn log_field(form: Form) -> Array3<f32> {
    Array3::from_shape_fn([SIDE; 3], |(z, y, x)| form([z, y, x].map(centred)))
}

fn shaded(image: &Array3<f32>, log_field: &Array3<f32>) -> Array3<f32> {
    image * &log_field.mapv(f32::exp)
}

fn config() -> N4Config {
    N4Config { shrink: 1, ..N4Config::default() }
}

#[test]
fn fields_of_known_form_are_recovered() {
    let phantom = phantom();
    let mask = brain_mask(&phantom);
    for (name, form) in FORMS {
        let known = log_field(form);
        let found = correct(&config(), &shaded(&phantom, &known)).field.evaluate_log();
        let [known, found] = [known, found].map(|field| masked(field.view(), &mask));
        let (size, error) = (standard_deviation(&known), spread_apart(&known, &found));
        println!("{name}: sd of the log field {size:.3}, of the error {error:.4}");
        assert!(size > 0.07, "{name}: sd of the log field {size}");
        assert!(error < 0.01, "{name}: sd of the error {error}");
        let alike = correlation(&known, &found);
        assert!(alike > 0.995, "{name}: correlation {alike}");
    }
}

#[test]
fn an_image_without_a_field_stays_as_it_is() {
    let phantom = phantom();
    let correction = correct(&config(), &phantom);
    let found = masked(correction.field.evaluate_log().view(), &brain_mask(&phantom));
    assert!(standard_deviation(&found) < 0.004, "{}", standard_deviation(&found));
    assert!(mean(&found).abs() < 0.01, "{}", mean(&found));
}

#[test]
fn the_field_does_not_depend_on_the_scale_of_intensities() {
    let image = shaded(&phantom(), &log_field(FORMS[1].1));
    let mask = brain_mask(&image);
    let field = |scale: f32| {
        let scaled = image.mapv(|value| scale * value);
        masked(correct(&config(), &scaled).field.evaluate_log().view(), &mask)
    };
    let (once, thousandfold, small) = (field(1.0), field(1000.0), field(1e-6));
    assert!(standard_deviation(&once) > 0.05);
    for other in [thousandfold, small] {
        assert!(spread_apart(&once, &other) < 1e-6, "{}", spread_apart(&once, &other));
    }
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    let image = shaded(&phantom(), &log_field(FORMS[2].1));
    let with = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| correct(&config(), &image))
    };
    let one = with(1);
    assert!(one.iterations.iter().sum::<usize>() > 20);
    for threads in [2, 5] {
        assert_eq!(with(threads), one, "{threads} threads");
    }
}
