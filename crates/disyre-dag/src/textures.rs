//! Where anomalies get foreign intensities.

mod bank;
mod noise;

pub use bank::VolumeBank;
pub use noise::{NoiseTexture, NoiseTextureConfig};

use disyre_core::{Key, ndarray::ArrayViewMut4};

use crate::DagError;

/// A family of random textures.
pub trait TextureSource: Send + Sync {
    /// Fills a window with the texture of this key; equal keys and windows give equal textures.
    ///
    /// # Shapes and units
    /// `texture` is `(c, z, y, x)`, of any extents; all of it is written, with values in `[0, 1]`.
    ///
    /// # Errors
    /// [`DagError`] if the source cannot fill this window; `texture` then holds nothing of meaning.
    fn fill(&self, key: Key, texture: ArrayViewMut4<'_, f32>) -> Result<(), DagError>;
}
