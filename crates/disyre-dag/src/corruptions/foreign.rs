//! Foreign textures as linear and Poisson blends use them.

use disyre_core::{Key, ndarray::ArrayViewMut4};

use super::{params::TextureParams, strength::draw_present};
use crate::{canvas::Canvas, error::DagError, textures::TextureSource};

/// Draws a severity and the key of a texture.
pub(super) fn draw_texture(key: Key, probability: f64, severity: [f32; 2]) -> TextureParams {
    let severity = draw_present(&mut key.rng(), probability, severity);
    TextureParams { severity, source: key.child("source") }
}

/// Fills a texture and checks that its values are finite.
pub(super) fn fill_foreign(
    textures: &dyn TextureSource,
    key: Key,
    canvas: &Canvas<'_>,
    mut texture: ArrayViewMut4<'_, f32>,
) -> Result<(), DagError> {
    textures.fill(key, canvas.clean(), texture.view_mut())?;
    // Without early exit, the sum vectorises; it is finite for all that a texture may hold.
    if texture.iter().fold(0.0, |sum: f32, value| sum + value * 0.0) == 0.0 {
        return Ok(());
    }
    let wrong = texture.indexed_iter().find(|(_, value)| !value.is_finite());
    let ((c, z, y, x), &value) = wrong.unwrap_or(((0, 0, 0, 0), &f32::NAN));
    Err(DagError::Texture { index: vec![c, z, y, x], value })
}
