use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity,
    ndarray::{Array4, ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4, Axis, Zip},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use super::{Corruption, Normalisation, check_images, check_severities, draw_severity};
use crate::{DagError, PlacedMask, TextureSource, check};

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
    pub fn build(self, textures: Arc<dyn TextureSource>) -> Result<TextureBlend, DagError> {
        check::probability("probability", self.probability)?;
        check_severities(self.severity)?;
        Ok(TextureBlend { config: self, textures })
    }
}

/// What [`TextureBlend::draw`] draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextureParams {
    /// The paper's alpha: how far the voxels go towards the texture.
    pub severity: Severity,
    /// The key that the texture source is asked with.
    pub source: Key,
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
        let mut rng = key.rng();
        let present = rng.random_bool(self.config.probability);
        let severity = draw_severity(self.config.severity, rng.random());
        TextureParams {
            severity: if present { severity } else { Severity::CLEAN },
            source: key.child("source"),
        }
    }

    /// Blends; returns the severity, or 0 if no voxel changed.
    ///
    /// # Shapes and units
    /// `clean` and `out` are `(c, z, y, x)`, intensities in `[0, 1]`; all of `out` is written.
    ///
    /// # Errors
    /// [`DagError`] if the arrays, the mask and the texture source do not fit each other.
    pub fn apply(
        &self,
        params: &TextureParams,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        mut out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        check_images(&clean, &out)?;
        mask.check(&clean)?;
        let texture = self.texture(params, clean.len_of(Axis(0)), mask)?;
        out.assign(&clean);
        Ok(self.blend(params, texture, mask, out))
    }

    /// The texture for a mask's window, before normalisation.
    pub(crate) fn texture(
        &self,
        params: &TextureParams,
        channels: usize,
        mask: &PlacedMask,
    ) -> Result<Array4<f32>, DagError> {
        let (z, y, x) = mask.values.dim();
        let mut texture = Array4::zeros((channels, z, y, x));
        self.textures.fill(params.source, texture.view_mut())?;
        check::unit_interval("the texture", &texture.view())?;
        Ok(texture)
    }

    /// Blends a texture into an image that already holds the clean intensities.
    pub(crate) fn blend(
        &self,
        params: &TextureParams,
        mut texture: Array4<f32>,
        mask: &PlacedMask,
        image: ArrayViewMut4<'_, f32>,
    ) -> Severity {
        let mut window = mask.region().of(image);
        let mut changed = false;
        for (channel, mut foreign) in window.outer_iter_mut().zip(texture.outer_iter_mut()) {
            self.config.normalisation.apply(foreign.view_mut(), channel.view(), mask.values.view());
            changed |= blend_channel(channel, foreign.view(), mask.values.view(), params.severity);
        }
        if changed { params.severity } else { Severity::CLEAN }
    }
}

/// Whether any voxel changed.
fn blend_channel(
    image: ArrayViewMut3<'_, f32>,
    foreign: ArrayView3<'_, f32>,
    mask: ArrayView3<'_, f32>,
    severity: Severity,
) -> bool {
    let alpha = severity.get();
    let mut changed = false;
    Zip::from(image).and(foreign).and(mask).for_each(|value, &foreign, &m| {
        let blended = (*value + alpha * m * (foreign - *value)).clamp(0.0, 1.0);
        changed |= blended != *value;
        *value = blended;
    });
    changed
}

impl Corruption for TextureBlend {
    fn corrupt(
        &self,
        key: Key,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        self.apply(&self.draw(key), clean, mask, out)
    }
}
