//! Metrics and severities against values from scikit-learn, torchmetrics and the published code.

use std::fs;
use std::path::Path;

use disyre_score::{PUBLISHED_SEVERITIES, RankedScores, reference};
use safetensors::SafeTensors;
use serde_json::Value;

/// A golden file of the repository, or of the folder beside it.
fn golden(name: &str) -> Option<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = ["tests/fixtures/golden", "../shared/golden"];
    let found = folders.iter().find_map(|folder| fs::read(root.join(folder).join(name)).ok());
    if found.is_none() {
        println!("skipped: {name} not found");
    }
    found
}

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
    let (Some(arrays), Some(values)) = (golden("metrics.safetensors"), golden("metrics.json"))
    else {
        return;
    };
    let arrays = SafeTensors::deserialize(&arrays).unwrap();
    let values: Value = serde_json::from_slice(&values).unwrap();
    for set in ["a", "b"] {
        let scores = floats(arrays.tensor(&format!("{set}.scores")).unwrap().data());
        let labels = arrays.tensor(&format!("{set}.labels")).unwrap();
        let expected = &values[set];
        let ranked = RankedScores::new(&scores, labels.data()).unwrap();
        assert_near(ranked.average_precision().unwrap(), &expected["ap_sklearn"], 1e-12);
        assert_near(ranked.auroc().unwrap(), &expected["auroc"], 1e-12);
        let best = ranked.best_dice().unwrap();
        assert_near(best.dice, &expected["best_dice_exact"], 1e-12);
        assert_near(best.threshold.into(), &expected["best_threshold_exact(score>=)"], 0.0);
        // Computed in single precision there.
        let coarse = reference::best_dice(&scores, labels.data()).unwrap();
        assert_near(coarse.dice, &expected["maxdsc_reference_200_thresholds"], 1e-7);
    }
}

#[test]
fn the_published_severities_are_those_of_its_four_steps() {
    let Some(bytes) = golden("schedule.safetensors") else { return };
    let schedule = SafeTensors::deserialize(&bytes).unwrap();
    let severities = floats(schedule.tensor("sqrt_alphas_cumprod").unwrap().data());
    let steps = schedule.tensor("timesteps_4").unwrap();
    let steps = steps.data().as_chunks().0.iter().copied().map(i64::from_le_bytes);
    let expected: Vec<f32> = steps.map(|step| severities[step as usize]).collect();
    assert_eq!(PUBLISHED_SEVERITIES.map(f32::from).to_vec(), expected);
}
