//! Properties of the metrics on random scores with many ties.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_core::rand::RngExt;
use disyre_score::{Key, RankedScores, ScorePool, ScorePoolConfig};
use proptest::prelude::*;

/// AP, best Dice and AUROC straight from their definitions, in time voxels × thresholds.
fn by_definition(scores: &[f32], labels: &[u8]) -> [f64; 3] {
    let lesion = |i: usize| labels[i] != 0;
    let all: Vec<usize> = (0..scores.len()).collect();
    let positives = all.iter().filter(|&&i| lesion(i)).count() as f64;
    let mut thresholds = scores.to_vec();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let (mut ap, mut dice, mut recall) = (0.0, 0.0_f64, 0.0);
    for threshold in thresholds {
        let predicted: Vec<usize> =
            all.iter().copied().filter(|&i| scores[i] >= threshold).collect();
        let hits = predicted.iter().filter(|&&i| lesion(i)).count() as f64;
        ap += (hits / positives - recall) * hits / predicted.len() as f64;
        recall = hits / positives;
        dice = dice.max(2.0 * hits / (predicted.len() as f64 + positives));
    }
    let pairs = all.iter().flat_map(|&i| all.iter().map(move |&j| (i, j)));
    let won = pairs.filter(|&(i, j)| lesion(i) && !lesion(j)).map(|(i, j)| {
        f64::from(u8::from(scores[i] > scores[j]))
            + 0.5 * f64::from(u8::from(scores[i] == scores[j]))
    });
    [ap, dice, won.sum::<f64>() / (positives * (scores.len() as f64 - positives))]
}

fn all_of(ranked: &RankedScores) -> [f64; 3] {
    let dice = ranked.best_dice().unwrap().dice;
    [ranked.average_precision().unwrap(), dice, ranked.auroc().unwrap()]
}

/// Few distinct scores, so that ties are common; the first voxel is lesion, the second healthy.
fn voxels() -> impl Strategy<Value = Vec<(f32, u8)>> {
    // Lesion voxels are many or few: their healthy ones are sorted, or counted between them.
    let voxel = (-6i8..6, 0u8..3).prop_map(|(s, l)| (f32::from(s) / 4.0, l));
    let few = (-6i8..6, 0u8..30).prop_map(|(s, l)| (f32::from(s) / 4.0, l / 28));
    let voxels =
        prop_oneof![prop::collection::vec(voxel, 2..60), prop::collection::vec(few, 40..120)];
    voxels.prop_map(|mut voxels| {
        (voxels[0].1, voxels[1].1) = (1, 0);
        voxels
    })
}

proptest! {
    #[test]
    fn the_one_sort_agrees_with_the_definitions(voxels in voxels()) {
        let (scores, labels): (Vec<f32>, Vec<u8>) = voxels.into_iter().unzip();
        let ranked = RankedScores::new(&scores, &labels).unwrap();
        for (got, expected) in all_of(&ranked).into_iter().zip(by_definition(&scores, &labels)) {
            prop_assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
        let best = ranked.best_dice().unwrap();
        prop_assert_eq!(ranked.at(best.threshold).unwrap().dice(), Some(best.dice));
    }

    #[test]
    fn a_strictly_monotone_rescaling_changes_nothing(voxels in voxels()) {
        let (scores, labels): (Vec<f32>, Vec<u8>) = voxels.into_iter().unzip();
        let rescaled: Vec<f32> = scores.iter().map(|score| score.powi(3) + 2.0 * score - 5.0).collect();
        let before = RankedScores::new(&scores, &labels).unwrap();
        let after = RankedScores::new(&rescaled, &labels).unwrap();
        prop_assert_eq!(all_of(&before), all_of(&after));
    }

    #[test]
    fn the_order_of_voxels_and_their_division_into_cases_are_irrelevant(
        voxels in voxels(), turn in 0usize..60, cut in 0usize..60,
    ) {
        let (scores, labels): (Vec<f32>, Vec<u8>) = voxels.iter().copied().unzip();
        let before = RankedScores::new(&scores, &labels).unwrap();
        let mut turned = voxels;
        let (turn, cut) = (turn % turned.len(), cut % turned.len());
        turned.rotate_left(turn);
        turned.reverse();
        let (scores, labels): (Vec<f32>, Vec<u8>) = turned.into_iter().unzip();
        let mut pool = ScorePool::default();
        pool.add(&scores[cut..], &labels[cut..]).unwrap();
        pool.add(&scores[..cut], &labels[..cut]).unwrap();
        let after = pool.rank().unwrap();
        prop_assert_eq!(all_of(&before), all_of(&after));
        prop_assert_eq!(before.best_dice().unwrap(), after.best_dice().unwrap());
    }

    #[test]
    fn runs_in_files_give_the_same_bits_as_memory(
        cases in prop::collection::vec(voxels(), 1..12), budget_bytes in 0usize..2000,
    ) {
        let mut spilling = ScorePoolConfig { budget_bytes, folder: None }.build();
        let mut memory = ScorePool::default();
        for case in &cases {
            let (scores, labels): (Vec<f32>, Vec<u8>) = case.iter().copied().unzip();
            spilling.add(&scores, &labels).unwrap();
            memory.add(&scores, &labels).unwrap();
        }
        let (spilling, memory) = (spilling.rank().unwrap(), memory.rank().unwrap());
        prop_assert_eq!(all_of(&spilling), all_of(&memory));
        prop_assert_eq!(spilling.best_dice().unwrap(), memory.best_dice().unwrap());
        for threshold in [-2.0, -0.25, 0.0, 0.1, 1.0, 9.0, f32::INFINITY] {
            prop_assert_eq!(spilling.at(threshold).unwrap(), memory.at(threshold).unwrap());
        }
    }
}

/// Enough voxels for several pieces of the sort and several blocks of a file.
#[test]
fn metrics_are_equal_to_the_bit_for_any_number_of_threads_and_any_budget() {
    let mut rng = Key::new(5).rng();
    let labels: Vec<u8> = (0..600_000).map(|_| u8::from(rng.random::<f32>() < 0.05)).collect();
    let score = |&label: &u8| rng.random::<f32>() * rng.random::<f32>() + 0.2 * f32::from(label);
    let scores: Vec<f32> = labels.iter().map(score).collect();
    let run = |threads: usize, budget_bytes: usize| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        threads.install(|| {
            let mut pool = ScorePoolConfig { budget_bytes, folder: None }.build();
            for (scores, labels) in scores.chunks(90_000).zip(labels.chunks(90_000)) {
                pool.add(scores, labels).unwrap();
            }
            let ranked = pool.rank().unwrap();
            (all_of(&ranked).map(f64::to_bits), ranked.at(0.5).unwrap())
        })
    };
    let expected = run(1, usize::MAX);
    assert_eq!(run(5, usize::MAX), expected);
    assert_eq!(run(3, 2_000_000), expected);
    assert_eq!(run(2, 0), expected);
}
