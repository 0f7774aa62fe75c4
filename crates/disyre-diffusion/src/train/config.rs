//! The settings of training.

use serde::{Deserialize, Serialize};

use crate::{DiffusionError, Engine};

/// How to train; `Default` is the published recipe with the one exception of `ema_decay`.
///
/// # Source
/// The published code of DISYRE (arXiv 2311.15453). It trains with 16-bit products; here that is a choice, see `engine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Number of steps; the learning rate reaches 0 after the last. Published: 100 000.
    pub steps: u64,
    /// Pairs of one step. Published: 96.
    pub batch: usize,
    /// Greatest learning rate. Published: 1e-4.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises linearly from 0. Published: 500.
    pub warmup_steps: u64,
    /// AdamW's decay of the gradient's and the squared gradient's average, in [0, 1). Published: 0.95, 0.999.
    pub betas: [f64; 2],
    /// Added to the denominator by AdamW. Published: 1e-8.
    pub epsilon: f64,
    /// AdamW's decoupled weight decay. Published: 1e-6.
    pub weight_decay: f64,
    /// Greatest norm of the gradient; a longer one is scaled down. 0 = no limit. Published: 1.
    pub clip_norm: f64,
    /// Decay of the moving average of the weights, in [0, 1), reached gradually: min(decay, (1 + step)/(10 + step)).
    /// 0 = no average, as published. Default 0.999, ours: it averages over about the last thousand steps, which
    /// steadies short runs and costs one pass over the weights.
    pub ema_decay: f64,
    /// Steps between validations; there is always one after the last step. Published: 10 000.
    pub validation_every: u64,
    /// Pairs of the fixed validation set. Published: 128 (32 slices of 4 volumes).
    pub validation_pairs: u64,
    /// Steps between checkpoints; there is always one after the last step. Published: 10 000.
    pub checkpoint_every: u64,
    /// Operations and precision. Published: bf16 on a GPU; ours: `f32`.
    pub engine: Engine,
    /// Whether results within blocks are computed anew for the gradient and not kept: less memory, more work, the same
    /// weights.
    pub recompute: bool,
    /// Seed of the initial weights. Published: none was set; ours: 0.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 100_000,
            batch: 96,
            learning_rate: 1e-4,
            warmup_steps: 500,
            betas: [0.95, 0.999],
            epsilon: 1e-8,
            weight_decay: 1e-6,
            clip_norm: 1.0,
            ema_decay: 0.999,
            validation_every: 10_000,
            validation_pairs: 128,
            checkpoint_every: 10_000,
            engine: Engine::default(),
            recompute: false,
            seed: 0,
        }
    }
}

/// Greatest number of pairs that are in memory at once.
const MOST_PAIRS: u64 = 1 << 20;

impl TrainConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] naming the first field that is out of its range.
    pub fn ensure_valid(&self) -> Result<(), DiffusionError> {
        let counts = [
            ("train.steps", self.steps),
            ("train.batch", self.batch as u64),
            ("train.validation_every", self.validation_every),
            ("train.validation_pairs", self.validation_pairs),
            ("train.checkpoint_every", self.checkpoint_every),
        ];
        if let Some((field, count)) = counts.into_iter().find(|&(_, count)| count == 0) {
            return Err(DiffusionError::config(field, "at least 1", count));
        }
        // More pairs than that fill any memory.
        let held =
            [("train.batch", self.batch as u64), ("train.validation_pairs", self.validation_pairs)];
        if let Some((field, count)) = held.into_iter().find(|&(_, count)| count > MOST_PAIRS) {
            return Err(DiffusionError::config(field, format!("at most {MOST_PAIRS}"), count));
        }
        let amounts = [
            ("train.learning_rate", self.learning_rate),
            ("train.epsilon", self.epsilon),
            ("train.weight_decay", self.weight_decay),
            ("train.clip_norm", self.clip_norm),
        ];
        let bad = |amount: f64| !(amount >= 0.0 && amount.is_finite());
        if let Some((field, amount)) = amounts.into_iter().find(|&(_, amount)| bad(amount)) {
            return Err(DiffusionError::config(field, "a number not below 0", amount));
        }
        let decays = [
            ("train.betas", self.betas[0]),
            ("train.betas", self.betas[1]),
            ("train.ema_decay", self.ema_decay),
        ];
        match decays.into_iter().find(|(_, decay)| !(0.0..1.0).contains(decay)) {
            Some((field, decay)) => Err(DiffusionError::config(field, "0 up to below 1", decay)),
            None => Ok(()),
        }
    }

    /// The learning rate of a step: linear warm-up from 0, then half a cosine period down to 0.
    ///
    /// # Shapes and units
    /// `step` counts from 0, so the first step of a run with warm-up has learning rate 0.
    ///
    /// # Source
    /// The published code (the cosine schedule with warm-up of the transformers library).
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * step as f64 / self.warmup_steps as f64;
        }
        let length = self.steps.saturating_sub(self.warmup_steps).max(1);
        let progress = (step - self.warmup_steps) as f64 / length as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
        self.learning_rate * cosine.max(0.0)
    }

    /// The moving average's decay after `updates` updates, the current one included; none if there is no average.
    pub(crate) fn ema_decay_at(&self, updates: u64) -> Option<f64> {
        let ramp = (1.0 + updates as f64) / (10.0 + updates as f64);
        (self.ema_decay > 0.0).then(|| self.ema_decay.min(ramp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_linearly_and_falls_to_zero() {
        let config = TrainConfig { steps: 100, warmup_steps: 10, ..TrainConfig::default() };
        let rates = [0, 5, 10, 55, 100].map(|step| config.learning_rate_at(step) / 1e-4);
        for (rate, expected) in rates.into_iter().zip([0.0, 0.5, 1.0, 0.5, 0.0]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn without_warmup_the_first_step_has_the_full_rate() {
        let config = TrainConfig { steps: 10, warmup_steps: 0, ..TrainConfig::default() };
        assert_eq!(config.learning_rate_at(0), 1e-4);
    }

    #[test]
    fn a_field_out_of_range_is_named() {
        let cases = [
            (TrainConfig { batch: 0, ..TrainConfig::default() }, "train.batch"),
            (TrainConfig { batch: 1 << 40, ..TrainConfig::default() }, "train.batch"),
            (TrainConfig { betas: [0.9, 1.0], ..TrainConfig::default() }, "train.betas"),
            (TrainConfig { ema_decay: -0.1, ..TrainConfig::default() }, "train.ema_decay"),
            (TrainConfig { clip_norm: f64::NAN, ..TrainConfig::default() }, "train.clip_norm"),
        ];
        for (config, field) in cases {
            let message = config.ensure_valid().unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
        }
        TrainConfig::default().ensure_valid().unwrap();
    }

    #[test]
    fn the_average_starts_quick_and_can_be_off() {
        let config = TrainConfig::default();
        assert_eq!(config.ema_decay_at(1), Some(2.0 / 11.0));
        assert_eq!(config.ema_decay_at(1_000_000), Some(0.999));
        assert_eq!(TrainConfig { ema_decay: 0.0, ..config }.ema_decay_at(1), None);
    }
}
