//! [`ScannerParams`]: drawn differences between scanners, and their application to a patch.

use disyre_core::ensure_finite;
use disyre_core::ndarray::ArrayViewMut4;
use serde::{Deserialize, Serialize};

use super::changes::{blur, change_contrast, multiply_by_field};
use crate::background::Background;
use crate::waves::Wave;
use crate::{check, error::AugmentError, intensity::NoiseParams};

/// Drawn differences between scanners, applied in this order; then values are clipped to `[0, 1]`.
///
/// ```
/// use disyre_augment::{ScannerParams, ndarray::array};
///
/// let params = ScannerParams {
///     spacing_mm: [2.0; 3],
///     curve: Some(vec![0.25, 1.0]), // 0, ½ and 1 become 0, ¼ and 1
///     field: None,
///     blur_sigma_mm: None,
///     noise: None,
///     crop: None,
/// };
/// let mut patch = array![[[[0.0f32, 0.25, 0.5, 0.75]]]];
/// params.apply(patch.view_mut())?;
/// assert_eq!(patch, array![[[[0.0, 0.125, 0.25, 0.625]]]]);
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScannerParams {
    /// Distance between voxels `(z, y, x)`, in millimetres.
    pub spacing_mm: [f64; 3],
    /// Contrast: the intensities that 1/n, 2/n, …, 1 become; 0 stays, and all between is linear.
    pub curve: Option<Vec<f64>>,
    /// Shading: waves whose sum is the logarithm of a multiplicative field, from the middle of the patch.
    pub field: Option<Vec<Wave>>,
    /// Resolution: standard deviations `(z, y, x)` of a Gaussian blur, in millimetres. It is a mean over the foreground, so
    /// that the rim of a stripped brain does not darken.
    pub blur_sigma_mm: Option<[f64; 3]>,
    /// Noise on every voxel of the foreground.
    pub noise: Option<NoiseParams>,
    /// Cropped field of view.
    pub crop: Option<CropParams>,
}

/// A drawn field of view that ends inside the patch, at a plane; in 2D, at a line.
///
/// ```
/// use disyre_augment::{CropParams, ScannerParams, ndarray::Array4};
///
/// let params = ScannerParams {
///     spacing_mm: [2.0; 3],
///     curve: None,
///     field: None,
///     blur_sigma_mm: None,
///     noise: None,
///     crop: Some(CropParams { normal: [0.0, 0.0, 1.0], share: 0.25 }),
/// };
/// let mut patch = Array4::ones((1, 1, 4, 8));
/// params.apply(patch.view_mut())?;
/// assert_eq!(patch.sum(), 24.0); // the last two columns are background
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropParams {
    /// Direction `(z, y, x)` in voxels, of any length, towards what is cropped.
    pub normal: [f64; 3],
    /// Share of the patch's extent along that direction that is cropped, in `[0, 1]`.
    pub share: f64,
}

impl ScannerParams {
    /// Changes a patch in place. Background, all channels exactly 0, stays 0.
    ///
    /// # Shapes and units
    /// `patch` is `(c, z, y, x)`, with intensities in `[0, 1]`, as is the result. All channels are changed alike, each with
    /// noise of its own.
    ///
    /// # Errors
    /// [`AugmentError::Config`] for recorded numbers that no configuration could have drawn, [`AugmentError::Shape`] for a
    /// value that is not finite; `patch` is then untouched.
    ///
    /// # Source
    /// Ours.
    pub fn apply(&self, mut patch: ArrayViewMut4<'_, f32>) -> Result<(), AugmentError> {
        self.check()?;
        ensure_finite("patch", &patch.view())?;
        let background = Background::of(&patch);
        if let Some(curve) = &self.curve {
            change_contrast(patch.view_mut(), curve);
        }
        if let Some(waves) = &self.field {
            multiply_by_field(patch.view_mut(), waves, self.spacing_mm);
        }
        if let Some(sigma_mm) = self.blur_sigma_mm {
            let sigma = [0, 1, 2].map(|axis| sigma_mm[axis] / self.spacing_mm[axis]);
            blur(patch.view_mut(), &background, sigma);
        }
        if let Some(noise) = self.noise {
            noise.apply(patch.view_mut());
        }
        if let Some(crop) = self.crop {
            crop.apply(patch.view_mut());
        }
        background.clip(patch);
        Ok(())
    }

    fn check(&self) -> Result<(), AugmentError> {
        check::spacing(self.spacing_mm)?;
        let mut below = 0.0;
        for &knot in self.curve.iter().flatten() {
            check::in_range("curve", knot, [below, 1.0], "knots that rise from 0 to at most 1")?;
            below = knot;
        }
        let waves = self.field.iter().flatten();
        for number in waves.clone().flat_map(|wave| wave.frequency.into_iter().chain([wave.phase]))
        {
            check::in_range("field", number, [-1e3, 1e3], "frequencies and phases below 1000")?;
        }
        let bound = waves.map(|wave| wave.amplitude[0].abs()).sum::<f64>();
        // The sum of what was scaled to 2 may exceed it by rounding.
        check::in_range("field", bound, [0.0, 2.000_001], "amplitudes whose sum is at most 2")?;
        for sigma in self.blur_sigma_mm.into_iter().flatten() {
            check::in_range("blur_sigma_mm", sigma, [0.0, 100.0], "0 to 100 mm")?;
        }
        self.noise.iter().try_for_each(NoiseParams::check)?;
        let share = self.crop.map_or(0.0, |crop| crop.share);
        check::in_range("share", share, [0.0, 1.0], "a share in [0, 1]")
    }
}

impl CropParams {
    fn apply(&self, mut patch: ArrayViewMut4<'_, f32>) {
        let extents = &patch.shape()[1..];
        let middle = [0, 1, 2].map(|axis| (extents[axis] as f64 - 1.0) / 2.0);
        // An axis has as many steps as voxels: half a step lies beyond the middle of the last.
        let half = |axis: usize| if extents[axis] == 1 { 0.0 } else { middle[axis] + 0.5 };
        let reach: f64 = (0..3).map(|axis| self.normal[axis].abs() * half(axis)).sum();
        let limit = reach * (1.0 - 2.0 * self.share);
        for ((_, z, y, x), value) in patch.indexed_iter_mut() {
            let from_middle = |axis: usize, index: usize| index as f64 - middle[axis];
            let [nz, ny, nx] = self.normal;
            if nz * from_middle(0, z) + ny * from_middle(1, y) + nx * from_middle(2, x) > limit {
                *value = 0.0;
            }
        }
    }
}
