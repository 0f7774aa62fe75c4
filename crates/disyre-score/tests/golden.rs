//! Metrics and severities against values from scikit-learn, torchmetrics and the published code.

use disyre_score::{PUBLISHED_SEVERITIES, metrics, protocols::reference};
use safetensors::SafeTensors;
use serde_json::Value;

const ARRAYS: &[u8] = include_bytes!("../../../tests/fixtures/golden/metrics.safetensors");
const VALUES: &[u8] = include_bytes!("../../../tests/fixtures/golden/metrics.json");
const SCHEDULE: &[u8] = include_bytes!("../../../tests/fixtures/golden/schedule.safetensors");

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect()
}

#[track_caller]
fn assert_near(got: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().expect("the golden value is a number");
    assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
}

#[test]
fn metrics_agree_with_scikit_learn_and_the_published_code() {
    let arrays = SafeTensors::deserialize(ARRAYS).unwrap();
    let values: Value = serde_json::from_slice(VALUES).unwrap();
    for set in ["a", "b"] {
        let scores = floats(arrays.tensor(&format!("{set}.scores")).unwrap().data());
        let labels = arrays.tensor(&format!("{set}.labels")).unwrap();
        let expected = &values[set];
        let found = metrics(&scores, labels.data()).unwrap();
        assert_near(found.average_precision, &expected["ap_sklearn"], 1e-12);
        assert_near(found.auroc, &expected["auroc"], 1e-12);
        let best = found.best_dice;
        assert_near(best.dice, &expected["best_dice_exact"], 1e-12);
        assert_near(best.threshold.into(), &expected["best_threshold_exact(score>=)"], 0.0);
        // Computed in single precision there.
        let coarse = reference::best_dice(&scores, labels.data()).unwrap();
        assert_near(coarse.dice, &expected["maxdsc_reference_200_thresholds"], 1e-7);
    }
}

#[test]
fn the_published_severities_are_those_of_its_four_steps() {
    let schedule = SafeTensors::deserialize(SCHEDULE).unwrap();
    let severities = floats(schedule.tensor("sqrt_alphas_cumprod").unwrap().data());
    let steps = schedule.tensor("timesteps_4").unwrap();
    let steps = steps.data().as_chunks().0.iter().copied().map(i64::from_le_bytes);
    let expected: Vec<f32> = steps.map(|step| severities[step as usize]).collect();
    assert_eq!(PUBLISHED_SEVERITIES.map(f32::from).to_vec(), expected);
}
