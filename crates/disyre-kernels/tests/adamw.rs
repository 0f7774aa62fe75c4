//! Updates on all instructions of this CPU against plain arithmetic in `f64`.

mod common;

use common::{assert_close, every_compute, numbers};
use disyre_kernels::{AdamW, AdamWState, sum_of_squares};

/// One weight, its two moments and its average after an update; `norm` is the whole gradient's.
fn plain(
    update: &AdamW,
    [weight, first, second, average]: [f64; 4],
    gradient: f64,
    norm: f64,
) -> [f64; 4] {
    let clipped =
        if update.clip_norm > 0.0 { (update.clip_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    let g = gradient * clipped;
    let [beta1, beta2] = update.betas;
    let first = beta1 * first + (1.0 - beta1) * g;
    let second = beta2 * second + (1.0 - beta2) * g * g;
    let denominator = second.sqrt() / f64::from(update.correction) + f64::from(update.epsilon);
    let weight =
        weight * f64::from(update.keep) - f64::from(update.step_size) * first / denominator;
    let share = f64::from(update.average);
    [weight, first, second, (1.0 - share) * average + share * weight]
}

#[test]
fn updates_agree_with_the_plain_form_on_every_instruction_set() {
    let update = AdamW {
        clip_norm: 1.0,
        keep: 0.999,
        betas: [0.9, 0.999],
        step_size: 2e-3,
        correction: 0.3,
        epsilon: 1e-8,
        average: 0.01,
    };
    let n = (1 << 14) + 37;
    let gradient = numbers(n, 3);
    let mut origin = [1, 2, 5, 4].map(|seed| numbers(n, seed));
    origin[2].iter_mut().for_each(|second| *second *= *second);
    for compute in every_compute() {
        let norm = sum_of_squares(&compute, &gradient).sqrt();
        let exact = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        assert!((norm / exact - 1.0).abs() < 1e-12, "{compute}");
        let mut state = origin.clone();
        let [weights, first, second, average] = &mut state;
        update.apply(&compute, AdamWState { weights, first, second, average }, &gradient, norm);
        let of = |values: &[f32], i: usize| f64::from(values[i]);
        for (which, name) in ["weight", "first", "second", "average"].into_iter().enumerate() {
            let expected: Vec<f32> = (0..n)
                .map(|i| {
                    let before = origin.each_ref().map(|values| of(values, i));
                    plain(&update, before, of(&gradient, i), norm)[which] as f32
                })
                .collect();
            assert_close(&format!("{name} on {compute}"), &state[which], &expected, 1e-6);
        }
    }
}
