//! [`HeadConfig`] and [`HeadSynthesiser`]: the draw of a synthetic slab of a head.

use disyre_core::rand::RngExt;
use disyre_core::{Key, KeyRng};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::acquisition::Acquisition;
use super::appearance::{Appearance, Contrast};
use super::classes::{CLASSES, FIRST_EXTRACEREBRAL};
use super::geometry::{Geometry, Lesion, Plane};
use super::params::{HeadParams, Stripping};
use crate::waves::{Size, Wave};
use crate::{check, error::AugmentError};

/// Settings of [`HeadSynthesiser`].
///
/// ```
/// use disyre_augment::{HeadConfig, HeadMap, Key, ndarray::Array3};
///
/// // A ball of white matter in a ball of skin; real maps have more of both.
/// let labels = Array3::from_shape_fn((40, 40, 40), |(z, y, x)| {
///     let squared = [z, y, x].iter().map(|&i| (i as f64 - 19.5).powi(2)).sum::<f64>();
///     if squared < 100.0 { 2 } else if squared < 256.0 { 511 } else { 0 }
/// });
/// let head = HeadMap::new(labels.view(), 4.0)?;
/// let drawn = HeadConfig::default().build()?.draw(Key::new(3).child(0u64)); // serialisable
/// let [mut image, mut brain] = [(); 2].map(|()| Array3::zeros((3, 96, 96))); // (slice, row, column)
/// drawn.apply(&head, image.view_mut(), brain.view_mut())?;
/// assert!(image.iter().chain(&brain).all(|value| (0.0..=1.0).contains(value)));
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
///
/// # Source
/// After SynthSeg (Billot et al. 2023, Medical Image Analysis 86): one random intensity distribution per label, random
/// deformation, bias field and resolution. Ours: the numbers, contrasts near those of T1, T2 and FLAIR in half of the
/// draws, stripped heads, lesions, and slabs of a few slices, so that a training pair costs a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadConfig {
    /// Distance of pixels and of the slab's slices, in millimetres.
    pub spacing_mm: f64,
    /// Probability that the brightness of classes is that of T1, T2 or FLAIR, scattered; otherwise it is any.
    pub realistic: [f64; 3],
    /// Greatest rotation about each axis, in degrees.
    pub rotation_degrees: f64,
    /// Greatest change of the whole scale and of each axis, as fractions.
    pub scale: [f64; 2],
    /// Greatest shear.
    pub shear: f64,
    /// Standard deviation of the slope of each of six waves of displacement.
    pub deformation: f64,
    /// Greatest shift of the head in the slice, in millimetres.
    pub shift_mm: f64,
    /// Probability that all outside the brain is exactly 0, as in a stripped scan.
    pub stripped: f64,
    /// Probability that some classes outside the brain are 0.
    pub partly_stripped: f64,
    /// Probability of a lesion.
    pub lesion: f64,
    /// Probability that the field of view ends within the head.
    pub cut: f64,
    /// Probability of thick slices.
    pub thick: f64,
    /// Probability that the background is exactly 0.
    pub clean_background: f64,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            spacing_mm: 2.0,
            realistic: [0.3, 0.12, 0.12],
            rotation_degrees: 18.0,
            scale: [0.15, 0.1],
            shear: 0.08,
            deformation: 0.08,
            shift_mm: 25.0,
            stripped: 0.12,
            partly_stripped: 0.15,
            lesion: 0.2,
            cut: 0.3,
            thick: 0.35,
            clean_background: 0.5,
        }
    }
}

impl HeadConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`AugmentError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<HeadSynthesiser, AugmentError> {
        check::in_range("spacing_mm", self.spacing_mm, [0.1, 20.0], "0.1 to 20 mm")?;
        let sum = self.realistic.iter().sum();
        check::in_range("realistic", sum, [0.0, 1.0], "probabilities of a sum in [0, 1]")?;
        for realistic in self.realistic {
            check::probability("realistic", realistic)?;
        }
        check::in_range("rotation_degrees", self.rotation_degrees, [0.0, 180.0], "0 to 180")?;
        for scale in self.scale {
            check::in_range("scale", scale, [0.0, 0.5], "a number in [0, 0.5]")?;
        }
        check::in_range("shear", self.shear, [0.0, 0.5], "a number in [0, 0.5]")?;
        check::in_range("deformation", self.deformation, [0.0, 0.3], "a number in [0, 0.3]")?;
        check::in_range("shift_mm", self.shift_mm, [0.0, 200.0], "0 to 200 mm")?;
        check::probability("stripped", self.stripped)?;
        check::probability("partly_stripped", self.partly_stripped)?;
        check::probability("stripped", self.stripped + self.partly_stripped)?;
        check::probability("lesion", self.lesion)?;
        check::probability("cut", self.cut)?;
        check::probability("thick", self.thick)?;
        check::probability("clean_background", self.clean_background)?;
        Ok(HeadSynthesiser { config: self })
    }
}

/// A generator of synthetic slabs of heads.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSynthesiser {
    config: HeadConfig,
}

impl HeadSynthesiser {
    /// Draws a slab, before a head is seen.
    pub fn draw(&self, key: Key) -> HeadParams {
        HeadParams {
            geometry: self.geometry(&mut key.child("geometry").rng()),
            appearance: self.appearance(key.child("appearance")),
            stripping: self.stripping(&mut key.child("stripping").rng()),
            acquisition: self.acquisition(key.child("acquisition")),
        }
    }

    fn geometry(&self, rng: &mut KeyRng) -> Geometry {
        let config = &self.config;
        let plane = [Plane::Axial, Plane::Coronal, Plane::Sagittal][rng.random_range(0..3)];
        // Beyond 1 lies no brain: the network must learn what has none.
        let place = match rng.random_bool(0.9) {
            true => rng.random_range(-1.05..=1.05),
            false => rng.random_range(-2.0..=1.5),
        };
        let mut within = |greatest: f64| rng.random_range(-greatest..=greatest);
        let shift_mm = [within(config.shift_mm), within(config.shift_mm)];
        let rotation_degrees = [(); 3].map(|()| within(config.rotation_degrees));
        let whole = within(config.scale[0]);
        let scale = [(); 3].map(|()| (whole + within(config.scale[1])).exp());
        let shear = [(); 3].map(|()| within(config.shear));
        let mirror = rng.random_bool(0.5);
        let slope = Size::Slope(config.deformation * rng.random_range(0.2..=1.4));
        let displacement = (0..6).map(|_| Wave::draw(rng, [50.0, 250.0], slope)).collect();
        let lesion = rng.random_bool(config.lesion).then(|| Lesion {
            place: [(); 3].map(|()| rng.random_range(-0.8..=0.8)),
            radius_mm: rng.random_range(4.0..=32.0),
        });
        let spacing_mm = config.spacing_mm;
        Geometry {
            spacing_mm,
            plane,
            place,
            shift_mm,
            rotation_degrees,
            scale,
            shear,
            mirror,
            displacement,
            lesion,
        }
    }

    fn appearance(&self, key: Key) -> Appearance {
        let rng = &mut key.rng();
        let contrast = self.contrast(rng);
        let (mean, deviation) = contrast.draw(rng);
        let split = |class: usize| match class >= usize::from(FIRST_EXTRACEREBRAL) {
            true => rng.random_range(0.0..=0.35),
            false => 0.0,
        };
        let split = (0..CLASSES).map(split).collect();
        let rng = &mut key.child("fields").rng();
        let texture = (0..6).map(|_| Wave::draw(rng, [16.0, 60.0], Size::Height(1.0))).collect();
        let height = Size::Height(rng.random_range(0.0..=0.22));
        let mut bias: Vec<_> = (0..4).map(|_| Wave::draw(rng, [120.0, 500.0], height)).collect();
        bias.truncate(rng.random_range(0..=4));
        let falloff = rng.random_range(-0.35..=0.9f64).max(0.0) * f64::from(rng.random_bool(0.5));
        let lesion = rng.random_range(0.0..=1.0);
        Appearance {
            mean,
            deviation,
            split,
            texture,
            bias,
            falloff,
            lesion,
            noise: key.child("noise"),
        }
    }

    fn contrast(&self, rng: &mut KeyRng) -> Contrast {
        let drawn: f64 = rng.random();
        let [t1, t2, flair] = self.config.realistic;
        match drawn {
            drawn if drawn < t1 => Contrast::Like(0),
            drawn if drawn < t1 + t2 => Contrast::Like(1),
            drawn if drawn < t1 + t2 + flair => Contrast::Like(2),
            _ => Contrast::Any,
        }
    }

    fn stripping(&self, rng: &mut KeyRng) -> Stripping {
        let drawn: f64 = rng.random();
        if drawn < self.config.stripped {
            return Stripping::Whole;
        }
        if drawn >= self.config.stripped + self.config.partly_stripped {
            return Stripping::None;
        }
        let share = rng.random_range(0.2..=0.8);
        let classes = FIRST_EXTRACEREBRAL..CLASSES as u8 - 1;
        Stripping::Classes(classes.filter(|_| rng.random_bool(share)).collect())
    }

    fn acquisition(&self, key: Key) -> Acquisition {
        let rng = &mut key.rng();
        let config = &self.config;
        let normal = |rng: &mut KeyRng| -> f64 { StandardNormal.sample(rng) };
        let thick = rng.random_bool(config.thick).then(|| rng.random_range(2.5..=7.0));
        let thick_axis = rng.random_range(0..3);
        let cut = rng.random_bool(config.cut).then(|| {
            let side = rng.random_range(0..4);
            (side, rng.random_range(0.02..=0.4))
        });
        Acquisition {
            thick_mm: thick,
            thick_axis,
            cut,
            blur_mm: rng.random_range(0.6..=2.2),
            gamma: (0.25 * normal(rng)).exp(),
            noise: rng.random_range(-0.01..=0.06f64).max(0.0),
            clean_background: rng.random_bool(config.clean_background),
            top: rng.random_range(0.55..=1.25),
            source: key.child("noise"),
        }
    }
}
