//! [`HealthyMaps`]: mean and standard deviation of a map over healthy scans, at each voxel of a common grid.

use disyre_core::ensure_same_shape;
use disyre_core::ndarray::{Array3, ArrayView3, Zip};

use crate::Error;

/// Mean and standard deviation of a map over healthy scans at each voxel; atlas and calibration consist of them.
///
/// # Source
/// Ours: the voxelwise z-score; population deviation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HealthyMaps {
    /// `(z, y, x)`; 0 where no scan has brain.
    pub(crate) mean: Array3<f32>,
    /// ≥ 0; 0 where nothing is known.
    pub(crate) deviation: Array3<f32>,
}

impl HealthyMaps {
    /// Distance of each voxel of a map from the healthy mean in standard deviations, with a floor added to these; below 0
    /// where the map is less, 0 where nothing is known.
    ///
    /// # Errors
    /// [`Error::Shape`] for a map of another shape.
    pub(crate) fn z_scores(&self, map: &Array3<f32>, floor: f32) -> Result<Array3<f32>, Error> {
        ensure_same_shape("map", self.mean.shape(), map.shape())?;
        let voxels = Zip::from(map).and(&self.mean).and(&self.deviation);
        Ok(voxels.par_map_collect(|value, mean, &deviation| match deviation > 0.0 {
            true => (value - mean) / (deviation + floor),
            false => 0.0,
        }))
    }
}

/// 1 where a scan has brain and more than half of the healthy scans have.
pub(crate) fn known(
    mask: ArrayView3<'_, u8>,
    count: &Array3<u32>,
    scans: usize,
) -> Result<Array3<u8>, Error> {
    ensure_same_shape("scan", count.shape(), mask.shape())?;
    let half = scans as f64 / 2.0;
    let known = |&inside: &u8, &count: &u32| u8::from(inside != 0 && f64::from(count) > half);
    Ok(Zip::from(mask).and(count).map_collect(known))
}

/// Sums of a map over healthy scans, each counted where it has brain.
#[derive(Debug, Clone)]
pub(crate) struct HealthySums {
    sum: Array3<f64>,
    squares: Array3<f64>,
    count: Array3<u32>,
}

impl HealthySums {
    pub(crate) fn zeros(shape: [usize; 3]) -> Self {
        let [sum, squares] = [(); 2].map(|()| Array3::zeros(shape));
        Self { sum, squares, count: Array3::zeros(shape) }
    }

    /// Adds the map of one scan.
    ///
    /// # Errors
    /// [`Error::Shape`] for a map or mask of another shape.
    pub(crate) fn add(
        &mut self,
        map: ArrayView3<'_, f32>,
        mask: ArrayView3<'_, u8>,
    ) -> Result<(), Error> {
        ensure_same_shape("healthy scan", self.count.shape(), map.shape())?;
        ensure_same_shape("healthy scan", self.count.shape(), mask.shape())?;
        let voxels = Zip::from(&mut self.sum).and(&mut self.squares).and(&mut self.count);
        voxels.and(map).and(mask).par_for_each(|sum, squares, count, &value, &inside| {
            if inside != 0 {
                let value = f64::from(value);
                *sum += value;
                *squares += value * value;
                *count += 1;
            }
        });
        Ok(())
    }

    /// Mean over the scans that have brain at each voxel, without one of those that were added.
    ///
    /// # Errors
    /// [`Error::Shape`] for a map or mask of another shape.
    pub(crate) fn mean_without(
        &self,
        map: ArrayView3<'_, f32>,
        mask: ArrayView3<'_, u8>,
    ) -> Result<Array3<f32>, Error> {
        ensure_same_shape("healthy scan", self.count.shape(), map.shape())?;
        ensure_same_shape("healthy scan", self.count.shape(), mask.shape())?;
        let voxels = Zip::from(&self.sum).and(&self.count).and(map).and(mask);
        Ok(voxels.par_map_collect(|sum, &n, &value, &inside| match inside != 0 {
            true if n > 1 => ((sum - f64::from(value)) / f64::from(n - 1)) as f32,
            true => 0.0,
            false => (sum / divisor(n)) as f32,
        }))
    }

    /// Variance over the scans that have brain at each voxel, ≥ 0: the mean of their squared distances from their mean.
    pub(crate) fn variance(&self) -> Array3<f64> {
        let voxels = Zip::from(&self.sum).and(&self.squares).and(&self.count);
        voxels.map_collect(|sum, squares, &n| {
            (squares / divisor(n) - (sum / divisor(n)).powi(2)).max(0.0)
        })
    }

    /// Mean over the scans that have brain at each voxel.
    pub(crate) fn mean(&self) -> Array3<f32> {
        let voxels = Zip::from(&self.sum).and(&self.count);
        voxels.map_collect(|sum, &n| (sum / divisor(n)) as f32)
    }

    /// True if no scan was added that has brain.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.iter().all(|&count| count == 0)
    }

    /// Number of scans that have brain at each voxel.
    pub(crate) fn count(&self) -> &Array3<u32> {
        &self.count
    }
}

/// A number of scans to divide by.
fn divisor(count: u32) -> f64 {
    f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    #[test]
    fn the_mean_without_a_scan_is_that_of_the_others() {
        let scans = [
            (array![[[0.2f32, 0.4, 0.0]]], array![[[1u8, 1, 0]]]),
            (array![[[0.6, 0.0, 0.0]]], array![[[1, 0, 0]]]),
            (array![[[0.1, 0.0, 0.9]]], array![[[1, 0, 1]]]),
        ];
        let mut sums = HealthySums::zeros([1, 1, 3]);
        for (map, mask) in &scans {
            sums.add(map.view(), mask.view()).unwrap();
        }
        let (map, mask) = &scans[0];
        let found = sums.mean_without(map.view(), mask.view()).unwrap();
        // Of the second voxel no other scan has brain.
        let expected = array![[[0.35f32, 0.0, 0.9]]];
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found}");
    }
}
