//! [`ScannerConfig`] and [`Scanner`]: settings of the differences between scanners, and their draws.

use disyre_core::rand::RngExt;
use disyre_core::{Key, KeyRng};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::params::{CropParams, ScannerParams};
use crate::waves::{Size, Wave};
use crate::{check, error::AugmentError, intensity::NoiseParams};

/// Waves that a field is the sum of.
const WAVES: usize = 3;

/// Standard deviation of the components of a crop's normal across its axis.
const TILT: f64 = 0.1;

/// Settings of [`Scanner`]: the probability and the range of each difference.
///
/// The default is for a patch whose scanner should vary; the published training varies nothing of this.
///
/// # Source
/// Ours. The default was chosen by eye on patches of 2 mm, so that all of it together leaves a plausible brain and white
/// matter seldom reaches 1; it was not fitted to scanners.
///
/// ```
/// use disyre_augment::ScannerConfig;
///
/// let config = ScannerConfig { curve_knots: 10, ..ScannerConfig::default() };
/// let error = config.build([2.0; 3]).unwrap_err(); // .06 is more than half of the .1 between knots
/// assert!(error.to_string().starts_with("curve_displacement is 0.06"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScannerConfig {
    /// Probability of a change of contrast by a monotone curve, in `[0, 1]`.
    pub curve_probability: f64,
    /// Knots of the curve besides 0, evenly spaced, 1 to 100.
    pub curve_knots: usize,
    /// Greatest displacement of a knot, in intensities; less than half the distance between knots.
    pub curve_displacement: f64,
    /// Probability of a smooth multiplicative field, in `[0, 1]`.
    pub field_probability: f64,
    /// Least and greatest bound of the logarithm of the field, in `[0, 2]`.
    pub field_log_gain: [f64; 2],
    /// Least and greatest length of its waves, in millimetres, in `[1, 10000]`; a quarter is its correlation length.
    pub field_wavelength_mm: [f64; 2],
    /// Probability of a loss of resolution, in `[0, 1]`.
    pub blur_probability: f64,
    /// Least and greatest standard deviation of a Gaussian blur, in millimetres, in `[0, 100]`; drawn for each axis.
    pub blur_sigma_mm: [f64; 2],
    /// Probability of noise, in `[0, 1]`.
    pub noise_probability: f64,
    /// Least and greatest standard deviation of the noise where the image is 0, in intensities, in `[0, 1]`.
    pub noise: [f64; 2],
    /// Least and greatest growth of the standard deviation with the intensity, in `[0, 1]`.
    pub noise_per_intensity: [f64; 2],
    /// Probability of a cropped field of view, in `[0, 1]`.
    pub crop_probability: f64,
    /// Least and greatest share of the patch beyond the field of view, along the cropped direction, in `[0, 1]`.
    pub crop_share: [f64; 2],
}

impl Default for ScannerConfig {
    fn default() -> Self {
        Self {
            curve_probability: 0.5,
            curve_knots: 5,
            curve_displacement: 0.06,
            field_probability: 0.5,
            field_log_gain: [0.0, 0.15],
            field_wavelength_mm: [120.0, 400.0],
            blur_probability: 0.3,
            blur_sigma_mm: [0.0, 1.5],
            noise_probability: 0.3,
            noise: [0.0, 0.015],
            noise_per_intensity: [0.0, 0.015],
            crop_probability: 0.05,
            crop_share: [0.05, 0.3],
        }
    }
}

impl ScannerConfig {
    /// Checks the values; `spacing_mm` is the distance between voxels `(z, y, x)` of the patches, in millimetres.
    ///
    /// # Errors
    /// [`AugmentError::Config`] naming the field that is out of range.
    pub fn build(self, spacing_mm: [f64; 3]) -> Result<Scanner, AugmentError> {
        self.check_probabilities()?;
        self.check_ranges()?;
        check::spacing(spacing_mm)?;
        Ok(Scanner { config: self, spacing_mm })
    }

    fn check_probabilities(&self) -> Result<(), AugmentError> {
        check::probability("curve_probability", self.curve_probability)?;
        check::probability("field_probability", self.field_probability)?;
        check::probability("blur_probability", self.blur_probability)?;
        check::probability("noise_probability", self.noise_probability)?;
        check::probability("crop_probability", self.crop_probability)
    }

    fn check_ranges(&self) -> Result<(), AugmentError> {
        let knots = self.curve_knots as f64;
        check::in_range("curve_knots", knots, [1.0, 100.0], "1 to 100 knots")?;
        // Just below half: displaced knots keep their order.
        let displacement = [0.0, 0.499 / knots];
        let expected = "less than half the distance 1 / curve_knots";
        check::in_range("curve_displacement", self.curve_displacement, displacement, expected)?;
        let expected = "0 ≤ least ≤ greatest ≤ 2";
        check::interval("field_log_gain", self.field_log_gain, [0.0, 2.0], expected)?;
        let expected = "1 ≤ least ≤ greatest ≤ 10000";
        check::interval("field_wavelength_mm", self.field_wavelength_mm, [1.0, 1e4], expected)?;
        let expected = "0 ≤ least ≤ greatest ≤ 100";
        check::interval("blur_sigma_mm", self.blur_sigma_mm, [0.0, 100.0], expected)?;
        let expected = "0 ≤ least ≤ greatest ≤ 1";
        check::interval("noise", self.noise, [0.0, 1.0], expected)?;
        check::interval("noise_per_intensity", self.noise_per_intensity, [0.0, 1.0], expected)?;
        check::interval("crop_share", self.crop_share, [0.0, 1.0], expected)
    }
}

/// A generator of differences between scanners.
///
/// ```
/// use disyre_augment::{Key, ScannerConfig, ndarray::Array4};
///
/// let scanner = ScannerConfig::default().build([2.0; 3])?; // voxels of 2 mm
/// let drawn = scanner.draw(Key::new(7).child(1u64)); // serialisable
/// let mut patch = Array4::from_shape_fn((1, 1, 64, 64), |(_, _, y, x)| (y * x) as f32 / 4000.0);
/// drawn.apply(patch.view_mut())?;
/// assert!(patch[[0, 0, 0, 9]] == 0.0 && patch.iter().all(|value| (0.0..=1.0).contains(value)));
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scanner {
    config: ScannerConfig,
    spacing_mm: [f64; 3],
}

impl Scanner {
    /// Draws the differences of a patch: each in a stream of its own.
    pub fn draw(&self, key: Key) -> ScannerParams {
        let config = &self.config;
        let happens = |name: &str, probability: f64| {
            let key = key.child(name);
            let mut rng = key.rng();
            rng.random_bool(probability).then_some((key, rng))
        };
        let curve = happens("curve", config.curve_probability);
        let field = happens("field", config.field_probability);
        let blur = happens("blur", config.blur_probability);
        let noise = happens("noise", config.noise_probability);
        let crop = happens("crop", config.crop_probability);
        ScannerParams {
            spacing_mm: self.spacing_mm,
            curve: curve.map(|(_, rng)| self.draw_curve(rng)),
            field: field.map(|(_, rng)| self.draw_field(rng)),
            blur_sigma_mm: blur
                .map(|(_, mut rng)| [0; 3].map(|_| between(&mut rng, config.blur_sigma_mm))),
            noise: noise.map(|(key, mut rng)| NoiseParams {
                deviation: between(&mut rng, config.noise),
                per_intensity: between(&mut rng, config.noise_per_intensity),
                source: key.child("voxels"),
            }),
            crop: crop.map(|(_, rng)| self.draw_crop(rng)),
        }
    }

    fn draw_curve(&self, mut rng: KeyRng) -> Vec<f64> {
        let ScannerConfig { curve_knots, curve_displacement: limit, .. } = self.config;
        let knot = |index: usize| {
            let displaced = index as f64 / curve_knots as f64 + between(&mut rng, [-limit, limit]);
            displaced.min(1.0)
        };
        (1..=curve_knots).map(knot).collect()
    }

    fn draw_field(&self, mut rng: KeyRng) -> Vec<Wave> {
        let gain = between(&mut rng, self.config.field_log_gain);
        let wavelength = self.config.field_wavelength_mm;
        let mut waves =
            [0; WAVES].map(|_| Wave::draw(&mut rng, wavelength, Size::Height(1.0))).to_vec();
        let bound = waves.iter().map(|wave| wave.amplitude[0].abs()).sum::<f64>().max(1e-9);
        for wave in &mut waves {
            wave.amplitude = wave.amplitude.map(|amplitude| amplitude * gain / bound);
        }
        waves
    }

    fn draw_crop(&self, mut rng: KeyRng) -> CropParams {
        let mut normal = [0; 3].map(|_| TILT * rng_normal(&mut rng));
        normal[rng.random_range(0..3)] = if rng.random() { 1.0 } else { -1.0 };
        CropParams { normal, share: between(&mut rng, self.config.crop_share) }
    }
}

fn between(rng: &mut KeyRng, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

fn rng_normal(rng: &mut KeyRng) -> f64 {
    StandardNormal.sample(rng)
}
