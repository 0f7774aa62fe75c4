//! Scaling of intensities to `[0, 1]` and back.
use disyre_core::ndarray::{ArrayView3, ArrayViewMut3};
use disyre_core::{ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::VolumeError;

/// Choice of the intensities that become 0 and 1.
///
/// ```
/// use disyre_core::ndarray::array;
/// use disyre_volume::IntensityScaling;
///
/// let mut data = array![[[0.0, 100.0, 300.0]]];
/// let mask = array![[[0, 1, 1]]];
/// let range = IntensityScaling::Brain { upper: 1.0 }.fit(data.view(), mask.view())?;
/// range.apply(&mut data.view_mut());
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
}

impl Default for IntensityScaling {
    fn default() -> Self {
        Self::Brain { upper: 0.98 }
    }
}

impl IntensityScaling {
    /// Finds the range for a volume.
    ///
    /// # Shapes and units
    /// `data` and `mask` share `(z, y, x)`; `mask` is not 0 in the brain. [`IntensityScaling::Published`] ignores it.
    ///
    /// # Errors
    /// [`VolumeError::Shape`], [`VolumeError::Quantile`], [`VolumeError::EmptyMask`], and
    /// [`VolumeError::NoContrast`] for a volume without a positive range.
    pub fn fit(
        &self,
        data: ArrayView3<'_, f32>,
        mask: ArrayView3<'_, u8>,
    ) -> Result<IntensityRange, VolumeError> {
        ensure_same_shape("brain mask", data.shape(), mask.shape())?;
        ensure_finite("volume", &data)?;
        let (Self::Published { upper } | Self::Brain { upper }) = *self;
        if !(upper > 0.0 && upper <= 1.0) {
            return Err(VolumeError::Quantile { upper });
        }
        let mut values: Vec<f32> = match self {
            Self::Published { .. } => data.iter().map(|value| value.max(0.0)).collect(),
            Self::Brain { .. } => {
                let inside = data.iter().zip(&mask).filter(|(_, inside)| **inside != 0);
                inside.map(|(value, _)| value.max(0.0)).collect()
            }
        };
        if values.is_empty() {
            return Err(VolumeError::EmptyMask);
        }
        let low = match self {
            Self::Published { .. } => values.iter().copied().fold(f32::INFINITY, f32::min),
            Self::Brain { .. } => 0.0,
        };
        let high = quantile(&mut values, upper);
        if high > low {
            Ok(IntensityRange { low, high })
        } else {
            Err(VolumeError::NoContrast { low, high })
        }
    }
}

/// The quantile `q` in `[0, 1]` of a non-empty slice, which is reordered.
///
/// # Source
/// Hyndman and Fan's definition 7, numpy's "linear".
fn quantile(values: &mut [f32], q: f64) -> f32 {
    let position = q * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let (_, &mut lower, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let upper = above.iter().copied().min_by(f32::total_cmp).unwrap_or(lower);
    let fraction = position - below as f64;
    (f64::from(lower) + (f64::from(upper) - f64::from(lower)) * fraction) as f32
}

/// Intensities that become 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntensityRange {
    /// Intensity that becomes 0, as everything below does.
    pub low: f32,
    /// Intensity that becomes 1, as everything above does; greater than `low`.
    pub high: f32,
}

impl IntensityRange {
    /// `clip((v − low) / (high − low), 0, 1)` for every voxel; all 0 if `high` is not above `low`.
    pub fn apply(&self, data: &mut ArrayViewMut3<'_, f32>) {
        let Self { low, high } = *self;
        if high > low {
            data.par_mapv_inplace(|value| ((value - low) / (high - low)).clamp(0.0, 1.0));
        } else {
            data.fill(0.0);
        }
    }

    /// `v · (high − low) + low` for every voxel: the inverse of [`IntensityRange::apply`] where nothing was clipped.
    pub fn invert(&self, data: &mut ArrayViewMut3<'_, f32>) {
        let Self { low, high } = *self;
        data.par_mapv_inplace(|value| value * (high - low) + low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};
    use proptest::prelude::*;

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0, 2.0], 1.0), 4.0);
        assert_eq!(quantile(&mut [7.0], 0.98), 7.0);
    }

    #[test]
    fn only_the_brain_counts_inside_the_brain() {
        let data = array![[[0.0, -5.0, 10.0, 20.0, 1000.0]]];
        let mask = array![[[0u8, 1, 1, 1, 0]]];
        let range = IntensityScaling::Brain { upper: 0.5 }.fit(data.view(), mask.view()).unwrap();
        assert_eq!(range, IntensityRange { low: 0.0, high: 10.0 });
        let all = IntensityScaling::Published { upper: 1.0 }.fit(data.view(), mask.view()).unwrap();
        assert_eq!(all, IntensityRange { low: 0.0, high: 1000.0 });
    }

    #[test]
    fn what_has_no_range_is_an_error() {
        let (zero, mask) = (Array3::zeros((1, 2, 2)), Array3::zeros((1, 2, 2)));
        let fit = |scaling: IntensityScaling| scaling.fit(zero.view(), mask.view()).unwrap_err();
        assert!(matches!(fit(IntensityScaling::default()), VolumeError::EmptyMask));
        let published = fit(IntensityScaling::Published { upper: 0.98 });
        assert!(matches!(published, VolumeError::NoContrast { .. }));
        let quantile = fit(IntensityScaling::Published { upper: f64::NAN });
        assert!(matches!(quantile, VolumeError::Quantile { .. }));
    }

    proptest! {
        #[test]
        fn inverting_gives_unclipped_intensities_back(value in 0.0f32..100.0) {
            let range = IntensityRange { low: 0.0, high: 100.0 };
            let mut data = array![[[value]]];
            range.apply(&mut data.view_mut());
            prop_assert!((0.0..=1.0).contains(&data[[0, 0, 0]]));
            range.invert(&mut data.view_mut());
            prop_assert!((data[[0, 0, 0]] - value).abs() <= 1e-5 * 100.0);
        }
    }
}
