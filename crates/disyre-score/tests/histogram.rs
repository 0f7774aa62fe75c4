//! Measures from histograms beside the exact ones, and thresholds chosen on other cases beside a search over all scores.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_score::{
    Averaging, Bounded, RankedScores, ScoreHistogram, ScoreHistogramConfig, ScorePool,
};
use proptest::prelude::*;

type Case = (Vec<f32>, Vec<u8>);

/// Scores of every kind: many equal ones, and others that share bins.
fn case() -> impl Strategy<Value = Case> {
    let score = prop_oneof![-2.0f32..2.0, Just(0.0f32), 0.5f32..0.51];
    prop::collection::vec((score, 0u8..2), 1..50).prop_map(|voxels| voxels.into_iter().unzip())
}

/// Scores that share a bin with no other and are its lower end.
fn coarse_case() -> impl Strategy<Value = Case> {
    let voxel = (0u8..12, 0u8..3).prop_map(|(score, label)| (f32::from(score) / 4.0, label / 2));
    prop::collection::vec(voxel, 1..30).prop_map(|voxels| voxels.into_iter().unzip())
}

fn histogram(cases: &[Case], bits: u32) -> ScoreHistogram {
    let mut histogram = ScoreHistogramConfig { bits }.build().unwrap();
    for (scores, labels) in cases {
        histogram.add(scores, labels).unwrap();
    }
    histogram
}

fn exact(cases: &[Case], drawn: &[usize]) -> RankedScores {
    let mut pool = ScorePool::default();
    for &case in drawn {
        pool.add(&cases[case].0, &cases[case].1).unwrap();
    }
    pool.rank().unwrap()
}

#[track_caller]
fn assert_within(exact: f64, bounded: Bounded) {
    let Bounded { value, least, greatest } = bounded;
    assert!(least <= value && value <= greatest, "{bounded:?}");
    assert!(least <= exact && exact <= greatest, "{exact} is not in {bounded:?}");
}

/// Threshold and averaged Dice on all cases but one, by trying all scores of those cases.
fn search(cases: &[Case], left_out: usize, averaging: Averaging) -> Option<(f32, f64)> {
    let others: Vec<usize> = (0..cases.len()).filter(|&case| case != left_out).collect();
    let ranked: Vec<_> = others.iter().map(|&case| exact(cases, &[case])).collect();
    let pooled = exact(cases, &others);
    let mut thresholds: Vec<f32> = others.iter().flat_map(|&case| cases[case].0.clone()).collect();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    let dice = |threshold: f32| match averaging {
        Averaging::Pooled => pooled.at(threshold).unwrap().dice().unwrap(),
        Averaging::PerVolume => {
            let lesions = ranked.iter().filter(|case| case.positives() > 0);
            let dice: Vec<f64> =
                lesions.map(|case| case.at(threshold).unwrap().dice().unwrap()).collect();
            dice.iter().sum::<f64>() / dice.len() as f64
        }
    };
    let mut best = None;
    if pooled.positives() > 0 {
        for threshold in thresholds {
            let dice = dice(threshold);
            if dice > best.map_or(0.0, |(_, best)| best) + 1e-12 {
                best = Some((threshold, dice));
            }
        }
    }
    best
}

proptest! {
    #[test]
    fn cases_counted_apart_and_read_from_files_are_pooled(
        cases in prop::collection::vec(case(), 1..5),
        bits in 9u32..20,
    ) {
        let mut joined = ScoreHistogramConfig { bits }.build().unwrap();
        for case in &cases {
            let one = serde_json::to_string(&histogram(std::slice::from_ref(case), bits)).unwrap();
            joined.append(&serde_json::from_str(&one).unwrap()).unwrap();
        }
        prop_assert_eq!(&joined, &histogram(&cases, bits));
        let other = ScoreHistogramConfig { bits: bits + 1 }.build().unwrap();
        prop_assert!(joined.append(&other).is_err());
    }

    #[test]
    fn exact_measures_of_any_draw_lie_within_the_bounds(
        cases in prop::collection::vec(case(), 1..5),
        draw in prop::collection::vec(0usize..1000, 1..6),
        bits in 9u32..33,
    ) {
        let drawn: Vec<usize> = draw.iter().map(|index| index % cases.len()).collect();
        let exact = exact(&cases, &drawn);
        let histogram = histogram(&cases, bits);
        let pooled = histogram.pooled(&drawn).unwrap();
        prop_assert_eq!(pooled.average_precision().is_some(), exact.average_precision().is_ok());
        prop_assert_eq!(pooled.auroc().is_some(), exact.auroc().is_ok());
        if let Ok(metrics) = exact.metrics() {
            assert_within(metrics.average_precision, pooled.average_precision().unwrap());
            assert_within(metrics.auroc, pooled.auroc().unwrap());
            let best = pooled.best_dice().unwrap();
            assert_within(metrics.best_dice.dice, best.dice);
            // The Dice is that of its threshold, exactly.
            let at = exact.at(best.threshold).unwrap().dice().unwrap();
            prop_assert_eq!(at, best.dice.value);
        }
    }

    #[test]
    fn bins_of_one_score_are_exact(cases in prop::collection::vec(coarse_case(), 1..5)) {
        let drawn: Vec<usize> = (0..cases.len()).chain([0]).collect();
        let histogram = histogram(&cases, 20);
        let pooled = histogram.pooled(&drawn).unwrap();
        if let Ok(metrics) = exact(&cases, &drawn).metrics() {
            let ap = pooled.average_precision().unwrap();
            prop_assert!((ap.value - metrics.average_precision).abs() < 1e-12);
            prop_assert!(ap.greatest - ap.least < 1e-11);
            prop_assert!((pooled.auroc().unwrap().value - metrics.auroc).abs() < 1e-12);
            let best = pooled.best_dice().unwrap();
            prop_assert_eq!((best.dice.value, best.threshold), (metrics.best_dice.dice, metrics.best_dice.threshold));
        }
    }

    #[test]
    fn thresholds_of_others_are_those_of_a_search_without_the_case(
        cases in prop::collection::vec(coarse_case(), 1..6),
    ) {
        let histogram = histogram(&cases, 20);
        for averaging in Averaging::ALL {
            for (case, found) in histogram.thresholds_of_others(averaging).into_iter().enumerate() {
                let expected = search(&cases, case, averaging);
                prop_assert_eq!(found.is_some(), expected.is_some());
                let (Some(found), Some((threshold, dice))) = (found, expected) else { continue };
                prop_assert_eq!(found.of_others.threshold, threshold);
                prop_assert!((found.of_others.averaged_dice - dice).abs() < 1e-12);
                let counts = exact(&cases, &[case]).at(threshold).unwrap();
                prop_assert_eq!((found.counts, histogram.at(case, threshold).unwrap()), (counts, counts));
            }
            // Without any case: as if a case without voxels were left out.
            let mut with_empty = cases.clone();
            with_empty.push((Vec::new(), Vec::new()));
            let optimal = histogram.best_threshold(averaging).map(|best| best.threshold);
            prop_assert_eq!(optimal, search(&with_empty, cases.len(), averaging).map(|best| best.0));
        }
    }

    #[test]
    fn the_scores_of_a_case_do_not_move_its_threshold(
        cases in prop::collection::vec(case(), 2..5), other in case(),
    ) {
        for averaging in Averaging::ALL {
            let before = histogram(&cases, 12).thresholds_of_others(averaging)[0];
            let mut changed = cases.clone();
            changed[0] = other.clone();
            let after = histogram(&changed, 12).thresholds_of_others(averaging)[0];
            prop_assert_eq!(before.map(|left_out| left_out.of_others), after.map(|left_out| left_out.of_others));
        }
    }
}

#[test]
fn a_histogram_refuses_what_it_cannot_count() {
    assert!(ScoreHistogramConfig { bits: 8 }.build().is_err());
    let mut histogram = ScoreHistogram::default();
    assert!(histogram.add(&[f32::NAN], &[0]).is_err());
    assert!(histogram.add(&[0.5], &[0, 1]).is_err());
    assert_eq!(histogram.cases(), 0);
    let error = histogram.pooled(&[0]).unwrap_err();
    assert_eq!(error.to_string(), "there is no case 0 among 0; indices begin at 0");
    assert!(histogram.at(1, 0.5).is_err());
    assert!(histogram.best_threshold(Averaging::Pooled).is_none());
}
