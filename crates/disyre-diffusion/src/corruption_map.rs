//! The corruption map: what a second output of the network learns to predict beside the restoration.

use serde::{Deserialize, Serialize};

use crate::DiffusionError;
use crate::slices::ImageBatch;

/// A second output of the network: the map of where its input is corrupted.
///
/// The map of a pair is `m = min(1, max |corrupted − clean| / visible)`, the maximum over the channels of the image. The
/// network predicts `sqrt(weight)·m` as one more channel and learns it by the squared error of all its channels, so that
/// an error of m counts `weight` times as much as one of the restoration.
///
/// ```
/// use disyre_diffusion::{CorruptionMapConfig, ModelConfig, UNetConfig};
///
/// let model = ModelConfig::default().with_corruption_map(CorruptionMapConfig::default());
/// assert_eq!((model.network.in_channels, model.network.out_channels), (1, 2));
/// model.ensure_valid()?;
/// # Ok::<(), disyre_diffusion::DiffusionError>(())
/// ```
///
/// # Source
/// Ours. DISYRE v1 (arXiv 2311.15453) scores by a network that regresses the severity of a patch; winners of the MOOD
/// challenge train a segmentation of synthetic anomalies. Here one network does both, voxel by voxel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorruptionMapConfig {
    /// Change of intensity that counts as fully visible, above 0; intensities are in `[0, 1]`. Ours: 0.1.
    pub visible: f64,
    /// Weight of the map's squared error, above 0; that of the restoration's is 1. Ours: 0.06, with which both are of one
    /// size at first: the restoration errs by about 0.003, and the variance of m is about 0.05.
    pub weight: f64,
}

impl Default for CorruptionMapConfig {
    fn default() -> Self {
        Self { visible: 0.1, weight: 0.06 }
    }
}

impl CorruptionMapConfig {
    /// Checks both numbers.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] naming the one that is not above 0.
    pub(crate) fn build(&self) -> Result<CorruptionMap, DiffusionError> {
        let numbers =
            [("corruption_map.visible", self.visible), ("corruption_map.weight", self.weight)];
        let positive = |number: f64| number > 0.0 && number.is_finite();
        match numbers.into_iter().find(|(_, number)| !positive(*number)) {
            Some((field, number)) => Err(DiffusionError::config(field, "a number above 0", number)),
            None => {
                Ok(CorruptionMap { visible: self.visible as f32, scale: self.weight.sqrt() as f32 })
            }
        }
    }
}

/// Targets of the corruption map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CorruptionMap {
    visible: f32,
    scale: f32,
}

impl CorruptionMap {
    /// The network's output for a map of 1.
    pub(crate) fn scale(self) -> f32 {
        self.scale
    }

    /// Target of the network: the channels of the clean images, and one of the scaled map.
    pub(crate) fn target(self, corrupted: &ImageBatch, clean: &ImageBatch) -> ImageBatch {
        let [n, c, y, x] = clean.shape;
        let pixels = y * x;
        let mut values = Vec::with_capacity(n * (c + 1) * pixels);
        let images = clean.values.chunks_exact(c * pixels);
        for (clean, corrupted) in images.zip(corrupted.values.chunks_exact(c * pixels)) {
            values.extend_from_slice(clean);
            values.extend((0..pixels).map(|pixel| {
                let changes = (pixel..c * pixels).step_by(pixels);
                let change = changes.map(|i| (corrupted[i] - clean[i]).abs()).fold(0.0, f32::max);
                self.scale * (change / self.visible).min(1.0)
            }));
        }
        ImageBatch { values, shape: [n, c + 1, y, x] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visible_change_in_any_channel_is_one_and_half_of_it_one_half() {
        // Two images of two channels and two pixels.
        let shape = [2, 2, 1, 2];
        let clean = ImageBatch { values: vec![0.5; 8], shape };
        let values = vec![0.5, 0.6, 0.5, 0.5, 0.5, 0.5, 0.0, 0.7];
        let map = CorruptionMapConfig { visible: 0.2, weight: 0.25 }.build().unwrap();
        let target = map.target(&ImageBatch { values, shape }, &clean);
        assert_eq!(target.shape, [2, 3, 1, 2]);
        let expected = [0.5, 0.5, 0.5, 0.5, 0.0, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
        for (found, expected) in target.values.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{:?}", target.values);
        }
    }

    #[test]
    fn numbers_that_cannot_work_are_named() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let default = CorruptionMapConfig::default();
            let visible = CorruptionMapConfig { visible: bad, ..default };
            let weight = CorruptionMapConfig { weight: bad, ..default };
            for (config, name) in [(visible, "visible"), (weight, "weight")] {
                let message = config.build().unwrap_err().to_string();
                assert!(message.starts_with(&format!("corruption_map.{name} is")), "{message}");
            }
        }
    }
}
