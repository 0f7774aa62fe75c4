use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity,
    ndarray::{ArrayView4, ArrayViewMut4},
};
use serde::{Deserialize, Serialize};

use super::{
    Corruption, CorruptionParams, check_strength, draw_present, fill,
    normalisation::{Normalisation, normalise},
    write,
};
use crate::{
    canvas::Canvas, error::DagError, mask::PlacedMask, scratch::Buffer, textures::TextureSource,
};

/// How foreign textures are blended in.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), texture of the anomaly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextureConfig {
    /// Probability that an anomaly has a foreign texture, in `[0, 1]`; published: always.
    pub probability: f64,
    /// Least and greatest severity, in `[0, 1]`.
    pub severity: [f32; 2],
    /// How the texture is brought to the image's intensities.
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

/// What [`TextureBlend::draw`] and [`PoissonBlend::draw`](crate::corruptions::PoissonBlend::draw) draw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextureParams {
    /// The papers' alpha: how far the voxels, or their gradients, go towards the texture.
    pub severity: Severity,
    /// The key that the texture source is asked with.
    pub source: Key,
}

impl TextureParams {
    pub(super) fn draw(key: Key, probability: f64, severity: [f32; 2]) -> Self {
        let severity = draw_present(&mut key.rng(), probability, severity);
        Self { severity, source: key.child("source") }
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
    /// Draws a severity and the key of a texture.
    pub fn draw(&self, key: Key) -> TextureParams {
        TextureParams::draw(key, self.config.probability, self.config.severity)
    }

    /// Blends; returns the severity, or 0 if no voxel changed.
    ///
    /// # Shapes and units
    /// `clean` and `out` are `(c, z, y, x)`, intensities in `[0, 1]`; all of `out` is written.
    ///
    /// # Errors
    /// [`DagError`] if the arrays, the mask and the texture source do not fit each other; `out` is then untouched.
    pub fn apply(
        &self,
        params: &TextureParams,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        write(clean, mask, out, [0; 3], |canvas| self.blend(params, canvas))
    }

    pub(crate) fn blend(
        &self,
        params: &TextureParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError> {
        if params.severity == Severity::CLEAN {
            return Ok(Severity::CLEAN);
        }
        let mut texture = Buffer::zeros(canvas.window().len());
        let mut foreign = ArrayViewMut4::from_shape(canvas.window().dim(), &mut texture)
            .expect("a buffer of the window's size");
        fill(&*self.textures, params.source, canvas, foreign.view_mut())?;
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
        super::TEXTURE
    }

    fn sample(&self, key: Key) -> CorruptionParams {
        CorruptionParams::Texture(self.draw(key))
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
