//! Intervals and tests: values of SciPy and statsmodels, and what must hold of any.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_score::statistics::{
    Alternative, IntervalMethod, Replicates, compare_unpaired, mann_whitney, sign_flip, wilcoxon,
};
use disyre_score::{
    Bootstrap, BootstrapConfig, Key, ScoreError, benjamini_hochberg, compare_paired, holm,
};
use proptest::prelude::*;
use serde_json::Value;

const VALUES: &[u8] = include_bytes!("fixtures/statistics.json");

fn golden(set: &str) -> Value {
    serde_json::from_slice::<Value>(VALUES).unwrap()[set].take()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

#[track_caller]
fn assert_near(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
}

#[test]
fn bca_intervals_of_the_same_replicates_are_those_of_scipy() {
    let sets = golden("bca");
    for set in sets.as_array().unwrap() {
        let [replicates, jackknife] = ["replicates", "jackknife"].map(|of| numbers(&set[of]));
        let found = Replicates::new(number(&set["value"]), replicates, Some(jackknife)).unwrap();
        assert_eq!(found.method(), IntervalMethod::Bca);
        let interval = found.interval(number(&set["level"])).unwrap();
        assert_near(interval.low, number(&set["low"]), 1e-9);
        assert_near(interval.high, number(&set["high"]), 1e-9);
    }
    assert_eq!(sets.as_array().unwrap().len(), 5);
}

#[test]
fn paired_tests_agree_with_scipy() {
    for set in golden("paired").as_array().unwrap() {
        let differences = numbers(&set["differences"]);
        let p = sign_flip(Key::new(0), &differences).unwrap();
        assert_near(p, number(&set["sign_flip"]), 1e-12);
        assert_near(wilcoxon(&differences).unwrap(), number(&set["wilcoxon"]), 1e-12);
    }
    for set in golden("wilcoxon_many").as_array().unwrap() {
        let p = wilcoxon(&numbers(&set["differences"])).unwrap();
        assert_near(p, number(&set["wilcoxon"]), 1e-12);
    }
}

#[test]
fn drawn_signs_come_near_all_signs() {
    for set in golden("paired_drawn").as_array().unwrap() {
        let differences = numbers(&set["differences"]);
        assert!(differences.len() > 16);
        let expected = number(&set["sign_flip"]);
        // Four standard deviations of a share of 100 000 draws.
        let spread = 4.0 * (expected * (1.0 - expected) / 1e5).sqrt();
        for seed in 0..3 {
            let p = sign_flip(Key::new(seed), &differences).unwrap();
            assert_near(p, expected, spread);
            assert_ne!(p, expected);
        }
        assert_near(wilcoxon(&differences).unwrap(), number(&set["wilcoxon"]), 1e-12);
    }
}

#[test]
fn a_drawn_p_value_is_never_zero() {
    // Of 2^40 assignments two reach the sum that was seen: no draw does.
    assert_eq!(sign_flip(Key::new(0), &[1.0; 40]).unwrap(), 1e-5);
    // More cases than bits of one word of signs.
    assert_eq!(sign_flip(Key::new(0), &[1.0; 100]).unwrap(), 1e-5);
    let alternating: Vec<f64> = (0..100).map(|case| f64::from(case % 2) - 0.5).collect();
    assert_eq!(sign_flip(Key::new(0), &alternating).unwrap(), 1.0);
}

#[test]
fn unpaired_tests_agree_with_scipy() {
    for set in golden("unpaired").as_array().unwrap() {
        let [a, b] = ["a", "b"].map(|group| numbers(&set[group]));
        let alternatives = [
            ("two_sided", Alternative::TwoSided),
            ("greater", Alternative::Greater),
            ("less", Alternative::Less),
        ];
        for (name, alternative) in alternatives {
            assert_near(mann_whitney(&a, &b, alternative).unwrap(), number(&set[name]), 1e-12);
        }
        let found = compare_unpaired(Key::new(0), &a, &b, Alternative::Less, &Bootstrap::default())
            .unwrap();
        assert_near(found.superiority.value, number(&set["superiority"]), 1e-12);
        assert_eq!((found.subjects_a, found.subjects_b), (a.len(), b.len()));
        assert_near(found.p, number(&set["less"]), 1e-12);
    }
}

#[test]
fn intervals_of_superiority_are_those_of_scipy() {
    for set in golden("superiority").as_array().unwrap() {
        let [a, b] = ["a", "b"].map(|group| numbers(&set[group]));
        let config = BootstrapConfig { replicates: 50_000, level: number(&set["level"]) };
        let bootstrap = config.build().unwrap();
        let found =
            compare_unpaired(Key::new(0), &a, &b, Alternative::TwoSided, &bootstrap).unwrap();
        // One pair more or less is the least step; both draw.
        let step = 1.001 / (a.len() * b.len()) as f64;
        assert_near(found.superiority.low, number(&set["low"]), step);
        assert_near(found.superiority.high, number(&set["high"]), step);
    }
    // Without steps: the ratio of two means.
    let set = golden("ratio");
    let [a, b] = ["a", "b"].map(|group| numbers(&set[group]));
    let values = [&a[..], &b[..]].concat();
    let groups = [vec![0; a.len()], vec![1; b.len()]].concat();
    let config = BootstrapConfig { replicates: 50_000, level: number(&set["level"]) };
    let mean = |drawn: &[usize]| {
        drawn.iter().map(|&subject| values[subject]).sum::<f64>() / drawn.len() as f64
    };
    let ratio = |drawn: &[usize]| {
        let (of_a, of_b) = drawn.split_at(drawn.partition_point(|&subject| subject < a.len()));
        Some(mean(of_a) / mean(of_b))
    };
    let found = config.build().unwrap().interval_in_groups(Key::new(0), &groups, ratio).unwrap();
    assert_near(found.low, number(&set["low"]), 0.015);
    assert_near(found.high, number(&set["high"]), 0.015);
}

#[test]
fn one_subject_of_a_group_is_enough_for_an_interval() {
    let b = [0.1, 0.2, 0.3, 0.4];
    let found =
        compare_unpaired(Key::new(0), &[0.25], &b, Alternative::TwoSided, &Bootstrap::default())
            .unwrap();
    assert_eq!((found.superiority.value, found.p), (0.5, 1.0));
    assert_eq!((found.superiority.low, found.superiority.high), (0.0, 1.0));
}

#[test]
fn corrections_agree_with_statsmodels_and_scipy() {
    let p = numbers(&golden("p"));
    for (got, expected) in holm(&p).into_iter().zip(numbers(&golden("holm"))) {
        assert_near(got, expected, 1e-12);
    }
    let expected = numbers(&golden("benjamini_hochberg"));
    for (got, expected) in benjamini_hochberg(&p).into_iter().zip(expected) {
        assert_near(got, expected, 1e-12);
    }
    let undefined = holm(&[0.02, f64::NAN, 0.03]);
    assert_eq!((undefined[0], undefined[2]), (0.04, 0.04));
    assert!(undefined[1].is_nan());
}

#[test]
fn of_skewed_samples_bca_covers_nearer_to_its_level_than_percentiles() {
    let bootstrap = BootstrapConfig { replicates: 1000, level: 0.9 }.build().unwrap();
    let experiments = 400;
    let covered = |experiment: u64, bca: bool| {
        let key = Key::new(7).child("coverage").child(experiment);
        // Exponential: the variance is 1, and its estimates are skewed.
        let sample = exponential(key.child("sample"), 40);
        let variance = |drawn: &[usize]| {
            // Undefined without one subject, the statistic has percentiles of the same draws.
            let defined = bca || drawn.len() == sample.len();
            let mean = drawn.iter().map(|&i| sample[i]).sum::<f64>() / drawn.len() as f64;
            let squares = drawn.iter().map(|&i| (sample[i] - mean).powi(2)).sum::<f64>();
            defined.then(|| squares / (drawn.len() - 1) as f64)
        };
        bootstrap.interval(key, sample.len(), variance).unwrap().contains(1.0)
    };
    let share = |bca| {
        let count = (0..experiments).filter(|&experiment| covered(experiment, bca)).count();
        count as f64 / experiments as f64
    };
    let (bca, percentile) = (share(true), share(false));
    println!("{bca} {percentile}");
    assert!((bca - 0.9).abs() < (percentile - 0.9).abs() - 0.02, "{bca} and {percentile}");
}

fn exponential(key: Key, count: usize) -> Vec<f64> {
    let uniform = |index: u64| {
        // 64 bits of a key are as good as a draw.
        let bits = u64::from_str_radix(&key.child(index).to_string()[..16], 16).unwrap();
        (bits as f64 + 0.5) / (u64::MAX as f64 + 1.0)
    };
    (0..count as u64).map(|index| -uniform(index).ln()).collect()
}

#[test]
fn under_no_difference_p_values_below_a_level_are_as_rare_as_the_level() {
    let experiments = 2000;
    let below = (0..experiments).filter(|&experiment| {
        let sample = exponential(Key::new(3).child(experiment as u64), 24);
        let differences: Vec<f64> = (0..12).map(|case| sample[case] - sample[case + 12]).collect();
        sign_flip(Key::new(0), &differences).unwrap() <= 0.05
    });
    let share = below.count() as f64 / f64::from(experiments);
    // An exact test: .05, with a standard deviation of .005.
    assert!((0.035..0.065).contains(&share), "{share}");
}

#[test]
fn results_have_the_same_bits_on_one_thread_and_on_three() {
    let (a, b) = (exponential(Key::new(1), 40), exponential(Key::new(2), 40));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compare_paired(Key::new(5), &a, &b, &Bootstrap::default()).unwrap())
    };
    assert_eq!(run(1), run(3));
    let other = compare_paired(Key::new(6), &a, &b, &Bootstrap::default()).unwrap();
    assert_ne!(other.difference.low, run(1).difference.low);
}

#[test]
fn degenerate_samples_give_intervals_without_length() {
    let bootstrap = Bootstrap::default();
    for values in [&[0.3; 7][..], &[0.3]] {
        let interval = bootstrap.mean(Key::new(0), values).unwrap();
        assert_eq!(
            (interval.value, interval.low, interval.high),
            (interval.value, interval.value, interval.value)
        );
        let statistic = |drawn: &[usize]| Some(drawn.iter().map(|&i| values[i]).sum());
        let found = bootstrap.replicates(Key::new(0), values.len(), statistic).unwrap();
        assert_eq!(found.method(), IntervalMethod::Percentile);
    }
    assert!(matches!(bootstrap.mean(Key::new(0), &[]), Err(ScoreError::Shape(_))));
    assert!(matches!(bootstrap.mean(Key::new(0), &[f64::NAN]), Err(ScoreError::Shape(_))));
}

#[test]
fn a_statistic_may_be_undefined_in_few_draws_alone() {
    // Undefined where subject 0 is drawn `limit` times or more.
    let run = |limit: usize| {
        let statistic = |drawn: &[usize]| {
            let first = drawn.iter().filter(|&&subject| subject == 0).count();
            (first < limit).then(|| drawn.iter().sum::<usize>() as f64)
        };
        Bootstrap::default().interval(Key::new(0), 10, statistic)
    };
    assert!(run(5).is_ok()); // 1 % of draws
    let error = run(2).unwrap_err(); // 26 %
    assert!(
        matches!(error, ScoreError::UndefinedStatistic { undefined: 450..600, of: 2000 }),
        "{error}"
    );
    assert!(matches!(run(0), Err(ScoreError::UndefinedStatistic { undefined: 1, of: 1 })));
    assert!(run(5).unwrap().low < 45.0);
}

#[test]
fn settings_without_an_interval_are_refused() {
    for config in [
        BootstrapConfig { replicates: 99, ..BootstrapConfig::default() },
        BootstrapConfig { level: 1.0, ..BootstrapConfig::default() },
        BootstrapConfig { level: f64::NAN, ..BootstrapConfig::default() },
    ] {
        let error = config.build().unwrap_err();
        assert!(error.to_string().contains("use at least 100"), "{error}");
    }
    assert!(serde_json::from_str::<BootstrapConfig>(r#"{"replicas": 5}"#).is_err());
}

#[test]
fn methods_that_agree_everywhere_do_not_differ() {
    let same =
        compare_paired(Key::new(0), &[0.2, 0.4], &[0.2, 0.4], &Bootstrap::default()).unwrap();
    assert_eq!((same.p, same.wins, same.losses, same.cases), (1.0, 0, 0, 2));
    assert_eq!(same.difference.high, 0.0);
    assert_eq!(wilcoxon(&[0.0, 0.0]).unwrap(), 1.0);
    assert_eq!(mann_whitney(&[1.0; 50], &[1.0; 50], Alternative::TwoSided).unwrap(), 1.0);
    assert!(compare_paired(Key::new(0), &[0.2], &[0.2, 0.4], &Bootstrap::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn swapping_two_methods_changes_signs_alone(
        pairs in prop::collection::vec((0u8..20, 0u8..20), 2..30)
    ) {
        let (a, b): (Vec<f64>, Vec<f64>) =
            pairs.into_iter().map(|(a, b)| (f64::from(a) / 32.0, f64::from(b) / 32.0)).unzip();
        let run = |a: &[f64], b: &[f64]| compare_paired(Key::new(0), a, b, &Bootstrap::default()).unwrap();
        let (there, back) = (run(&a, &b), run(&b, &a));
        prop_assert_eq!(there.difference.value, -back.difference.value);
        prop_assert!((there.difference.low + back.difference.high).abs() < 1e-9);
        prop_assert_eq!((there.p, there.wins), (back.p, back.losses));
        prop_assert!(there.p > 0.0 && there.p <= 1.0);
        let [greater, less] = [Alternative::Greater, Alternative::Less];
        let gap = mann_whitney(&a, &b, greater).unwrap() - mann_whitney(&b, &a, less).unwrap();
        prop_assert!(gap.abs() < 1e-12);
    }

    #[test]
    fn corrected_p_values_are_in_the_order_of_the_raw_ones_and_never_less(
        p in prop::collection::vec(0.0f64..1.0, 1..20)
    ) {
        for adjusted in [holm(&p), benjamini_hochberg(&p)] {
            for i in 0..p.len() {
                prop_assert!(adjusted[i] >= p[i] && adjusted[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
                }
            }
        }
    }
}
