//! [`NoiseTexture`]: fractal noise as a texture.

use disyre_core::{
    Key,
    ndarray::{ArrayView4, ArrayViewMut4},
};
use serde::{Deserialize, Serialize};

use super::source::TextureSource;
use crate::{check, error::DagError, fractal::Fractal};

/// Settings of [`NoiseTexture`].
///
/// # Source
/// Ours: a texture that needs no images.
///
/// ```
/// use disyre_dag::{Key, ndarray::Array4, textures::{NoiseTextureConfig, TextureSource}};
///
/// let source = NoiseTextureConfig { cycles_per_voxel: 0.2, octaves: 2 }.build()?;
/// let image = Array4::from_elem((1, 1, 32, 32), 0.5);
/// let mut texture = Array4::zeros((1, 1, 16, 16));
/// source.fill(Key::new(1), image.view(), texture.view_mut())?;
/// assert_ne!(texture[[0, 0, 3, 3]], texture[[0, 0, 12, 12]]);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
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
        Ok(NoiseTexture { config: self })
    }
}

/// Fractal noise around 0.5, independent in each channel.
#[derive(Debug, Clone, Default)]
pub struct NoiseTexture {
    config: NoiseTextureConfig,
}

impl TextureSource for NoiseTexture {
    fn fill(
        &self,
        key: Key,
        _: ArrayView4<'_, f32>,
        mut texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        let (_, depth, height, width) = texture.dim();
        let noise = Fractal {
            octaves: self.config.octaves,
            extents: [depth, height, width],
            step: [self.config.cycles_per_voxel; 3],
        };
        for (index, mut channel) in texture.outer_iter_mut().enumerate() {
            let mut rows = channel.rows_mut().into_iter();
            noise.for_each_row(key.child(index), |_, _, row| {
                for (value, noise) in rows.next().into_iter().flatten().zip(row) {
                    *value = (0.5 + 0.5 * noise).clamp(0.0, 1.0);
                }
            });
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
        NoiseTexture::default()
            .fill(Key::new(1), Array4::zeros((0, 0, 0, 0)).view(), texture.view_mut())
            .unwrap();
        assert_ne!(texture.index_axis(Axis(0), 0), texture.index_axis(Axis(0), 1));
        assert!(texture.iter().all(|value| (0.0..=1.0).contains(value)));
        let step = |x: usize| (texture[[0, 0, 9, x]] - texture[[0, 0, 9, x + 1]]).abs();
        assert!((0..31).all(|x| step(x) < 0.25));
        let range = texture.fold(1f32, |a, &b| a.min(b))..texture.fold(0f32, |a, &b| a.max(b));
        assert!(range.end - range.start > 0.2, "{range:?}");
    }
}
