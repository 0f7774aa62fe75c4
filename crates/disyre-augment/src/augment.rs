//! [`Augmenter`] and [`AugmentParams`]: the augmentation of a patch as a whole.

use disyre_core::Key;
use disyre_core::ndarray::{
    ArrayView3, ArrayView4, ArrayViewMut, ArrayViewMut3, ArrayViewMut4, Axis, Dimension,
};
use disyre_core::rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{
    check,
    error::AugmentError,
    intensity::{IntensityConfig, IntensityParams},
    spatial::SpatialParams,
    spatial_config::SpatialConfig,
};

/// Settings of [`Augmenter`]: elastic deformation, rotation, scale, mirroring and intensities.
///
/// # Source
/// The published code of DISYRE v2 (arXiv 2407.06635), patch extraction and augmentation. Ours: the last place at which
/// a patch fits is drawn too, and background stays 0.
///
/// ```
/// use disyre_augment::{AugmentConfig, IntensityConfig};
///
/// let intensity = IntensityConfig { noise: [0.0, 0.1], ..IntensityConfig::default() };
/// let config = AugmentConfig { mirror: [0.5; 3], intensity, ..AugmentConfig::default() };
/// config.build()?;
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
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

/// A generator of augmented patches.
///
/// ```
/// use disyre_augment::{AugmentConfig, Key};
///
/// let augmenter = AugmentConfig::default().build()?;
/// let [first, again, other] = [1u64, 1, 2].map(|index| augmenter.draw(Key::new(7).child(index)));
/// assert!(first == again && first != other);
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Augmenter {
    config: AugmentConfig,
}

impl Augmenter {
    /// Draws the place of a patch and its augmentation.
    pub fn draw(&self, key: Key) -> AugmentParams {
        let mut rng = key.child("mirror").rng();
        AugmentParams {
            spatial: self.config.spatial.draw(key.child("spatial")),
            mirror: self.config.mirror.map(|probability| rng.random_bool(probability)),
            intensity: self.config.intensity.draw(key.child("intensity")),
        }
    }
}

/// One drawn augmentation, before an image is seen: with the same image it gives the same patch.
///
/// ```
/// use disyre_augment::{AugmentConfig, Key, ndarray::{Array3, Array4, Axis}};
///
/// let image = Array4::from_shape_fn((1, 1, 40, 40), |(_, _, y, x)| (1 + y + x) as f32 / 80.0);
/// let labels = image.index_axis(Axis(0), 0).mapv(|value| u8::from(value > 0.5));
/// let drawn = AugmentConfig::default().build()?.draw(Key::new(3));
/// let (mut patch, mut part) = (Array4::zeros((1, 1, 32, 32)), Array3::zeros((1, 32, 32)));
/// drawn.apply(image.view(), patch.view_mut())?;
/// drawn.apply_to_labels(labels.view(), part.view_mut())?; // the same cut
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentParams {
    /// Place, elastic deformation, rotation and scale.
    pub spatial: SpatialParams,
    /// Mirroring of the axes `(z, y, x)`.
    pub mirror: [bool; 3],
    /// Brightness, gamma, noise and blur.
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
