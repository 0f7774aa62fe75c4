//! The learning-free baseline: how far a voxel is from healthy brains at its place in the template.

mod detector;
mod folder;

use disyre_core::ndarray::Array3;
use disyre_dag::shapes::gaussian_blur;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use detector::{AtlasDetection, AtlasDetector};

use crate::calibration::{HealthyMaps, HealthySums, known};
use crate::{Error, Prepared};

/// Settings of an [`Atlas`].
///
/// # Source
/// Ours: the voxelwise z-score, with smoothing for what an affine registration leaves, and a floor for the deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AtlasConfig {
    /// Standard deviation of the Gaussian that smooths each scan, in voxels of the template, ≥ 0; 0.7.
    pub scan_smoothing_voxels: f64,
    /// Added to the standard deviation of each voxel, > 0, in units of scaled intensity; 0.05.
    pub deviation_floor: f64,
    /// Standard deviation of the Gaussian that smooths the scores, in voxels, ≥ 0; 1.
    pub score_smoothing_voxels: f64,
}

impl Default for AtlasConfig {
    fn default() -> Self {
        Self { scan_smoothing_voxels: 0.7, deviation_floor: 0.05, score_smoothing_voxels: 1.0 }
    }
}

/// Mean and standard deviation of healthy brains at each voxel of a common grid.
///
/// No network and no training: what a better method has to beat.
#[derive(Debug, Clone, PartialEq)]
pub struct Atlas {
    config: AtlasConfig,
    scans: usize,
    /// Of scaled intensities, background counted as 0; the deviation has its floor added.
    maps: HealthyMaps,
    /// Scans that have brain there.
    count: Array3<u32>,
}

/// Scores of one scan on the grid of an atlas, both smoothed.
#[derive(Debug, Clone, PartialEq)]
pub struct ZScores {
    /// Distance from the mean in standard deviations, ≥ 0.
    pub absolute: Array3<f32>,
    /// The same with its sign: below 0 is darker than healthy.
    pub signed: Array3<f32>,
    /// 1 where the scan has brain and most of the atlas's scans have: elsewhere scores mean nothing.
    pub known: Array3<u8>,
}

impl Atlas {
    /// Mean and deviation of healthy scans, prepared on one grid of the template.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, [`Error::CohortTooSmall`] below two scans, [`Error::Shape`] for
    /// scans of different shapes.
    pub fn fit(config: AtlasConfig, scans: &[Prepared]) -> Result<Self, Error> {
        config.check()?;
        if scans.len() < 2 {
            return Err(Error::CohortTooSmall { got: scans.len(), needed: 2 });
        }
        let shape = scans[0].volume.grid.shape;
        let mut sums = HealthySums::zeros(shape);
        let smoothed = scans.par_iter().map(|scan| config.smoothed(scan));
        for (scan, smooth) in scans.iter().zip(smoothed.collect::<Result<Vec<_>, _>>()?) {
            sums.add(smooth.view(), scan.mask.view())?;
        }
        let deviation = sums
            .variance()
            .mapv(|variance| (variance.max(LEAST_VARIANCE).sqrt() + config.deviation_floor) as f32);
        let maps = HealthyMaps { mean: sums.mean(), deviation };
        Ok(Self { config, scans: scans.len(), maps, count: sums.count().clone() })
    }

    /// Number of healthy scans.
    pub fn scans(&self) -> usize {
        self.scans
    }

    /// Mean intensity of each voxel over the scans that have brain there, `(z, y, x)`; 0 where none has.
    pub fn mean(&self) -> &Array3<f32> {
        &self.maps.mean
    }

    /// Standard deviation of each voxel with its floor added, > 0.
    pub fn deviation(&self) -> &Array3<f32> {
        &self.maps.deviation
    }

    /// Number of scans that have brain at each voxel.
    pub fn count(&self) -> &Array3<u32> {
        &self.count
    }

    /// The settings.
    pub fn config(&self) -> &AtlasConfig {
        &self.config
    }

    /// Scores of a scan that was prepared on the grid of the atlas.
    ///
    /// # Errors
    /// [`Error::Shape`] for a scan of another shape.
    pub fn scores(&self, scan: &Prepared) -> Result<ZScores, Error> {
        let known = known(scan.mask.view(), &self.count, self.scans)?;
        let mut signed = self.maps.z_scores(&self.config.smoothed(scan)?, 0.0)?;
        let mut absolute = signed.mapv(f32::abs);
        let sigma = [self.config.score_smoothing_voxels; 3];
        gaussian_blur(signed.view_mut(), sigma)?;
        gaussian_blur(absolute.view_mut(), sigma)?;
        Ok(ZScores { absolute, signed, known })
    }
}

/// Of a voxel that all scans share.
const LEAST_VARIANCE: f64 = 1e-6;

impl AtlasConfig {
    fn check(&self) -> Result<(), Error> {
        let widths = [self.scan_smoothing_voxels, self.score_smoothing_voxels];
        let rules = [
            (
                widths.iter().all(|width| (0.0..=100.0).contains(width)),
                "atlas smoothing",
                "0 to 100 voxels",
            ),
            (
                self.deviation_floor > 0.0 && self.deviation_floor.is_finite(),
                "atlas.deviation_floor",
                "above 0",
            ),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, expected)) => Err(Error::Setting { field, expected }),
            None => Ok(()),
        }
    }

    fn smoothed(&self, scan: &Prepared) -> Result<Array3<f32>, Error> {
        let mut data = scan.volume.data.clone();
        gaussian_blur(data.view_mut(), [self.scan_smoothing_voxels; 3])?;
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::{Grid, Volume};
    use disyre_volume::IntensityMap;

    /// A row of intensities; 0 is background.
    fn prepared(row: &[f32]) -> Prepared {
        let shape = [1, 1, row.len()];
        let data = Array3::from_shape_vec(shape, row.to_vec()).unwrap();
        Prepared {
            mask: data.mapv(|value| u8::from(value > 0.0)),
            volume: Volume::new(data, Grid::from_spacing(shape, [2.0; 3])).unwrap(),
            intensities: IntensityMap::linear(0.0, 1.0).unwrap(),
            field: None,
            oblique: None,
            registration: None,
        }
    }

    fn unsmoothed() -> AtlasConfig {
        let (scan_smoothing_voxels, score_smoothing_voxels) = (0.0, 0.0);
        AtlasConfig { scan_smoothing_voxels, score_smoothing_voxels, ..AtlasConfig::default() }
    }

    fn close(got: &Array3<f32>, expected: &[f32]) {
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
        }
    }

    #[test]
    fn scores_are_distances_from_the_mean_in_deviations() {
        let healthy = [prepared(&[0.2, 0.5, 0.0]), prepared(&[0.4, 0.5, 0.8])];
        let atlas = Atlas::fit(unsmoothed(), &healthy).unwrap();
        close(atlas.mean(), &[0.3, 0.5, 0.8]);
        // 0.1 and the floor; the least deviation, 0.001, and the floor.
        close(atlas.deviation(), &[0.15, 0.051, 0.051]);
        let found = atlas.scores(&prepared(&[0.6, 0.449, 0.8])).unwrap();
        close(&found.signed, &[2.0, -1.0, 0.0]);
        close(&found.absolute, &[2.0, 1.0, 0.0]);
    }

    #[test]
    fn only_brain_that_most_healthy_scans_have_is_known() {
        let healthy = [&[0.5, 0.5, 0.0], &[0.5, 0.0, 0.0], &[0.5, 0.5, 0.5]];
        let healthy = healthy.map(|row| prepared(row));
        let atlas = Atlas::fit(unsmoothed(), &healthy).unwrap();
        let known = atlas.scores(&prepared(&[0.5, 0.5, 0.5])).unwrap().known;
        assert_eq!(known.into_raw_vec_and_offset().0, [1, 1, 0]);
        let outside = atlas.scores(&prepared(&[0.0, 0.5, 0.0])).unwrap().known;
        assert_eq!(outside.into_raw_vec_and_offset().0, [0, 1, 0]);
    }

    #[test]
    fn what_cannot_be_an_atlas_is_refused() {
        let scans = [prepared(&[0.5, 0.5]), prepared(&[0.5, 0.5, 0.5])];
        let fit = |config, scans: &[Prepared]| Atlas::fit(config, scans).unwrap_err();
        assert!(matches!(fit(unsmoothed(), &scans[..1]), Error::CohortTooSmall { .. }));
        assert!(matches!(fit(unsmoothed(), &scans), Error::Shape(_)));
        let config = AtlasConfig { deviation_floor: 0.0, ..AtlasConfig::default() };
        assert!(matches!(fit(config, &scans[..1]), Error::Setting { .. }));
    }
}
