//! Scaling of intensities to `[0, 1]` and back.
mod map;
mod quantile;
mod reference;
mod white_matter;

use disyre_core::ndarray::{ArrayView3, Zip};
use disyre_core::{ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

pub use map::IntensityMap;
pub use reference::IntensityReference;

use crate::VolumeError;
use quantile::{quantile, quantile_of_sorted};

/// Choice of the map from a scan's intensities to `[0, 1]`.
///
/// ```
/// use disyre_core::ndarray::array;
/// use disyre_volume::IntensityScaling;
///
/// let mut data = array![[[0.0, 100.0, 300.0]]];
/// let mask = array![[[0, 1, 1]]];
/// let map = IntensityScaling::Brain { upper: 1.0 }.fit(data.view(), mask.view(), None)?;
/// map.apply(&mut data.view_mut());
/// assert_eq!(data, array![[[0.0, 1.0 / 3.0, 1.0]]]);
/// # Ok::<(), disyre_volume::VolumeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum IntensityScaling {
    /// 0 = the least value, 1 = a quantile, both over all voxels of the canvas, negatives counted as 0.
    ///
    /// With a background of 83 % the quantile 0.98 is about the 88 % quantile of the brain; it depends on how closely
    /// the volume is cropped.
    ///
    /// # Source
    /// The published code of DISYRE (`np.quantile`, linear interpolation, quantiles 0 and 0.98).
    Published {
        /// Quantile that becomes 1, in `(0, 1]`.
        upper: f64,
    },
    /// 0 = 0, 1 = a quantile over the voxels of the brain mask, negatives counted as 0.
    ///
    /// # Source
    /// Ours: independent of the canvas.
    Brain {
        /// Quantile that becomes 1, in `(0, 1]`.
        upper: f64,
    },
    /// 0 = 0, a fixed level = the white matter of a T1-weighted scan: the mode of the brightest of three classes.
    ///
    /// # Source
    /// The classes are those of Otsu's method (IEEE Trans. Syst. Man Cybern. 9, 1979) with two thresholds; the rest is
    /// ours.
    WhiteMatterPeak {
        /// Level of the white matter, in `(0, 1]`.
        #[serde(default = "WhiteMatterLevel::default_level")]
        level: f64,
    },
    /// Percentiles 1, 10, 20, …, 90 and 99 of the brain become their means over a cohort, linearly in between; 0 stays 0.
    ///
    /// # Source
    /// Nyúl, Udupa and Zhang, IEEE Trans. Med. Imaging 19 (2000). Below the first percentile the map runs to 0, so that
    /// background and darkest brain stay apart; there the published one continues its first piece.
    Landmarks {
        /// Level of the 1st percentile, in `[0, high)`.
        #[serde(default = "LandmarkLevels::default_low")]
        low: f64,
        /// Level of the 99th percentile, in `(low, 1]`.
        #[serde(default = "LandmarkLevels::default_high")]
        high: f64,
    },
    /// Quantiles of the brain become the mean quantiles of a cohort, linearly in between: histogram matching.
    ///
    /// # Source
    /// Histogram specification (Gonzalez and Woods, Digital Image Processing). The target is the mean quantile function
    /// of the cohort, each scan divided by its upper quantile before; that is ours.
    QuantileMap {
        /// Number of quantiles, evenly spaced from 0 to 1; 2 to 4096.
        #[serde(default = "QuantileLevels::default_count")]
        quantiles: usize,
        /// Quantile of each scan of the cohort that becomes 1, in `(0, 1]`.
        #[serde(default = "QuantileLevels::default_upper")]
        upper: f64,
    },
}

/// Default of [`IntensityScaling::WhiteMatterPeak`].
struct WhiteMatterLevel;
/// Defaults of [`IntensityScaling::Landmarks`].
struct LandmarkLevels;
/// Defaults of [`IntensityScaling::QuantileMap`].
struct QuantileLevels;

impl WhiteMatterLevel {
    /// White matter lies near there where the 98th percentile of the brain is 1.
    fn default_level() -> f64 {
        0.85
    }
}

impl LandmarkLevels {
    fn default_low() -> f64 {
        0.05
    }
    fn default_high() -> f64 {
        0.95
    }
}

impl QuantileLevels {
    fn default_count() -> usize {
        128
    }
    fn default_upper() -> f64 {
        0.98
    }
}

impl Default for IntensityScaling {
    fn default() -> Self {
        Self::Brain { upper: 0.98 }
    }
}

impl IntensityScaling {
    /// White matter at 0.85.
    pub fn white_matter_peak() -> Self {
        Self::WhiteMatterPeak { level: WhiteMatterLevel::default_level() }
    }

    /// Landmarks from 0.05 to 0.95.
    pub fn landmarks() -> Self {
        Self::Landmarks { low: LandmarkLevels::default_low(), high: LandmarkLevels::default_high() }
    }

    /// 128 quantiles; the 98th percentile becomes 1.
    pub fn quantile_map() -> Self {
        Self::QuantileMap {
            quantiles: QuantileLevels::default_count(),
            upper: QuantileLevels::default_upper(),
        }
    }

    /// True if the map of a scan depends on a cohort: an [`IntensityReference`] is needed.
    pub fn needs_reference(&self) -> bool {
        matches!(self, Self::Landmarks { .. } | Self::QuantileMap { .. })
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`VolumeError::Quantile`] and [`VolumeError::Levels`] for numbers out of their ranges.
    pub fn check(&self) -> Result<(), VolumeError> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let out_of_range = |expected| Err(VolumeError::Levels { expected });
        match *self {
            Self::Published { upper } | Self::Brain { upper } | Self::QuantileMap { upper, .. }
                if !share(upper) =>
            {
                Err(VolumeError::Quantile { upper })
            }
            Self::QuantileMap { quantiles, .. } if !(2..=4096).contains(&quantiles) => {
                out_of_range("2 to 4096 quantiles")
            }
            Self::WhiteMatterPeak { level } if !share(level) => {
                out_of_range("a level of white matter in (0, 1]")
            }
            Self::Landmarks { low, high } if !(low >= 0.0 && share(high) && low < high) => {
                out_of_range("levels of landmarks with 0 ≤ low < high ≤ 1")
            }
            _ => Ok(()),
        }
    }

    /// Finds the map of a volume.
    ///
    /// # Shapes and units
    /// `data` and `mask` share `(z, y, x)`; `mask` is not 0 in the brain. [`IntensityScaling::Published`] ignores it.
    /// `reference` matters where [`needs_reference`](Self::needs_reference) says so.
    ///
    /// # Errors
    /// [`VolumeError::Shape`], those of [`check`](Self::check), [`VolumeError::EmptyMask`],
    /// [`VolumeError::NoContrast`] for a volume without a positive range, and [`VolumeError::Reference`] without a
    /// reference or with that of another scaling.
    pub fn fit(
        &self,
        data: ArrayView3<'_, f32>,
        mask: ArrayView3<'_, u8>,
        reference: Option<&IntensityReference>,
    ) -> Result<IntensityMap, VolumeError> {
        ensure_same_shape("brain mask", data.shape(), mask.shape())?;
        ensure_finite("volume", &data)?;
        self.check()?;
        match *self {
            Self::Published { upper } => {
                let mut values: Vec<f32> = data.iter().map(|value| value.max(0.0)).collect();
                if values.is_empty() {
                    return Err(VolumeError::EmptyMask);
                }
                let low = values.iter().copied().fold(f32::INFINITY, f32::min);
                IntensityMap::linear(low, quantile(&mut values, upper))
            }
            Self::Brain { upper } => {
                let mut values = brain_values(data, mask)?;
                IntensityMap::linear(0.0, quantile(&mut values, upper))
            }
            Self::WhiteMatterPeak { level } => {
                let peak = white_matter::peak(&brain_values(data, mask)?)?;
                IntensityMap::linear(0.0, (f64::from(peak) / level) as f32)
            }
            Self::Landmarks { .. } | Self::QuantileMap { .. } => {
                let reference = reference.filter(|reference| reference.scaling == *self);
                let reference = reference.ok_or(VolumeError::Reference)?;
                reference.map(&self.quantiles(data, mask)?)
            }
        }
    }

    /// The quantiles of one scan that a reference is made of: what [`IntensityReference::of`] takes from each scan of a
    /// cohort. Empty where no reference is needed.
    ///
    /// # Errors
    /// [`VolumeError::Shape`] and [`VolumeError::EmptyMask`].
    pub fn quantiles(
        &self,
        data: ArrayView3<'_, f32>,
        mask: ArrayView3<'_, u8>,
    ) -> Result<Vec<f32>, VolumeError> {
        ensure_same_shape("brain mask", data.shape(), mask.shape())?;
        let mut values = brain_values(data, mask)?;
        values.sort_unstable_by(f32::total_cmp);
        let probabilities = self.probabilities();
        Ok(probabilities.iter().map(|&q| quantile_of_sorted(&values, q)).collect())
    }

    /// Probabilities of the quantiles that are matched, ascending; the last of [`IntensityScaling::QuantileMap`] is
    /// `upper`, which only scales.
    fn probabilities(&self) -> Vec<f64> {
        match *self {
            Self::Landmarks { .. } => {
                let tens = (1..10).map(|ten| f64::from(ten) / 10.0);
                [0.01].into_iter().chain(tens).chain([0.99]).collect()
            }
            Self::QuantileMap { quantiles, upper } => {
                let last = (quantiles - 1) as f64;
                (0..quantiles).map(|index| index as f64 / last).chain([upper]).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Intensities inside the mask, negatives as 0, in order of memory.
fn brain_values(
    data: ArrayView3<'_, f32>,
    mask: ArrayView3<'_, u8>,
) -> Result<Vec<f32>, VolumeError> {
    let mut values = Vec::new();
    Zip::from(data).and(mask).for_each(|value, &inside| {
        if inside != 0 {
            values.push(value.max(0.0));
        }
    });
    if values.is_empty() { Err(VolumeError::EmptyMask) } else { Ok(values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};

    #[test]
    fn only_the_brain_counts_inside_the_brain() {
        let data = array![[[0.0, -5.0, 10.0, 20.0, 1000.0]]];
        let mask = array![[[0u8, 1, 1, 1, 0]]];
        let fit = |scaling: IntensityScaling| scaling.fit(data.view(), mask.view(), None).unwrap();
        let brain = fit(IntensityScaling::Brain { upper: 0.5 });
        assert_eq!(brain, IntensityMap::linear(0.0, 10.0).unwrap());
        let all = fit(IntensityScaling::Published { upper: 1.0 });
        assert_eq!(all, IntensityMap::linear(0.0, 1000.0).unwrap());
    }

    #[test]
    fn what_has_no_range_is_an_error() {
        let (zero, mask) = (Array3::zeros((1, 2, 2)), Array3::zeros((1, 2, 2)));
        let fit =
            |scaling: IntensityScaling| scaling.fit(zero.view(), mask.view(), None).unwrap_err();
        assert!(matches!(fit(IntensityScaling::default()), VolumeError::EmptyMask));
        let published = fit(IntensityScaling::Published { upper: 0.98 });
        assert!(matches!(published, VolumeError::NoContrast { .. }));
        let quantile = fit(IntensityScaling::Published { upper: f64::NAN });
        assert!(matches!(quantile, VolumeError::Quantile { .. }));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for scaling in [
            IntensityScaling::WhiteMatterPeak { level: 0.0 },
            IntensityScaling::Landmarks { low: 0.5, high: 0.5 },
            IntensityScaling::Landmarks { low: -0.1, high: 0.5 },
            IntensityScaling::Landmarks { low: 0.1, high: 1.1 },
            IntensityScaling::QuantileMap { quantiles: 1, upper: 0.98 },
            IntensityScaling::QuantileMap { quantiles: usize::MAX, upper: 0.98 },
            IntensityScaling::QuantileMap { quantiles: 9, upper: 0.0 },
        ] {
            assert!(scaling.check().is_err(), "{scaling:?}");
        }
        for scaling in [
            IntensityScaling::white_matter_peak(),
            IntensityScaling::landmarks(),
            IntensityScaling::quantile_map(),
        ] {
            scaling.check().unwrap();
        }
    }

    #[test]
    fn the_white_matter_of_a_scan_gets_its_level() {
        // Dark, grey and white: 100 voxels each, white matter at 200.
        let values = [20.0, 120.0, 200.0];
        let mut data =
            Array3::from_shape_fn((3, 10, 10), |(z, y, x)| values[z] + ((y + x) % 3) as f32 - 1.0);
        let mask = Array3::ones((3, 10, 10));
        let scaling = IntensityScaling::WhiteMatterPeak { level: 0.8 };
        let map = scaling.fit(data.view(), mask.view(), None).unwrap();
        map.apply(&mut data.view_mut());
        let white = data.index_axis(disyre_core::ndarray::Axis(0), 2).mean().unwrap();
        assert!((white - 0.8).abs() < 0.01, "{white}");
    }

    #[test]
    fn a_scaling_by_a_cohort_needs_its_own_reference() {
        let data = Array3::from_shape_fn((1, 1, 11), |(_, _, x)| x as f32);
        let mask = Array3::ones((1, 1, 11));
        let scaling = IntensityScaling::quantile_map();
        let fit = |reference: Option<&IntensityReference>| {
            scaling.fit(data.view(), mask.view(), reference)
        };
        assert!(matches!(fit(None), Err(VolumeError::Reference)));
        let landmarks = IntensityScaling::landmarks();
        let quantiles = landmarks.quantiles(data.view(), mask.view()).unwrap();
        let other = IntensityReference::of(landmarks, &[quantiles]).unwrap();
        assert!(matches!(fit(Some(&other)), Err(VolumeError::Reference)));
        assert!(landmarks.fit(data.view(), mask.view(), Some(&other)).is_ok());
    }
}
