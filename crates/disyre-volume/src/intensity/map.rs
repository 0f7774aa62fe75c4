//! Monotone, piecewise linear map of intensities to `[0, 1]`.

use disyre_core::ndarray::ArrayViewMut3;

use crate::VolumeError;

/// Monotone, piecewise linear map from a scan's intensities to `[0, 1]`, and back.
///
/// ```
/// use disyre_core::ndarray::array;
/// use disyre_volume::IntensityMap;
///
/// let map = IntensityMap::new(vec![[0.0, 0.0], [50.0, 0.75], [100.0, 1.0]])?;
/// let mut data = array![[[25.0, 75.0, 120.0]]];
/// map.apply(&mut data.view_mut());
/// assert_eq!(data, array![[[0.375, 0.875, 1.0]]]);
/// map.invert(&mut data.view_mut());
/// assert_eq!(data, array![[[25.0, 75.0, 100.0]]]);
/// # Ok::<(), disyre_volume::VolumeError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct IntensityMap {
    /// Intensity and scaled intensity of each knot: at least two, the first rising, the second not falling.
    knots: Vec<[f32; 2]>,
}

impl IntensityMap {
    /// A map through knots `[intensity, scaled]`, continued by its first and last pieces and cut off at 0 and 1.
    ///
    /// Knots of one intensity become one, with the mean of their scaled values: 8-bit scans have such.
    ///
    /// # Errors
    /// [`VolumeError::NoContrast`] unless intensities rise and end higher than they begin, and [`VolumeError::Levels`]
    /// for knots that fall or are not finite.
    pub fn new(knots: Vec<[f32; 2]>) -> Result<Self, VolumeError> {
        let falls = knots.windows(2).any(|pair| pair[1][0] < pair[0][0] || pair[1][1] < pair[0][1]);
        if falls || !knots.iter().flatten().all(|value| value.is_finite()) {
            return Err(VolumeError::Levels { expected: "knots that are finite and never fall" });
        }
        let ends = |knots: &[[f32; 2]]| {
            let end = |knot: Option<&[f32; 2]>| knot.map_or(0.0, |knot| knot[0]);
            (end(knots.first()), end(knots.last()))
        };
        let (low, high) = ends(&knots);
        let knots = merged(&knots);
        let rises = knots.last().zip(knots.first()).is_some_and(|(last, first)| last[1] > first[1]);
        match knots.len() >= 2 && rises {
            true => Ok(Self { knots }),
            false => Err(VolumeError::NoContrast { low, high }),
        }
    }

    /// The linear map under which `low` becomes 0 and `high` becomes 1.
    ///
    /// # Errors
    /// [`VolumeError::NoContrast`] unless `high` is above `low`.
    pub fn linear(low: f32, high: f32) -> Result<Self, VolumeError> {
        match high > low {
            true => Ok(Self { knots: vec![[low, 0.0], [high, 1.0]] }),
            false => Err(VolumeError::NoContrast { low, high }),
        }
    }

    /// Intensity and scaled intensity of each knot, ascending.
    pub fn knots(&self) -> &[[f32; 2]] {
        &self.knots
    }

    /// Greatest intensity that becomes 0.
    pub fn low(&self) -> f32 {
        self.intensity(0.0)
    }

    /// Least intensity that becomes 1.
    pub fn high(&self) -> f32 {
        self.intensity(1.0)
    }

    /// Maps every voxel, cut off at 0 and 1.
    pub fn apply(&self, data: &mut ArrayViewMut3<'_, f32>) {
        if let [[low, 0.0], [high, 1.0]] = self.knots[..] {
            data.par_mapv_inplace(|value| ((value - low) / (high - low)).clamp(0.0, 1.0));
        } else {
            data.par_mapv_inplace(|value| self.scaled(value).clamp(0.0, 1.0));
        }
    }

    /// Maps every scaled intensity back: the inverse of [`IntensityMap::apply`] where nothing was cut off.
    pub fn invert(&self, data: &mut ArrayViewMut3<'_, f32>) {
        if let [[low, 0.0], [high, 1.0]] = self.knots[..] {
            data.par_mapv_inplace(|value| value * (high - low) + low);
        } else {
            data.par_mapv_inplace(|value| self.intensity(value));
        }
    }

    fn scaled(&self, value: f32) -> f32 {
        let above = self.knots.partition_point(|knot| knot[0] <= value);
        let [[x0, y0], [x1, y1]] = self.piece(above);
        y0 + (value - x0) / (x1 - x0) * (y1 - y0)
    }

    fn intensity(&self, scaled: f32) -> f32 {
        let above = self.knots.partition_point(|knot| knot[1] <= scaled);
        let [[x0, y0], [x1, y1]] = self.piece(above);
        // A flat piece has no inverse: its lower end stands for it.
        if y1 > y0 { x0 + (scaled - y0) / (y1 - y0) * (x1 - x0) } else { x0 }
    }

    /// The piece that ends at a knot, or the nearest.
    fn piece(&self, end: usize) -> [[f32; 2]; 2] {
        let end = end.clamp(1, self.knots.len() - 1);
        [self.knots[end - 1], self.knots[end]]
    }
}

/// Knots of one intensity as one.
fn merged(knots: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let equal = knots.chunk_by(|a, b| a[0] == b[0]);
    let mean = |same: &[[f32; 2]]| {
        let sum: f64 = same.iter().map(|knot| f64::from(knot[1])).sum();
        [same[0][0], (sum / same.len() as f64) as f32]
    };
    equal.map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;
    use proptest::prelude::*;

    fn apply(map: &IntensityMap, value: f32) -> f32 {
        let mut data = array![[[value]]];
        map.apply(&mut data.view_mut());
        data[[0, 0, 0]]
    }

    #[test]
    fn knots_of_one_intensity_become_their_mean() {
        let map = IntensityMap::new(vec![[0.0, 0.0], [2.0, 0.2], [2.0, 0.4], [4.0, 1.0]]).unwrap();
        assert_eq!(map.knots()[1], [2.0, 0.3]);
        assert!((apply(&map, 3.0) - 0.65).abs() < 1e-6);
    }

    #[test]
    fn beyond_its_ends_a_map_continues_and_is_cut_off() {
        let map = IntensityMap::new(vec![[10.0, 0.1], [20.0, 0.5], [30.0, 0.6]]).unwrap();
        let got = [5.0, 9.0, 40.0, 80.0].map(|value| apply(&map, value));
        for (got, expected) in got.into_iter().zip([0.0, 0.06, 0.7, 1.0]) {
            assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
        }
        assert!((map.low() - 7.5).abs() < 1e-5 && (map.high() - 70.0).abs() < 1e-3);
    }

    #[test]
    fn a_map_that_falls_or_never_rises_is_refused() {
        let fails = |knots: &[[f32; 2]]| IntensityMap::new(knots.to_vec()).unwrap_err();
        assert!(matches!(fails(&[[0.0, 1.0], [1.0, 0.0]]), VolumeError::Levels { .. }));
        assert!(matches!(fails(&[[1.0, 0.0], [0.0, 1.0]]), VolumeError::Levels { .. }));
        assert!(matches!(fails(&[[0.0, 0.0], [f32::NAN, 1.0]]), VolumeError::Levels { .. }));
        assert!(matches!(fails(&[[3.0, 0.0], [3.0, 1.0]]), VolumeError::NoContrast { .. }));
        assert!(matches!(fails(&[[3.0, 0.5], [4.0, 0.5]]), VolumeError::NoContrast { .. }));
        assert!(matches!(fails(&[]), VolumeError::NoContrast { .. }));
    }

    proptest! {
        #[test]
        fn inverting_gives_unclipped_intensities_back(value in 0.0f32..100.0) {
            let pieces = vec![[0.0, 0.0], [20.0, 0.5], [60.0, 0.7], [100.0, 1.0]];
            for map in [IntensityMap::linear(0.0, 100.0), IntensityMap::new(pieces)] {
                let map = map.unwrap();
                let mut data = array![[[value]]];
                map.apply(&mut data.view_mut());
                prop_assert!((0.0..=1.0).contains(&data[[0, 0, 0]]));
                map.invert(&mut data.view_mut());
                prop_assert!((data[[0, 0, 0]] - value).abs() <= 3e-5 * 100.0);
            }
        }

        #[test]
        fn order_is_kept(a in -50.0f32..200.0, b in -50.0f32..200.0) {
            let map = IntensityMap::new(vec![[0.0, 0.0], [20.0, 0.5], [21.0, 0.5], [90.0, 1.2]]);
            let map = map.unwrap();
            prop_assert!(a > b || apply(&map, a) <= apply(&map, b));
        }
    }
}
