//! [`TextureBlend`]: a foreign texture blended in linearly.

use std::{fmt, sync::Arc};

use disyre_core::{Key, Severity, ndarray::ArrayViewMut4};
use serde::{Deserialize, Serialize};

use super::{
    corruption::Corruption,
    foreign::{draw_texture, fill_foreign},
    normalisation::{Normalisation, normalise},
    params::{CorruptionParams, TEXTURE, TextureParams},
    strength::check_strength,
};
use crate::{canvas::Canvas, error::DagError, scratch::ScratchBuffer, textures::TextureSource};

/// Settings of [`TextureBlend`].
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), texture of the anomaly.
///
/// ```
/// use disyre_dag::{Key, PlacedMask, corruptions::{Corruption, TextureConfig}, textures::NoiseTexture};
/// use disyre_dag::ndarray::{Array3, Array4};
///
/// let clean = Array4::from_shape_fn((1, 1, 24, 24), |(_, _, y, x)| ((y + x) % 5 + 1) as f32 / 6.0);
/// let mask = PlacedMask { origin: [0, 4, 4], values: Array3::ones((1, 16, 16)) };
/// let mut out = Array4::zeros(clean.dim());
/// let blend = TextureConfig::default().build(NoiseTexture::default())?;
/// let severity = blend.corrupt(Key::new(1), clean.view(), &mask, out.view_mut())?;
/// assert!(severity.get() > 0.0 && out != clean);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextureConfig {
    /// Probability that an anomaly has a foreign texture, in `[0, 1]`; published: always.
    pub probability: f64,
    /// Least and greatest severity, in `[0, 1]`.
    pub severity: [f32; 2],
    /// Normalisation of the texture to the image's intensities.
    pub normalisation: Normalisation,
}

impl Default for TextureConfig {
    fn default() -> Self {
        Self { probability: 1.0, severity: [0.0, 1.0], normalisation: Normalisation::MinMax }
    }
}

impl TextureConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self, textures: impl TextureSource + 'static) -> Result<TextureBlend, DagError> {
        check_strength(self.probability, self.severity)?;
        Ok(TextureBlend { config: self, textures: Arc::new(textures) })
    }
}

/// Blends a foreign texture into an image under a soft mask: `out = clean + a·m·(foreign − clean)`.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), texture of the anomaly: foreign patch interpolation.
#[derive(Clone)]
pub struct TextureBlend {
    config: TextureConfig,
    textures: Arc<dyn TextureSource>,
}

impl fmt::Debug for TextureBlend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextureBlend").field("config", &self.config).finish_non_exhaustive()
    }
}

impl TextureBlend {
    fn blend(&self, params: &TextureParams, canvas: &mut Canvas<'_>) -> Result<Severity, DagError> {
        if params.severity == Severity::CLEAN {
            return Ok(Severity::CLEAN);
        }
        let mut texture = ScratchBuffer::zeros(canvas.window().len());
        let mut foreign = ArrayViewMut4::from_shape(canvas.window().dim(), &mut texture)
            .expect("a buffer of the window's size");
        fill_foreign(&*self.textures, params.source, canvas, foreign.view_mut())?;
        let mask = canvas.mask().values.view();
        for (channel, foreign) in canvas.window().outer_iter().zip(foreign.outer_iter_mut()) {
            normalise(self.config.normalisation, foreign, channel, mask);
        }
        let change = canvas.blend_towards(foreign.view(), params.severity.get());
        Ok(if change > 0.0 { params.severity } else { Severity::CLEAN })
    }
}

impl Corruption for TextureBlend {
    fn name(&self) -> &'static str {
        TEXTURE
    }

    /// Draws a severity and the key of a texture.
    fn draw(&self, key: Key) -> CorruptionParams {
        let TextureConfig { probability, severity, .. } = self.config;
        CorruptionParams::Texture(draw_texture(key, probability, severity))
    }

    fn realise(
        &self,
        params: &CorruptionParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError> {
        match params {
            CorruptionParams::Texture(params) => self.blend(params, canvas),
            other => Err(other.unlike(self.name())),
        }
    }
}
