//! [`TextureSource`]: the trait of all textures.

use std::sync::Arc;

use disyre_core::{
    Key,
    ndarray::{ArrayView4, ArrayViewMut4},
};

use crate::error::DagError;

/// A source of random textures.
///
/// ```
/// use disyre_dag::{DagError, Family, Key, Sources, textures::TextureSource};
/// use disyre_dag::ndarray::{ArrayView4, ArrayViewMut4};
///
/// /// White everywhere.
/// struct White;
/// impl TextureSource for White {
///     fn fill(
///         &self,
///         _: Key,
///         _: ArrayView4<'_, f32>,
///         mut texture: ArrayViewMut4<'_, f32>,
///     ) -> Result<(), DagError> {
///         texture.fill(1.0);
///         Ok(())
///     }
/// }
///
/// Family::Fpi.config([1, 32, 32]).build(&Sources::new().with_textures(White))?;
/// # Ok::<(), DagError>(())
/// ```
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

impl<S: TextureSource + ?Sized> TextureSource for Arc<S> {
    fn fill(
        &self,
        key: Key,
        image: ArrayView4<'_, f32>,
        texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        (**self).fill(key, image, texture)
    }
}
