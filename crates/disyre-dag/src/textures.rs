//! Where anomalies get foreign intensities.

mod bank;
mod lazy;
mod noise;
mod rescaled;
mod same;

pub use bank::VolumeBank;
pub use lazy::LazyBank;
pub use noise::{NoiseTexture, NoiseTextureConfig};
pub use rescaled::{Rescaled, RescaledConfig};
pub use same::SameImage;

use disyre_core::{
    Key,
    ndarray::{ArrayView4, ArrayViewMut4},
};

use crate::DagError;

/// A family of random textures.
pub trait TextureSource: Send + Sync {
    /// Fills a window with the texture of this key; equal keys, images and windows give equal textures.
    ///
    /// # Shapes and units
    /// `image` is the one to be corrupted, `(c, z, y, x)`: most sources do not look at it. `texture` is `(c, z, y, x)`, of
    /// any extents; all of it is written, with values in `[0, 1]`.
    ///
    /// # Errors
    /// [`DagError`] if the source cannot fill this window; `texture` then holds nothing of meaning.
    fn fill(
        &self,
        key: Key,
        image: ArrayView4<'_, f32>,
        texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError>;
}
