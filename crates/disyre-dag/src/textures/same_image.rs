//! [`SameImage`]: patches of the image itself.

use disyre_core::{
    Key,
    ndarray::{ArrayView4, ArrayViewMut4, Axis},
};

use super::{
    bank::{Foreground, check_channels, fill_from},
    source::TextureSource,
};
use crate::error::DagError;

/// Patches of the image that is corrupted, drawn as a [`VolumeBank`](crate::textures::VolumeBank) draws.
///
/// # Source
/// Li et al., "CutPaste" (CVPR 2021, arXiv 2104.04015).
///
/// ```
/// use disyre_dag::{Key, ndarray::Array4, textures::{SameImage, TextureSource}};
///
/// let source = SameImage;
/// let image = Array4::from_elem((1, 1, 32, 32), 0.5);
/// let mut texture = Array4::zeros((1, 1, 16, 16));
/// source.fill(Key::new(1), image.view(), texture.view_mut())?;
/// assert!(texture.iter().all(|&value| value == 0.5));
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SameImage;

impl TextureSource for SameImage {
    fn fill(
        &self,
        key: Key,
        image: ArrayView4<'_, f32>,
        mut texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        check_channels("the texture", texture.view(), image.len_of(Axis(0)), "the image")?;
        match Foreground::of(image) {
            Some(foreground) => fill_from(image, &foreground, &mut key.rng(), texture),
            None => texture.fill(0.0),
        }
        Ok(())
    }
}
