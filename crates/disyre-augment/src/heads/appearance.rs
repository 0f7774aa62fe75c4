//! [`Appearance`]: how bright the classes of a synthetic head are, and its fields.

use disyre_core::rand::RngExt;
use disyre_core::{Key, KeyRng};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::classes::{
    AIR, BONE, BRIGHTNESS, CLASSES, DURA, FIRST_EXTRACEREBRAL, INNER_CSF, OUTER_CSF,
};
use crate::waves::Wave;

/// Brightness of every class, textures and the bias field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appearance {
    /// Mean of each class, about 0 to 1.
    pub mean: Vec<f64>,
    /// Standard deviation of each class.
    pub deviation: Vec<f64>,
    /// Half the difference between the two kinds of tissue into which the texture splits a class.
    pub split: Vec<f64>,
    /// Waves whose sum splits classes: above and below 0.
    pub texture: Vec<Wave>,
    /// Waves of the logarithm of the bias field.
    pub bias: Vec<Wave>,
    /// Loss of the logarithm of brightness at 80 mm from the middle of the brain, growing with the square.
    pub falloff: f64,
    /// Mean of a lesion.
    pub lesion: f64,
    /// Of the deviations.
    pub noise: Key,
}

/// How brightness is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contrast {
    /// Near that of T1, T2 or FLAIR: 0, 1, 2.
    Like(usize),
    /// Any.
    Any,
}

impl Contrast {
    /// Means and standard deviations of all classes; air stays 0.
    pub(crate) fn draw(self, rng: &mut KeyRng) -> (Vec<f64>, Vec<f64>) {
        let mut mean = vec![0.0; CLASSES];
        let mut deviation = vec![0.0; CLASSES];
        let scatter = rng.random_range(0.05..=0.25);
        for class in 1..CLASSES {
            mean[class] = match self {
                Self::Like(kind) => {
                    let [factor, shift]: [f64; 2] =
                        std::array::from_fn(|_| StandardNormal.sample(rng));
                    BRIGHTNESS[class][kind] * (scatter * factor).exp() + 0.05 * shift
                }
                Self::Any => rng.random_range(0.0..=1.0),
            };
            mean[class] = mean[class].max(0.0);
            deviation[class] = rng.random_range(0.01..=0.08);
        }
        self.thin(&mut mean, rng);
        mean[usize::from(AIR)] = 0.0;
        (mean, deviation)
    }

    /// Draws how the layers between brain and skull look: as CSF, as bone, or as themselves.
    fn thin(self, mean: &mut [f64], rng: &mut KeyRng) {
        let [inner, outer, dura, bone] = [INNER_CSF, OUTER_CSF, DURA, BONE].map(usize::from);
        match rng.random_range(0..10) {
            0..4 => mean[outer] = mean[inner],
            4..7 => mean[outer] = mean[bone],
            7 => mean[outer] = mean[usize::from(FIRST_EXTRACEREBRAL)],
            _ => {}
        }
        match rng.random_range(0..3) {
            0 => mean[dura] = mean[outer],
            1 => mean[dura] = mean[bone],
            _ => {}
        }
    }
}
