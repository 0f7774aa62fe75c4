//! Metrics of voxels against scikit-learn's, for scores of every kind; `fixtures/make_voxels.py` made the values.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_score::{Confusion, RankedScores, ScoreHistogram, ScorePoolConfig};
use serde::Deserialize;
use std::collections::BTreeMap;

const FIXTURES: &str = include_str!("fixtures/voxels.json");

#[derive(Deserialize)]
struct Set {
    #[serde(flatten)]
    voxels: Voxels,
    average_precision: f64,
    auroc: Option<f64>,
    best: Best,
    at: Vec<At>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Voxels {
    Stored { bits: Vec<u32>, labels: Vec<u8> },
    Formula { count: u64, every: u64 },
}

#[derive(Deserialize)]
struct Best {
    dice: f64,
    threshold: f64,
}

#[derive(Deserialize)]
struct At {
    threshold: f32,
    tp: u64,
    fp: u64,
    r#fn: u64,
    tn: u64,
    dice: Option<f64>,
    precision: Option<f64>,
    recall: Option<f64>,
}

impl Voxels {
    fn scores_and_labels(&self) -> (Vec<f32>, Vec<u8>) {
        match self {
            Self::Stored { bits, labels } => {
                (bits.iter().copied().map(f32::from_bits).collect(), labels.clone())
            }
            &Self::Formula { count, every } => {
                let score =
                    |index: u64| (((index * 2_654_435_761) as u32) >> 8) as f32 / 16_777_216.0;
                let voxel = |index: u64| {
                    let label = u8::from(index % every == 1);
                    (score(index) + f32::from(label) * 0.25, label)
                };
                (0..count).map(voxel).unzip()
            }
        }
    }
}

fn sets() -> BTreeMap<String, Set> {
    serde_json::from_str(FIXTURES).unwrap()
}

#[track_caller]
fn assert_near(got: Option<f64>, expected: Option<f64>, what: &str) {
    assert_eq!(got.is_some(), expected.is_some(), "{what}");
    if let (Some(got), Some(expected)) = (got, expected) {
        assert!((got - expected).abs() <= 1e-12, "{what}: {got} is not {expected}");
    }
}

#[track_caller]
fn check(name: &str, set: &Set, ranked: &RankedScores) {
    let ap = ranked.average_precision().unwrap();
    assert_near(Some(ap), Some(set.average_precision), name);
    assert_near(ranked.auroc().ok(), set.auroc, name);
    let best = ranked.best_dice().unwrap();
    assert_near(Some(best.dice), Some(set.best.dice), name);
    assert_eq!(f64::from(best.threshold), set.best.threshold, "{name}");
    for at in &set.at {
        let found = ranked.at(at.threshold).unwrap();
        let expected = Confusion {
            true_positives: at.tp,
            false_positives: at.fp,
            false_negatives: at.r#fn,
            true_negatives: at.tn,
        };
        assert_eq!(found, expected, "{name} at {}", at.threshold);
        assert_near(found.dice(), at.dice, name);
        assert_near(found.precision(), at.precision, name);
        assert_near(found.recall(), at.recall, name);
    }
}

#[test]
fn metrics_agree_with_scikit_learn_for_scores_of_every_kind() {
    let sets = sets();
    assert_eq!(sets.len(), 14);
    for (name, set) in &sets {
        let (scores, labels) = set.voxels.scores_and_labels();
        check(name, set, &RankedScores::new(&scores, &labels).unwrap());
    }
}

#[test]
fn metrics_from_files_agree_with_scikit_learn() {
    for (name, set) in &sets() {
        let (scores, labels) = set.voxels.scores_and_labels();
        let mut pool = ScorePoolConfig { budget_bytes: 1 << 10, folder: None }.build();
        for (scores, labels) in scores.chunks(70_000).zip(labels.chunks(70_000)) {
            for (scores, labels) in scores.chunks(29).zip(labels.chunks(29)).take(4) {
                pool.add(scores, labels).unwrap();
            }
            let rest = scores.len().min(4 * 29);
            pool.add(&scores[rest..], &labels[rest..]).unwrap();
        }
        check(name, set, &pool.rank().unwrap());
    }
}

#[test]
fn bounds_of_the_histogram_hold_the_values_of_scikit_learn() {
    for (name, set) in &sets() {
        let (scores, labels) = set.voxels.scores_and_labels();
        let mut histogram = ScoreHistogram::default();
        histogram.add(&scores, &labels).unwrap();
        let pooled = histogram.pooled(&[0]).unwrap();
        let ap = pooled.average_precision().unwrap();
        let within = ap.least <= set.average_precision && set.average_precision <= ap.greatest;
        assert!(within, "{name}: {ap:?}");
        assert_eq!(pooled.auroc().is_some(), set.auroc.is_some(), "{name}");
        let dice = pooled.best_dice().unwrap().dice;
        assert!(
            dice.value <= set.best.dice + 1e-12 && set.best.dice <= dice.greatest + 1e-12,
            "{name}"
        );
    }
}
