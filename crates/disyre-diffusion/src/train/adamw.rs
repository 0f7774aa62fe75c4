//! The coefficients of AdamW at each update.

use disyre_kernels::AdamW;

use super::TrainConfig;

/// The coefficients of update number `updates`, counted from 1.
pub(crate) fn update(config: &TrainConfig, rate: f64, updates: u64) -> AdamW {
    let [beta1, beta2] = config.betas;
    let correction = |beta: f64| 1.0 - beta.powf(updates as f64);
    AdamW {
        clip_norm: config.clip_norm,
        keep: (1.0 - rate * config.weight_decay) as f32,
        betas: config.betas,
        step_size: (rate / correction(beta1)) as f32,
        correction: correction(beta2).sqrt() as f32,
        epsilon: config.epsilon as f32,
        average: config.ema_decay_at(updates).map_or(0.0, |decay| (1.0 - decay) as f32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_and_the_average_are_those_of_the_first_update() {
        let config = TrainConfig { ema_decay: 0.5, weight_decay: 0.5, ..TrainConfig::default() };
        let update = update(&config, 0.1, 1);
        assert!((update.step_size - 0.1 / 0.05).abs() < 1e-6);
        assert!((update.correction - 0.001f32.sqrt()).abs() < 1e-6);
        assert!((update.keep - 0.95).abs() < 1e-6);
        // decay 2/11 after one update
        assert!((update.average - 9.0 / 11.0).abs() < 1e-6);
    }
}
