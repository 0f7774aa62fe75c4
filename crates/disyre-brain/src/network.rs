//! The network of brain extraction and its training.

use disyre_diffusion::{ModelConfig, TrainConfig, UNetConfig};

/// Neighbouring slices that the network sees at once.
pub const SLAB: usize = 3;

/// Distance of the network's pixels and slices, in millimetres.
pub const SPACING_MM: f64 = 2.0;

/// The network and the shape of its training images.
///
/// # Source
/// Ours: few channels where images are large, which is what costs; no attention, so that any size will do.
pub fn model_config() -> ModelConfig {
    let network = UNetConfig {
        in_channels: SLAB,
        out_channels: SLAB,
        channels: vec![16, 16, 32, 64, 64],
        resnets_per_level: 1,
        attention_levels: vec![],
        middle_attention: false,
        groups: 4,
        embedding_channels: 32,
        ..UNetConfig::default()
    };
    ModelConfig { network, patch: [1, 112, 112], ..ModelConfig::default() }
}

/// How the weights in this repository were trained.
pub fn train_config() -> TrainConfig {
    TrainConfig {
        steps: 5000,
        batch: 12,
        learning_rate: 2e-3,
        warmup_steps: 200,
        ema_decay: 0.998,
        validation_every: 500,
        validation_pairs: 240,
        checkpoint_every: 500,
        ..TrainConfig::default()
    }
}
