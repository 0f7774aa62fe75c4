use rayon::prelude::*;

use super::TrainConfig;

/// Numbers of one piece of work: fixed, so that sums do not depend on the number of threads.
const PIECE: usize = 1 << 14;

/// One tensor's share of the optimiser: the weights themselves, their two moments and their moving average.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) weights: Vec<f32>,
    pub(crate) moment1: Vec<f32>,
    pub(crate) moment2: Vec<f32>,
    /// Empty if no average is kept.
    pub(crate) average: Vec<f32>,
}

impl Slot {
    pub(crate) fn new(name: &str, shape: &[usize], weights: Vec<f32>, averaged: bool) -> Self {
        let zeros = vec![0.0; weights.len()];
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            moment1: zeros.clone(),
            moment2: zeros,
            average: if averaged { weights.clone() } else { Vec::new() },
            weights,
        }
    }
}

/// What one step does to every number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    gradient_scale: f32,
    keep: f32,
    beta1: f32,
    beta2: f32,
    step_size: f32,
    correction2: f32,
    epsilon: f32,
    average: f32,
}

impl Update {
    /// The coefficients of update number `updates`, counted from 1.
    ///
    /// # Source
    /// Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (arXiv 1711.05101), algorithm 2, in the form of PyTorch's
    /// `AdamW`; clipping as its `clip_grad_norm_`.
    pub(crate) fn new(config: &TrainConfig, rate: f64, updates: u64, norm: f64) -> Self {
        let [beta1, beta2] = config.betas;
        let correction = |beta: f64| 1.0 - beta.powf(updates as f64);
        let clipped = config.clip_norm / (norm + 1e-6);
        Self {
            gradient_scale: if config.clip_norm > 0.0 { clipped.min(1.0) as f32 } else { 1.0 },
            keep: (1.0 - rate * config.weight_decay) as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            step_size: (rate / correction(beta1)) as f32,
            correction2: correction(beta2).sqrt() as f32,
            epsilon: config.epsilon as f32,
            average: config.ema_decay_at(updates).map_or(0.0, |decay| (1.0 - decay) as f32),
        }
    }

    /// Applies the step to one tensor, in one pass.
    pub(crate) fn apply(&self, slot: &mut Slot, gradient: &[f32]) {
        let moments = slot.moment1.par_chunks_mut(PIECE).zip(slot.moment2.par_chunks_mut(PIECE));
        let weights = slot.weights.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
        weights.zip(moments).for_each(|((w, g), (m, v))| self.descend(w, g, m, v));
        let average = slot.average.par_chunks_mut(PIECE);
        average.zip(slot.weights.par_chunks(PIECE)).for_each(|(average, weights)| {
            for (average, &weight) in average.iter_mut().zip(weights) {
                *average += self.average * (weight - *average);
            }
        });
    }

    fn descend(&self, weights: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32]) {
        let moments = m.iter_mut().zip(v);
        for ((weight, &gradient), (m, v)) in weights.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * self.gradient_scale;
            *m += (1.0 - self.beta1) * (gradient - *m);
            *v = self.beta2 * *v + (1.0 - self.beta2) * gradient * gradient;
            let denominator = v.sqrt() / self.correction2 + self.epsilon;
            *weight = *weight * self.keep - self.step_size * *m / denominator;
        }
    }
}

/// Sum of squares in `f64`, by pieces merged in order.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    let piece = |piece: &[f32]| piece.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    values.par_chunks(PIECE).map(piece).collect::<Vec<_>>().iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TrainConfig {
        TrainConfig { weight_decay: 0.5, clip_norm: 0.0, ema_decay: 0.5, ..TrainConfig::default() }
    }

    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate() {
        // Corrected moments are g and g^2, so the step is -rate * sign(g), after the decay of the weight.
        let mut slot = Slot::new("w", &[2], vec![1.0, -2.0], true);
        Update::new(&config(), 0.1, 1, 0.0).apply(&mut slot, &[3.0, -4.0]);
        let expected = [1.0 - 0.05 - 0.1, -2.0 + 0.1 + 0.1];
        for (weight, expected) in slot.weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-6, "{:?}", slot.weights);
        }
        // decay 2/11 after one update
        let average = 1.0 + (9.0 / 11.0) * (slot.weights[0] - 1.0);
        assert!((slot.average[0] - average).abs() < 1e-6);
    }

    #[test]
    fn a_long_gradient_is_scaled_to_the_limit_and_a_short_one_kept() {
        let config = TrainConfig { clip_norm: 1.0, ..TrainConfig::default() };
        assert_eq!(Update::new(&config, 0.1, 1, 4.0).gradient_scale, 1.0 / (4.0 + 1e-6));
        assert_eq!(Update::new(&config, 0.1, 1, 0.5).gradient_scale, 1.0);
    }

    #[test]
    fn the_sum_of_squares_of_a_long_tensor_is_exact() {
        assert_eq!(sum_of_squares(&vec![2.0; 3 * PIECE + 5]), 4.0 * (3 * PIECE + 5) as f64);
    }
}
