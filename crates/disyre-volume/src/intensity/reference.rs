//! Mean quantiles of a cohort, on which the quantiles of a scan are mapped.

use serde::{Deserialize, Serialize};

use super::{IntensityMap, IntensityScaling};
use crate::VolumeError;

/// Mean quantiles of a cohort: the target of [`IntensityScaling::Landmarks`] and [`IntensityScaling::QuantileMap`].
///
/// ```
/// use disyre_core::ndarray::Array3;
/// use disyre_volume::{IntensityReference, IntensityScaling};
///
/// let scaling = IntensityScaling::Landmarks { low: 0.0, high: 1.0 };
/// let brain = Array3::ones((1, 1, 101));
/// // Two scans of one brain, the second twice as bright.
/// let scan = |gain: f32| Array3::from_shape_fn((1, 1, 101), |(_, _, x)| gain * x as f32);
/// let quantiles = [scan(1.0), scan(2.0)].map(|scan| scaling.quantiles(scan.view(), brain.view()));
/// let quantiles = quantiles.into_iter().collect::<Result<Vec<_>, _>>()?;
/// let reference = IntensityReference::of(scaling, &quantiles)?;
/// let map = scaling.fit(scan(3.0).view(), brain.view(), Some(&reference))?;
/// assert!((map.high() - 297.0).abs() < 1e-3); // its 99th percentile
/// # Ok::<(), disyre_volume::VolumeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredReference")]
pub struct IntensityReference {
    /// The scaling that it belongs to.
    pub(super) scaling: IntensityScaling,
    /// Number of scans that it was fitted to.
    scans: usize,
    /// Mean scaled intensity of each quantile, never falling; above 1 is cut off in use.
    levels: Vec<f32>,
}

/// A reference as files hold it, which may be damaged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredReference {
    scaling: IntensityScaling,
    scans: usize,
    levels: Vec<f32>,
}

impl TryFrom<StoredReference> for IntensityReference {
    type Error = VolumeError;

    fn try_from(stored: StoredReference) -> Result<Self, VolumeError> {
        let StoredReference { scaling, scans, levels } = stored;
        scaling.check()?;
        let quantiles = scaling.probabilities();
        if quantiles.is_empty() || scaling.matched(&quantiles).len() != levels.len() {
            return Err(VolumeError::Levels { expected: "a level for each of its quantiles" });
        }
        let rising = levels.windows(2).all(|pair| pair[0] <= pair[1]);
        let finite = levels.iter().all(|level| level.is_finite() && *level >= 0.0);
        match rising && finite && levels[0] < levels[levels.len() - 1] {
            true => Ok(Self { scaling, scans, levels }),
            false => Err(VolumeError::Levels { expected: "levels from 0 upwards that never fall" }),
        }
    }
}

impl IntensityReference {
    /// Means over a cohort, from the [`quantiles`](IntensityScaling::quantiles) of each scan.
    ///
    /// # Errors
    /// Those of [`IntensityScaling::check`], [`VolumeError::Reference`] for a scaling that has no reference, quantiles of
    /// another scaling or no scan, and [`VolumeError::NoContrast`] for a constant scan.
    pub fn of(scaling: IntensityScaling, quantiles: &[Vec<f32>]) -> Result<Self, VolumeError> {
        scaling.check()?;
        let expected = scaling.probabilities().len();
        if expected == 0 || quantiles.is_empty() || quantiles.iter().any(|q| q.len() != expected) {
            return Err(VolumeError::Reference);
        }
        let mut sums = vec![0.0; scaling.matched(&quantiles[0]).len()];
        for scan in quantiles {
            let [from, to] = scaling.ends(scan)?;
            for (sum, &value) in sums.iter_mut().zip(scaling.matched(scan)) {
                let share = (f64::from(value) - from[0]) / (to[0] - from[0]);
                *sum += from[1] + share * (to[1] - from[1]);
            }
        }
        let levels = sums.iter().map(|sum| (sum / quantiles.len() as f64) as f32).collect();
        Ok(Self { scaling, scans: quantiles.len(), levels })
    }

    /// The scaling that it belongs to.
    pub fn scaling(&self) -> IntensityScaling {
        self.scaling
    }

    /// Number of scans that it was fitted to.
    pub fn scans(&self) -> usize {
        self.scans
    }

    /// Mean scaled intensity of each quantile, ascending; above 1 is cut off in use.
    pub fn levels(&self) -> &[f32] {
        &self.levels
    }

    /// The map from the quantiles of a scan to those of the cohort; 0 becomes 0.
    pub(super) fn map(&self, quantiles: &[f32]) -> Result<IntensityMap, VolumeError> {
        let matched = self.scaling.matched(quantiles);
        if matched.len() != self.levels.len() {
            return Err(VolumeError::Reference);
        }
        let knots = matched.iter().zip(&self.levels).map(|(&value, &level)| [value, level]);
        let origin = (matched[0] > 0.0 && self.levels[0] > 0.0).then_some([0.0, 0.0]);
        IntensityMap::new(origin.into_iter().chain(knots).collect())
    }
}

impl IntensityScaling {
    /// The quantiles that are matched.
    fn matched<'a, T>(&self, quantiles: &'a [T]) -> &'a [T] {
        match self {
            Self::QuantileMap { .. } => &quantiles[..quantiles.len() - 1],
            _ => quantiles,
        }
    }

    /// Two points `[intensity, scaled]` of the linear map that each scan of a cohort undergoes before the mean.
    fn ends(&self, quantiles: &[f32]) -> Result<[[f64; 2]; 2], VolumeError> {
        let last = quantiles[quantiles.len() - 1];
        let [from, to] = match *self {
            Self::Landmarks { low, high } => [[quantiles[0].into(), low], [last.into(), high]],
            _ => [[0.0, 0.0], [f64::from(last), 1.0]],
        };
        match to[0] > from[0] {
            true => Ok([from, to]),
            false => Err(VolumeError::NoContrast { low: from[0] as f32, high: to[0] as f32 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};

    #[test]
    fn levels_are_the_means_of_the_scaled_quantiles() {
        let scaling = IntensityScaling::QuantileMap { quantiles: 3, upper: 1.0 };
        // Quantiles 0, ½, 1 and the upper one of two scans: scaled 0.2, 0.4, 1 and 0, 0.8, 1.
        let scans = [vec![10.0, 20.0, 50.0, 50.0], vec![0.0, 80.0, 100.0, 100.0]];
        let reference = IntensityReference::of(scaling, &scans).unwrap();
        assert_eq!(reference.levels(), [0.1, 0.6, 1.0]);
        let map = reference.map(&[4.0, 6.0, 8.0, 8.0]).unwrap();
        assert_eq!(map.knots(), [[0.0, 0.0], [4.0, 0.1], [6.0, 0.6], [8.0, 1.0]]);
    }

    #[test]
    fn the_ends_of_landmarks_have_the_levels_of_the_settings() {
        let scaling = IntensityScaling::landmarks();
        let scan = Array3::from_shape_fn((1, 10, 101), |(_, y, x)| (x * x + y) as f32);
        let brain = Array3::ones((1, 10, 101));
        let quantiles = scaling.quantiles(scan.view(), brain.view()).unwrap();
        assert_eq!(quantiles.len(), 11);
        let reference = IntensityReference::of(scaling, &[quantiles.clone(), quantiles]).unwrap();
        assert_eq!((reference.levels()[0], reference.levels()[10]), (0.05, 0.95));
        assert_eq!(reference.scans(), 2);
    }

    #[test]
    fn a_scan_of_two_grey_levels_still_has_a_map() {
        let scaling = IntensityScaling::landmarks();
        let reference = IntensityReference::of(scaling, &[(0..11).map(|i| i as f32).collect()]);
        let data = array![[[1.0, 1.0, 1.0, 2.0, 2.0]]];
        let brain = array![[[1, 1, 1, 1, 1]]];
        let map = scaling.fit(data.view(), brain.view(), Some(&reference.unwrap())).unwrap();
        assert!(map.knots().len() >= 3);
    }

    #[test]
    fn quantiles_of_another_scaling_or_of_a_constant_are_refused() {
        let of = IntensityReference::of;
        let landmarks = IntensityScaling::landmarks();
        assert!(matches!(of(landmarks, &[]), Err(VolumeError::Reference)));
        assert!(matches!(of(landmarks, &[vec![1.0; 4]]), Err(VolumeError::Reference)));
        assert!(matches!(of(landmarks, &[vec![1.0; 11]]), Err(VolumeError::NoContrast { .. })));
        let linear = IntensityScaling::default();
        assert!(matches!(of(linear, &[vec![]]), Err(VolumeError::Reference)));
    }

    #[test]
    fn a_damaged_reference_is_not_read() {
        let read = |quantiles: u64, levels: &str| {
            let scaling =
                format!("{{\"quantile_map\":{{\"quantiles\":{quantiles},\"upper\":1.0}}}}");
            let text = format!("{{\"scaling\":{scaling},\"scans\":2,\"levels\":{levels}}}");
            serde_json::from_str::<IntensityReference>(&text).map_err(|error| error.to_string())
        };
        assert_eq!(read(3, "[0.0,0.5,1.0]").unwrap().levels(), [0.0, 0.5, 1.0]);
        assert!(read(3, "[0.0,0.5]").unwrap_err().contains("a level for each"));
        for levels in ["[0.0,0.5,0.4]", "[0.5,0.5,0.5]", "[-0.5,0.0,1.0]"] {
            assert!(read(3, levels).unwrap_err().contains("never fall"), "{levels}");
        }
        assert!(read(u64::MAX, "[]").unwrap_err().contains("2 to 4096 quantiles"));
    }
}
