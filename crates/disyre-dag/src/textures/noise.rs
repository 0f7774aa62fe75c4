use disyre_core::{
    Key,
    ndarray::{ArrayViewMut3, ArrayViewMut4},
    rand::RngExt,
};
use noise::{Fbm, MultiFractal, NoiseFn, Perlin};
use serde::{Deserialize, Serialize};

use super::TextureSource;
use crate::{DagError, check};

/// How noise textures are drawn.
///
/// # Source
/// Ours: a texture that needs no images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoiseTextureConfig {
    /// Cycles of the coarsest noise per voxel, in `(0, 0.5]`.
    pub cycles_per_voxel: f64,
    /// Layers of noise, each finer and weaker than the one before, 1 to 8.
    pub octaves: usize,
}

impl Default for NoiseTextureConfig {
    fn default() -> Self {
        Self { cycles_per_voxel: 0.1, octaves: 3 }
    }
}

impl NoiseTextureConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<NoiseTexture, DagError> {
        let expected = "cycles in [0.0001, 0.5]";
        check::in_range("cycles_per_voxel", self.cycles_per_voxel, [1e-4, 0.5], expected)?;
        check::in_range("octaves", self.octaves as f64, [1.0, 8.0], "1 to 8 layers")?;
        Ok(NoiseTexture::new(self))
    }
}

/// Fractal noise around 0.5, independent in each channel.
#[derive(Debug, Clone)]
pub struct NoiseTexture {
    config: NoiseTextureConfig,
    noise: Fbm<Perlin>,
}

impl Default for NoiseTexture {
    fn default() -> Self {
        Self::new(NoiseTextureConfig::default())
    }
}

impl NoiseTexture {
    fn new(config: NoiseTextureConfig) -> Self {
        let noise = Fbm::new(0).set_octaves(config.octaves);
        Self { config, noise }
    }

    fn fill_channel(&self, key: Key, mut channel: ArrayViewMut3<'_, f32>) {
        let mut rng = key.rng();
        // Perlin noise repeats after 256 cycles: a random place in it stands for a seed.
        let place: [f64; 3] = std::array::from_fn(|_| 256.0 * rng.random::<f64>());
        let cycles = self.config.cycles_per_voxel;
        for ((z, y, x), value) in channel.indexed_iter_mut() {
            let point = [z, y, x].map(|index| index as f64 * cycles);
            let noise =
                self.noise.get([place[0] + point[0], place[1] + point[1], place[2] + point[2]]);
            *value = (0.5 + 0.5 * noise).clamp(0.0, 1.0) as f32;
        }
    }
}

impl TextureSource for NoiseTexture {
    fn fill(&self, key: Key, mut texture: ArrayViewMut4<'_, f32>) -> Result<(), DagError> {
        for (index, channel) in texture.outer_iter_mut().enumerate() {
            self.fill_channel(key.child(index), channel);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array4, Axis};

    #[test]
    fn channels_differ_and_neighbours_resemble_each_other() {
        let mut texture = Array4::zeros((2, 1, 32, 32));
        NoiseTexture::default().fill(Key::new(1), texture.view_mut()).unwrap();
        assert_ne!(texture.index_axis(Axis(0), 0), texture.index_axis(Axis(0), 1));
        assert!(texture.iter().all(|value| (0.0..=1.0).contains(value)));
        let step = |x: usize| (texture[[0, 0, 9, x]] - texture[[0, 0, 9, x + 1]]).abs();
        assert!((0..31).all(|x| step(x) < 0.25));
        let range = texture.fold(1f32, |a, &b| a.min(b))..texture.fold(0f32, |a, &b| a.max(b));
        assert!(range.end - range.start > 0.2, "{range:?}");
    }
}
