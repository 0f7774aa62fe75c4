use disyre_core::Key;
use disyre_core::ndarray::{
    ArrayView3, ArrayView4, ArrayViewMut, ArrayViewMut3, ArrayViewMut4, Axis, Dimension,
};
use disyre_core::rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{AugmentError, IntensityConfig, IntensityParams, SpatialConfig, SpatialParams, check};

/// How patches are cut and varied.
///
/// # Source
/// The published code of DISYRE v2 (arXiv 2407.06635), patch extraction and augmentation. Ours: the last place at which
/// a patch fits is drawn too, and background stays 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Elastic deformation, rotation, scale.
    pub spatial: SpatialConfig,
    /// Probability of mirroring each axis `(z, y, x)`, in `[0, 1]`.
    pub mirror: [f64; 3],
    /// Brightness, gamma, noise, blur.
    pub intensity: IntensityConfig,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        let (spatial, intensity) = (SpatialConfig::default(), IntensityConfig::default());
        Self { spatial, mirror: [0.0, 0.5, 0.5], intensity }
    }
}

impl AugmentConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`AugmentError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<Augmenter, AugmentError> {
        self.spatial.check()?;
        self.mirror.iter().try_for_each(|&mirror| check::probability("mirror", mirror))?;
        self.intensity.check()?;
        Ok(Augmenter { config: self })
    }
}

/// Draws augmented patches.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmenter {
    config: AugmentConfig,
}

impl Augmenter {
    /// Draws a place and all that happens to the patch there.
    pub fn draw(&self, key: Key) -> AugmentParams {
        let mut rng = key.child("mirror").rng();
        AugmentParams {
            spatial: self.config.spatial.draw(key.child("spatial")),
            mirror: self.config.mirror.map(|probability| rng.random_bool(probability)),
            intensity: self.config.intensity.draw(key.child("intensity")),
        }
    }
}

/// All that is drawn for one patch, before an image is seen: with the same image it gives the same patch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentParams {
    /// Where the patch is cut and how it is bent, turned and scaled.
    pub spatial: SpatialParams,
    /// Which axes `(z, y, x)` are mirrored.
    pub mirror: [bool; 3],
    /// What happens to its intensities.
    pub intensity: IntensityParams,
}

impl AugmentParams {
    /// Cuts and augments a patch.
    ///
    /// # Shapes and units
    /// `image` and `patch` are `(c, z, y, x)` with the same channels, intensities in `[0, 1]`, background 0.
    ///
    /// # Errors
    /// Those of [`SpatialParams::apply`] and [`IntensityParams::apply`].
    pub fn apply(
        &self,
        image: ArrayView4<'_, f32>,
        mut patch: ArrayViewMut4<'_, f32>,
    ) -> Result<(), AugmentError> {
        self.spatial.apply(image, patch.view_mut())?;
        self.mirror(patch.view_mut(), 1);
        self.intensity.apply(patch)
    }

    /// Cuts the same patch out of a segmentation of the image, or another map of it: the nearest voxels, 0 outside.
    ///
    /// # Shapes and units
    /// `labels` and `patch` are `(z, y, x)`.
    ///
    /// # Errors
    /// Those of [`SpatialParams::apply_to_labels`].
    pub fn apply_to_labels<T: Copy + Default>(
        &self,
        labels: ArrayView3<'_, T>,
        mut patch: ArrayViewMut3<'_, T>,
    ) -> Result<(), AugmentError> {
        self.spatial.apply_to_labels(labels, patch.view_mut())?;
        self.mirror(patch, 0);
        Ok(())
    }

    /// Mirrors the axes of a patch after the first `before` ones.
    fn mirror<T: Clone, D: Dimension>(&self, mut patch: ArrayViewMut<'_, T, D>, before: usize) {
        if self.mirror.contains(&true) {
            let original = patch.to_owned();
            let mut mirrored = original.view();
            for axis in (0..3).filter(|&axis| self.mirror[axis]) {
                mirrored.invert_axis(Axis(axis + before));
            }
            patch.assign(&mirrored);
        }
    }
}
