//! [`IntensityParams`]: brightness, gamma, noise and blur of a patch.

use disyre_core::Key;
use disyre_core::ndarray::ArrayViewMut4;
use disyre_core::rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::background::Background;
use crate::smooth::{Continuation, convolve, gaussian};
use crate::{check, error::AugmentError};

/// Settings of the changes of intensities: probabilities and ranges.
///
/// # Source
/// The published code of DISYRE v2 (arXiv 2407.06635).
///
/// ```
/// use disyre_augment::{AugmentConfig, IntensityConfig};
///
/// let intensity = IntensityConfig { gamma: [1.1, 2.0], ..IntensityConfig::default() };
/// let error = AugmentConfig { intensity, ..AugmentConfig::default() }.build().unwrap_err();
/// assert!(error.to_string().starts_with("gamma is 1.1")); // exponents lie on either side of 1
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntensityConfig {
    /// Probability of a change of brightness, in `[0, 1]`.
    pub brightness_probability: f64,
    /// Least and greatest factor, in `[0, 10]`.
    pub brightness: [f64; 2],
    /// Probability of a change of gamma, in `[0, 1]`.
    pub gamma_probability: f64,
    /// Probability of a change of gamma of the inverted intensities, in `[0, 1]`.
    pub inverted_gamma_probability: f64,
    /// Least and greatest exponent, in `[0.05, 20]`, around 1. Half of the exponents lie on either side of 1.
    pub gamma: [f64; 2],
    /// Probability of noise, in `[0, 1]`.
    pub noise_probability: f64,
    /// Least and greatest standard deviation of the noise, in intensities, in `[0, 1]`.
    pub noise: [f64; 2],
    /// Probability of a blur, in `[0, 1]`.
    pub blur_probability: f64,
    /// Least and greatest standard deviation of the blur, in voxels, in `[0, 100]`.
    pub blur_sigma_voxels: [f64; 2],
}

impl Default for IntensityConfig {
    fn default() -> Self {
        Self {
            brightness_probability: 0.15,
            brightness: [0.9, 1.1],
            gamma_probability: 0.15,
            inverted_gamma_probability: 0.15,
            gamma: [0.5, 2.0],
            noise_probability: 0.15,
            noise: [0.0, 0.05],
            blur_probability: 0.075,
            blur_sigma_voxels: [0.5, 1.5],
        }
    }
}

impl IntensityConfig {
    pub(crate) fn check(&self) -> Result<(), AugmentError> {
        check::probability("brightness_probability", self.brightness_probability)?;
        check::interval("brightness", self.brightness, [0.0, 10.0], "0 ≤ least ≤ greatest ≤ 10")?;
        check::probability("gamma_probability", self.gamma_probability)?;
        check::probability("inverted_gamma_probability", self.inverted_gamma_probability)?;
        let expected = "0.05 ≤ least ≤ 1 ≤ greatest ≤ 20";
        check::in_range("gamma", self.gamma[0], [0.05, 1.0], expected)?;
        check::in_range("gamma", self.gamma[1], [1.0, 20.0], expected)?;
        check::probability("noise_probability", self.noise_probability)?;
        check::interval("noise", self.noise, [0.0, 1.0], "0 ≤ least ≤ greatest ≤ 1")?;
        check::probability("blur_probability", self.blur_probability)?;
        let expected = "0 ≤ least ≤ greatest ≤ 100";
        check::interval("blur_sigma_voxels", self.blur_sigma_voxels, [0.0, 100.0], expected)
    }

    /// Draws the changes of a patch.
    pub(crate) fn draw(&self, key: Key) -> IntensityParams {
        let mut rng = key.rng();
        let mut between = |[low, high]: [f64; 2]| low + (high - low) * rng.random::<f64>();
        let happens = [0; 5].map(|_| between([0.0, 1.0]));
        let brightness = between(self.brightness);
        let [low, high] = self.gamma;
        let [gamma, inverted_gamma] = [0; 2].map(|_| {
            let lower = between([0.0, 1.0]) < 0.5;
            between(if lower { [low, 1.0] } else { [1.0, high] })
        });
        let noise = NoiseParams {
            deviation: between(self.noise),
            per_intensity: 0.0,
            source: key.child("noise"),
        };
        let blur = between(self.blur_sigma_voxels);
        IntensityParams {
            brightness: (happens[0] < self.brightness_probability).then_some(brightness),
            gamma: (happens[1] < self.gamma_probability).then_some(gamma),
            inverted_gamma: (happens[2] < self.inverted_gamma_probability)
                .then_some(inverted_gamma),
            noise: (happens[3] < self.noise_probability).then_some(noise),
            blur_sigma_voxels: (happens[4] < self.blur_probability).then_some(blur),
        }
    }
}

/// Drawn changes of the intensities of a patch, applied in this order; then values are clipped to `[0, 1]`.
///
/// ```
/// use disyre_augment::{IntensityParams, ndarray::array};
///
/// let params = IntensityParams {
///     brightness: None,
///     gamma: Some(2.0),
///     inverted_gamma: None,
///     noise: None,
///     blur_sigma_voxels: None,
/// };
/// let mut patch = array![[[[0.0f32, 0.5, 1.0]]]];
/// params.apply(patch.view_mut())?;
/// assert!((patch[[0, 0, 0, 1]] - 0.25).abs() < 1e-6);
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntensityParams {
    /// A factor.
    pub brightness: Option<f64>,
    /// The exponent g of `x ← ((x − min) / r)^g · r + min`, r = max − min + 1e-7 over the patch.
    pub gamma: Option<f64>,
    /// The same of −x.
    pub inverted_gamma: Option<f64>,
    /// Independent noise on every voxel.
    pub noise: Option<NoiseParams>,
    /// Standard deviation of a Gaussian blur (SciPy's "reflect", cut off after four), in voxels.
    pub blur_sigma_voxels: Option<f64>,
}

/// Drawn Gaussian noise.
///
/// ```
/// use disyre_augment::{IntensityParams, Key, NoiseParams, ndarray::Array4};
///
/// let noise = NoiseParams { deviation: 0.05, per_intensity: 0.0, source: Key::new(1) };
/// let params = IntensityParams {
///     brightness: None,
///     gamma: None,
///     inverted_gamma: None,
///     noise: Some(noise),
///     blur_sigma_voxels: None,
/// };
/// let mut patch = Array4::from_elem((1, 1, 8, 8), 0.5);
/// params.apply(patch.view_mut())?;
/// assert!(patch.iter().all(|&value| value != 0.5 && (value - 0.5).abs() < 0.3));
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseParams {
    /// Standard deviation where the image is 0, in intensities.
    pub deviation: f64,
    /// Growth of the standard deviation with the intensity; published: 0.
    #[serde(default)]
    pub per_intensity: f64,
    /// The key of the noise.
    pub source: Key,
}

impl IntensityParams {
    /// Changes a patch in place. Background, all channels exactly 0, stays 0.
    ///
    /// # Shapes and units
    /// `patch` is `(c, z, y, x)`; the result is in `[0, 1]`.
    ///
    /// # Errors
    /// [`AugmentError::Config`] for recorded numbers that no configuration could have drawn; `patch` is then untouched.
    ///
    /// # Source
    /// The published code of DISYRE v2 (arXiv 2407.06635), which lets noise and rounding into the background.
    pub fn apply(&self, mut patch: ArrayViewMut4<'_, f32>) -> Result<(), AugmentError> {
        self.check()?;
        let background = Background::of(&patch);
        if let Some(factor) = self.brightness {
            patch.mapv_inplace(|value| value * factor as f32);
        }
        if let Some(exponent) = self.gamma {
            gamma(patch.view_mut(), exponent);
        }
        if let Some(exponent) = self.inverted_gamma {
            patch.mapv_inplace(|value| -value);
            gamma(patch.view_mut(), exponent);
            patch.mapv_inplace(|value| -value);
        }
        if let Some(noise) = self.noise {
            noise.apply(patch.view_mut());
        }
        if let Some(sigma) = self.blur_sigma_voxels {
            let kernel = gaussian(sigma);
            for channel in patch.outer_iter_mut() {
                convolve(channel, [&kernel; 3].map(Vec::as_slice), Continuation::Reflect);
            }
        }
        background.clip(patch);
        Ok(())
    }

    fn check(&self) -> Result<(), AugmentError> {
        let factor = self.brightness.unwrap_or(1.0);
        check::in_range("brightness", factor, [0.0, 10.0], "a factor in [0, 10]")?;
        for exponent in [self.gamma, self.inverted_gamma].into_iter().flatten() {
            check::in_range("gamma", exponent, [0.05, 20.0], "an exponent in [0.05, 20]")?;
        }
        self.noise.iter().try_for_each(NoiseParams::check)?;
        let sigma = self.blur_sigma_voxels.unwrap_or(0.0);
        check::in_range("blur_sigma_voxels", sigma, [0.0, 100.0], "0 to 100 voxels")
    }
}

impl NoiseParams {
    pub(crate) fn apply(&self, mut patch: ArrayViewMut4<'_, f32>) {
        let mut rng = self.source.rng();
        let [constant, slope] = [self.deviation, self.per_intensity].map(|number| number as f32);
        for value in &mut patch {
            let draw: f32 = StandardNormal.sample(&mut rng);
            *value += (constant + slope * *value) * draw;
        }
    }

    pub(crate) fn check(&self) -> Result<(), AugmentError> {
        check::in_range("deviation", self.deviation, [0.0, 1.0], "a number in [0, 1]")?;
        check::in_range("per_intensity", self.per_intensity, [0.0, 1.0], "a number in [0, 1]")
    }
}

fn gamma(mut patch: ArrayViewMut4<'_, f32>, exponent: f64) {
    let (low, high) = patch
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    let range = high - low + 1e-7;
    patch.mapv_inplace(|value| ((value - low) / range).powf(exponent as f32) * range + low);
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array4, Axis, array};

    const NOTHING: IntensityParams = IntensityParams {
        brightness: None,
        gamma: None,
        inverted_gamma: None,
        noise: None,
        blur_sigma_voxels: None,
    };

    fn changed(params: IntensityParams) -> [f32; 4] {
        let mut patch = array![[[[0.0, 0.25, 0.5, 1.0]]]];
        params.apply(patch.view_mut()).unwrap();
        std::array::from_fn(|x| patch[[0, 0, 0, x]])
    }

    fn close(got: [f32; 4], expected: [f32; 4]) {
        got.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{got:?}"));
    }

    #[test]
    fn each_change_matches_its_formula() {
        close(changed(NOTHING), [0.0, 0.25, 0.5, 1.0]);
        close(
            changed(IntensityParams { brightness: Some(1.1), ..NOTHING }),
            [0.0, 0.275, 0.55, 1.0],
        );
        close(changed(IntensityParams { gamma: Some(2.0), ..NOTHING }), [0.0, 0.0625, 0.25, 1.0]);
        // 1 − (1 − x)².
        let inverted = changed(IntensityParams { inverted_gamma: Some(2.0), ..NOTHING });
        close(inverted, [0.0, 0.4375, 0.75, 1.0]);
    }

    #[test]
    fn noise_has_the_deviation_that_was_drawn_and_spares_the_background() {
        let noise = NoiseParams { deviation: 0.05, per_intensity: 0.0, source: Key::new(2) };
        let params = IntensityParams { noise: Some(noise), ..NOTHING };
        let mut patch = Array4::from_elem((1, 2, 100, 100), 0.5f32);
        patch.index_axis_mut(Axis(1), 0).fill(0.0);
        params.apply(patch.view_mut()).unwrap();
        assert!(patch.index_axis(Axis(1), 0).iter().all(|&value| value == 0.0));
        let inside = patch.index_axis(Axis(1), 1);
        let deviation = inside.mapv(|value| (value - 0.5).powi(2)).mean().unwrap().sqrt();
        assert!((deviation - 0.05).abs() < 0.0015, "{deviation}"); // standard error 0.00035
    }

    #[test]
    fn a_blur_agrees_with_scipy() {
        // scipy.ndimage.gaussian_filter(image, 1.1) of image[y, x] = ((7 y + x) · 37 mod 23) / 23, five rows of seven.
        let expected = [
            0.3105298937696891,
            0.4060238944338349,
            0.4627661213488878,
            0.48094885382279495,
            0.4597837785252149,
            0.4538405938230017,
            0.5199063119669876,
            0.3826460743863784,
        ];
        let mut patch = Array4::from_shape_fn((1, 1, 5, 7), |(_, _, y, x)| {
            ((7 * y + x) * 37 % 23) as f32 / 23.0
        });
        patch[[0, 0, 0, 0]] = 1e-30; // not background
        IntensityParams { blur_sigma_voxels: Some(1.1), ..NOTHING }
            .apply(patch.view_mut())
            .unwrap();
        for (got, expected) in patch.iter().zip(expected) {
            assert!((got - expected as f32).abs() < 1e-5, "{got} {expected}");
        }
    }

    #[test]
    fn numbers_that_were_never_drawn_are_refused() {
        let refused = |params: IntensityParams| {
            let mut patch = Array4::from_elem((1, 1, 2, 2), 0.5);
            assert!(params.apply(patch.view_mut()).is_err());
            assert!(patch.iter().all(|&value| value == 0.5));
        };
        refused(IntensityParams { gamma: Some(f64::NAN), ..NOTHING });
        refused(IntensityParams { brightness: Some(-1.0), ..NOTHING });
        refused(IntensityParams { blur_sigma_voxels: Some(1e9), ..NOTHING });
        let noise = NoiseParams { deviation: 2.0, per_intensity: 0.0, source: Key::new(0) };
        refused(IntensityParams { noise: Some(noise), ..NOTHING });
    }
}
