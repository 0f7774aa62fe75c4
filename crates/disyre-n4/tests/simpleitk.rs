//! Fields of SimpleITK's N4: of the shaded brain that lies beside the tests, for several settings.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use std::collections::BTreeMap;

use disyre_core::ndarray::{Array3, Axis, s};
use disyre_n4::N4Config;
use serde::Deserialize;
use support::*;

#[derive(Debug, Deserialize)]
struct Case {
    settings: N4Config,
    #[serde(flatten)]
    found: Found,
}

#[test]
fn fields_are_those_of_simpleitk_for_several_settings() {
    let shaded = read(&fixture("shaded.nii.gz"));
    let cases: BTreeMap<String, Case> = json("phantom.json");
    assert_eq!(cases.len(), 5);
    for (name, case) in &cases {
        let image = if name == "slice" { middle_slice(&shaded) } else { shaded.clone() };
        let correction = correct(&case.settings, &image);
        let log = correction.field.evaluate_log();
        let coarse = log.slice(s![..;4, ..;4, ..;4]);
        let apart = coarse.iter().zip(&case.found.log_field);
        let farthest = apart.map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
        assert_eq!(coarse.len(), case.found.log_field.len());
        assert!(farthest < 5e-4, "{name}: log fields are {farthest} apart");
        let used = correction.iterations.last();
        assert_eq!(used, Some(&case.found.last_level), "{name}: iterations of the last level");
        let white = &case.found.white_matter;
        let ours = white_matter_variation(&correction.corrected, white.threshold);
        assert!((ours / white.cv - 1.0).abs() < 0.01, "{name}: {ours}, expected {}", white.cv);
    }
}

/// A 2D image: SimpleITK's values are those of its 2D filter.
fn middle_slice(image: &Array3<f32>) -> Array3<f32> {
    image.index_axis(Axis(0), image.len_of(Axis(0)) / 2).to_owned().insert_axis(Axis(0))
}
