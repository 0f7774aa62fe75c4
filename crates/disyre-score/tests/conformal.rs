//! Conformal thresholds: by hand on a few scans, and their guarantee in simulations of many.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use disyre_core::Key;
use disyre_core::ndarray::Array3;
use disyre_core::rand::RngExt;
use disyre_score::ScoreError;
use disyre_score::conformal::{LossCurve, conformal_threshold, p_value, scans_needed};

fn share(scores: &[f32]) -> LossCurve {
    LossCurve::share_of_voxels(scores).unwrap()
}

#[test]
fn the_threshold_of_three_scans_by_hand() {
    let curves =
        [share(&[4.0, 1.0, 0.0, 0.0]), share(&[3.0, 2.0, 0.0, 0.0]), share(&[2.0, 0.0, 0.0, 0.0])];
    // Sums of shares: 1/4 from 4 down, 2/4 from 3, 4/4 from 2, 5/4 from 1, 12/4 at 0; of four scans, one lost whole.
    let at = |rate| conformal_threshold(&curves, 1.0, rate).unwrap();
    assert_eq!(at(0.25), 4.0f32.next_up());
    assert_eq!(at(0.3125), 3.0f32.next_up());
    assert_eq!(at(0.374), 3.0f32.next_up());
    assert_eq!(at(0.375), 2.0f32.next_up());
    assert_eq!(at(0.5), 1.0f32.next_up());
    assert_eq!(at(0.5625), 0.0f32.next_up());
    assert_eq!(at(1.0), 0.0);
    // A bound of half a scan: each share counts as a half at most.
    assert_eq!(conformal_threshold(&curves, 0.5, 0.375).unwrap(), 1.0f32.next_up());
    assert_eq!(conformal_threshold(&curves, 0.5, 0.5).unwrap(), 0.0);
}

#[test]
fn too_few_scans_are_refused_with_the_number_that_is_needed() {
    let curves = vec![share(&[1.0]); 8];
    match conformal_threshold(&curves, 1.0, 0.1) {
        Err(ScoreError::TooFewHealthy { scans, needed, rate }) => {
            assert_eq!((scans, needed, rate), (8, 9, 0.1));
        }
        other => panic!("{other:?}"),
    }
    assert!(conformal_threshold(&vec![share(&[1.0]); 9], 1.0, 0.1).is_ok());
    assert!(conformal_threshold(&[], 1.0, 0.5).is_err());
    for needed in 1..300 {
        assert_eq!(scans_needed(1.0, 1.0 / (needed as f64 + 1.0)), needed);
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(conformal_threshold(&curves, 1.0, bad), Err(ScoreError::Setting { .. })));
        assert!(matches!(conformal_threshold(&curves, bad, 0.5), Err(ScoreError::Setting { .. })));
    }
}

/// Scores of a healthy scan: scans differ in the scale of their scores, some of them much, as some scans are noisy.
fn scan(key: Key) -> Array3<f32> {
    let mut rng = key.rng();
    let scale = (-rng.random::<f32>().max(1e-6).ln()).exp();
    Array3::from_shape_simple_fn([1, 12, 12], || scale * rng.random::<f32>().powi(4))
}

/// Losses of the last scan of each round at the threshold of the others.
fn losses_of_new(
    rounds: u64,
    scans: u64,
    curve: impl Fn(Array3<f32>) -> LossCurve,
    bound: f64,
    rate: f64,
) -> Vec<f64> {
    let round = |round: u64| {
        let key = Key::new(11).child(round);
        let curves: Vec<LossCurve> =
            (0..=scans).map(|index| curve(scan(key.child(index)))).collect();
        let (new, healthy) = curves.split_last().unwrap();
        new.at(conformal_threshold(healthy, bound, rate).unwrap()).min(bound)
    };
    (0..rounds).map(round).collect()
}

/// Mean, and three standard errors of it.
fn mean(losses: &[f64]) -> (f64, f64) {
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, 3.0 * (variance / n).sqrt())
}

#[test]
fn the_mean_share_of_new_scans_keeps_the_rate_and_uses_it() {
    let curve = |score: Array3<f32>| share(score.as_slice().unwrap());
    let (mean, error) = mean(&losses_of_new(3000, 19, curve, 0.2, 0.02));
    assert!(mean - error <= 0.02, "{mean} ± {error}");
    // Not by marking nothing: the guarantee is at most bound / (n + 1) = .01 too careful, and steps of the shares.
    assert!(mean + error >= 0.02 - 0.011, "{mean} ± {error}");
}

#[test]
fn as_many_new_scans_exceed_a_limit_as_were_allowed() {
    let curve = |score: Array3<f32>| share(score.as_slice().unwrap()).exceeds(0.03);
    let (mean, error) = mean(&losses_of_new(3000, 19, curve, 1.0, 0.1));
    // ⌈.9 · 20⌉ = 18 of 20 are kept: exactly a tenth of new scans exceeds, since no two scans are alike.
    assert!((mean - 0.1).abs() <= error, "{mean} ± {error}");
}

#[test]
fn the_mean_number_of_findings_of_new_scans_keeps_the_rate() {
    let brain = Array3::ones([1, 12, 12]);
    let curve = |score: Array3<f32>| {
        LossCurve::findings(score.view(), brain.view(), [1.0; 3], 2.0).unwrap()
    };
    let (mean, error) = mean(&losses_of_new(1000, 19, curve, 5.0, 0.5));
    assert!(mean - error <= 0.5, "{mean} ± {error}");
    assert!(mean > 0.1, "{mean}: it is not silent");
}

#[test]
fn p_values_of_healthy_scans_are_at_most_alpha_as_often_as_alpha() {
    let p = |round: u64| {
        let key = Key::new(12).child(round);
        let greatest = |index: u64| scan(key.child(index)).fold(0.0f32, |a, &b| a.max(b));
        let healthy: Vec<f32> = (0..19).map(greatest).collect();
        p_value(&healthy, greatest(19))
    };
    let values: Vec<f64> = (0..3000).map(p).collect();
    for alpha in [0.05, 0.1, 0.5] {
        let below: Vec<f64> = values.iter().map(|&p| f64::from(u8::from(p <= alpha))).collect();
        let (share, error) = mean(&below);
        assert!((share - alpha).abs() <= error, "{share} ± {error} at {alpha}");
    }
    assert_eq!(p_value(&[], 1.0), 1.0);
    assert_eq!(p_value(&[1.0, 1.0, 0.0], 1.0), 0.75);
    assert_eq!(p_value(&[f32::NAN], 1.0), 1.0);
}
