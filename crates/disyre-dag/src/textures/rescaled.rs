//! [`Rescaled`]: textures of another source, enlarged and brightened.

use std::{f64::consts::TAU, fmt, sync::Arc};

use disyre_core::{
    Key, KeyRng,
    ndarray::{Array4, ArrayView3, ArrayView4, ArrayViewMut4},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use super::source::TextureSource;
use crate::{check, error::DagError};

/// Settings of [`Rescaled`]: enlargement and brightness of textures.
///
/// ```
/// use disyre_dag::{Key, ndarray::Array4, textures::{RescaledConfig, SameImage, TextureSource}};
///
/// let source = RescaledConfig { gain: [0.8; 2], ..RescaledConfig::default() }.build(SameImage)?;
/// let image = Array4::from_elem((1, 1, 32, 32), 0.5);
/// let mut texture = Array4::zeros((1, 1, 16, 16));
/// source.fill(Key::new(1), image.view(), texture.view_mut())?;
/// assert_eq!(texture[[0, 0, 3, 3]], 0.4);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RescaledConfig {
    /// Least and greatest enlargement, in `[0.1, 10]`; below 1 the texture becomes smaller.
    pub zoom: [f64; 2],
    /// Standard deviation of the enlargement around 1 before it is clipped to these two, in `[0, 10]`; `None`: uniform
    /// between them.
    pub zoom_sd: Option<f64>,
    /// Least and greatest factor of all intensities, in `[0, 10]`; the product is clipped to `[0, 1]`.
    pub gain: [f64; 2],
}

impl Default for RescaledConfig {
    fn default() -> Self {
        Self { zoom: [1.0; 2], zoom_sd: None, gain: [1.0; 2] }
    }
}

impl RescaledConfig {
    /// Checks the values and takes the source of the textures.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self, source: impl TextureSource + 'static) -> Result<Rescaled, DagError> {
        check::interval("zoom", self.zoom, [0.1, 10.0], "0.1 ≤ least ≤ greatest ≤ 10")?;
        let deviation = self.zoom_sd.unwrap_or_default();
        check::in_range("zoom_sd", deviation, [0.0, 10.0], "a deviation in [0, 10]")?;
        check::interval("gain", self.gain, [0.0, 10.0], "0 ≤ least ≤ greatest ≤ 10")?;
        Ok(Rescaled { config: self, source: Arc::new(source) })
    }
}

impl RescaledConfig {
    fn draw_zoom(&self, rng: &mut KeyRng) -> f64 {
        let [least, greatest] = self.zoom;
        let Some(deviation) = self.zoom_sd else { return between(self.zoom, rng) };
        // Box and Muller's one line, not another dependency.
        let (radius, turn) = (-2.0 * (1.0 - rng.random::<f64>()).ln(), rng.random::<f64>());
        (1.0 + deviation * radius.sqrt() * (TAU * turn).cos()).clamp(least, greatest)
    }
}

fn between([least, greatest]: [f64; 2], rng: &mut KeyRng) -> f64 {
    least + (greatest - least) * rng.random::<f64>()
}

/// Textures of another source, enlarged by linear interpolation and brightened at random; all channels alike.
///
/// # Source
/// Schlüter et al., "Natural synthetic anomalies" (ECCV 2022, arXiv 2109.15222) for the zoom; Li et al., "CutPaste" (CVPR
/// 2021, arXiv 2104.04015) for the gain.
#[derive(Clone)]
pub struct Rescaled {
    config: RescaledConfig,
    source: Arc<dyn TextureSource>,
}

impl fmt::Debug for Rescaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescaled").field("config", &self.config).finish_non_exhaustive()
    }
}

impl TextureSource for Rescaled {
    fn fill(
        &self,
        key: Key,
        image: ArrayView4<'_, f32>,
        mut texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        let mut rng = key.rng();
        let zoom = self.config.draw_zoom(&mut rng);
        let gain = between(self.config.gain, &mut rng) as f32;
        let (channels, depth, height, width) = texture.dim();
        let smaller = [depth, height, width].map(|extent| match extent {
            1 => 1,
            extent => ((extent as f64 / zoom).round() as usize).max(1),
        });
        if smaller == [depth, height, width] {
            self.source.fill(key.child("source"), image, texture.view_mut())?;
        } else {
            let mut original = Array4::zeros((channels, smaller[0], smaller[1], smaller[2]));
            self.source.fill(key.child("source"), image, original.view_mut())?;
            for (original, mut texture) in original.outer_iter().zip(texture.outer_iter_mut()) {
                let taps = LinearTaps::new(smaller, [depth, height, width]);
                for ((z, y, x), value) in texture.indexed_iter_mut() {
                    *value = taps.interpolate(original, [z, y, x]);
                }
            }
        }
        texture.mapv_inplace(|value| (value * gain).clamp(0.0, 1.0));
        Ok(())
    }
}

/// For every index along each axis the two voxels it lies between, and the weight of the second.
struct LinearTaps([Vec<(usize, usize, f32)>; 3]);

impl LinearTaps {
    fn new(from: [usize; 3], to: [usize; 3]) -> Self {
        Self(std::array::from_fn(|axis| {
            let (last, ratio) = (from[axis] - 1, from[axis] as f64 / to[axis] as f64);
            (0..to[axis])
                .map(|index| {
                    // Voxels are cells: the middles of the outermost cells do not coincide.
                    let position = ((index as f64 + 0.5) * ratio - 0.5).clamp(0.0, last as f64);
                    let lower = position as usize;
                    (lower, (lower + 1).min(last), (position - lower as f64) as f32)
                })
                .collect()
        }))
    }

    fn interpolate(&self, image: ArrayView3<'_, f32>, at: [usize; 3]) -> f32 {
        let [z, y, x] = std::array::from_fn(|axis| self.0[axis][at[axis]]);
        let mix = |a: f32, b: f32, weight: f32| a + weight * (b - a);
        let row = |z, y| mix(image[[z, y, x.0]], image[[z, y, x.1]], x.2);
        let plane = |z| mix(row(z, y.0), row(z, y.1), y.2);
        mix(plane(z.0), plane(z.1), z.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::textures::NoiseTexture;

    struct Ramp;

    impl TextureSource for Ramp {
        fn fill(
            &self,
            _: Key,
            _: ArrayView4<'_, f32>,
            mut texture: ArrayViewMut4<'_, f32>,
        ) -> Result<(), DagError> {
            for ((_, _, _, x), value) in texture.indexed_iter_mut() {
                *value = x as f32 / 100.0;
            }
            Ok(())
        }
    }

    fn fill(source: &dyn TextureSource) -> Array4<f32> {
        let mut texture = Array4::zeros((1, 1, 12, 20));
        source.fill(Key::new(4), Array4::zeros((1, 1, 1, 1)).view(), texture.view_mut()).unwrap();
        texture
    }

    #[test]
    fn a_zoom_of_two_halves_the_slope_and_a_gain_scales_it() {
        let config = RescaledConfig { zoom: [2.0; 2], zoom_sd: None, gain: [0.5; 2] };
        let texture = fill(&config.build(Ramp).unwrap());
        for x in 1..18 {
            let step = texture[[0, 0, 5, x + 1]] - texture[[0, 0, 5, x]];
            assert!((step - 0.0025).abs() < 1e-6, "{step}");
        }
    }

    #[test]
    fn a_clipped_normal_zoom_lies_at_its_bounds_as_often_as_the_tails_say() {
        let config = RescaledConfig { zoom: [0.7, 1.3], zoom_sd: Some(0.5), gain: [1.0; 2] };
        let mut rng = Key::new(2).rng();
        let zooms: Vec<f64> = (0..2000).map(|_| config.draw_zoom(&mut rng)).collect();
        let share =
            |is: &dyn Fn(f64) -> bool| zooms.iter().filter(|z| is(**z)).count() as f64 / 2e3;
        // Φ(−0.6) = 0.274, Φ(0.3) − Φ(−0.3) = 0.236; standard deviation 0.01.
        assert!((share(&|z| z == 0.7) - 0.274).abs() < 0.03);
        assert!((share(&|z| z == 1.3) - 0.274).abs() < 0.03);
        assert!((share(&|z| (0.85..1.15).contains(&z)) - 0.236).abs() < 0.03);
        assert!(zooms.iter().all(|zoom| (0.7..=1.3).contains(zoom)));
    }

    #[test]
    fn without_zoom_and_gain_the_source_is_unchanged() {
        let plain = RescaledConfig::default().build(NoiseTexture::default()).unwrap();
        let mut expected = Array4::zeros((1, 1, 12, 20));
        let key = Key::new(4).child("source");
        let nothing = Array4::zeros((1, 1, 1, 1));
        NoiseTexture::default().fill(key, nothing.view(), expected.view_mut()).unwrap();
        assert_eq!(fill(&plain), expected);
    }
}
