use disyre_core::{
    Key,
    ndarray::{ArrayView4, ArrayViewMut4, Axis},
};

use super::{
    bank::{Foreground, check_channels, fill_from},
    source::TextureSource,
};
use crate::error::DagError;

/// Patches from elsewhere in the image that is corrupted, drawn as a [`VolumeBank`](crate::textures::VolumeBank) draws.
///
/// # Source
/// Li et al., "CutPaste" (CVPR 2021, arXiv 2104.04015).
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
