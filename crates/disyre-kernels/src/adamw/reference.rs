//! The optimiser number by number, in `f64`.

use super::AdamW;

/// What [`AdamW::apply`] makes of one weight, its two moments and its average; `norm` is the whole gradient's.
pub fn adamw(
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
