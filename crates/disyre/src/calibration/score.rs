//! From the evidence of one scan to its calibrated score.

use disyre_core::ndarray::Array3;
use disyre_core::{Grid, Volume};
use disyre_volume::{Interpolation, resample_to_grid};

use super::smoothing::{Smoother, eroded, in_voxels, smooth_inside};
use super::views::Views;
use super::{Calibration, CalibrationConfig, ChannelMaps, Evidence, known};
use crate::Error;

/// Scores of one scan on a grid of the template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CalibratedScores {
    /// Weighted mean distance from healthy, ≥ 0; 0 where nothing is known. In standard deviations where all weights are
    /// alike.
    pub(crate) score: Array3<f32>,
    /// Weighted mean distance of residual and intensity, fine ones included, with its sign: below 0 is darker than healthy.
    pub(crate) signed: Array3<f32>,
    /// 1 where the scan has brain and more than half of the healthy scans have.
    pub(crate) known: Array3<u8>,
}

impl Calibration {
    /// Scores the evidence of a scan.
    ///
    /// `p = max(0, Σ w · Σ (less · max(−z, 0) + more · max(z, 0)) / Σ w)` over channels, and in each of them over the views of z:
    /// at a place, around it and across the midline, each with weights of its own; z is smoothed inside the brain and limited to
    /// ±10. The score is the mean of p and of p smoothed inside the brain by `score_smoothing_mm`. The signed score is
    /// `Σ w · z / Σ w` over residual and intensity.
    ///
    /// # Errors
    /// [`Error::Shape`] for evidence on another grid.
    pub(crate) fn scores(
        &self,
        evidence: &Evidence,
        config: &CalibrationConfig,
    ) -> Result<CalibratedScores, Error> {
        let known = known(evidence.mask.view(), &self.count, self.scans.len())?;
        let smoother = Smoother::new(known.view(), in_voxels(config.smoothing_mm))?;
        let around = || Smoother::new(known.view(), in_voxels(config.around_mm));
        let around = config.looks_around().then(around).transpose()?;
        let [mut score, mut signed] = [(); 2].map(|()| WeightedMean::zeros(known.dim()));
        for maps in self.maps.iter().filter(|maps| config.counts(maps.channel)) {
            let channel = config.channel(maps.channel);
            let weight = channel.weight as f32;
            let Some(z) = self.distances(maps, evidence, config, &smoother)? else { continue };
            if maps.channel.is_brightness() {
                signed.add(&z, weight);
            }
            let views = match &around {
                Some(around) => Views::all(z, around)?,
                None => Views::here(z),
            };
            score.add(&views.weighted(channel), weight);
        }
        let [mut score, mut signed] = [score, signed].map(WeightedMean::finish);
        score.mapv_inplace(|score| score.max(0.0));
        let sigma = in_voxels(config.score_smoothing_mm);
        let smooth = smooth_inside(score.view(), known.view(), sigma)?;
        score.zip_mut_with(&smooth, |score, smooth| *score = (*score + smooth) / 2.0);
        let depth = in_voxels(config.erosion_mm).round() as usize;
        if depth > 0 {
            let kept = eroded(&known, depth);
            for map in [&mut score, &mut signed] {
                map.zip_mut_with(&kept, |value, &kept| *value *= f32::from(kept));
            }
        }
        Ok(CalibratedScores { score, signed, known })
    }

    /// Distances of one channel from healthy in standard deviations, smoothed; `None` where the scan lacks the channel.
    pub(super) fn distances(
        &self,
        maps: &ChannelMaps,
        evidence: &Evidence,
        config: &CalibrationConfig,
        smoother: &Smoother<'_>,
    ) -> Result<Option<Array3<f32>>, Error> {
        let Some(map) = evidence.channel(maps.channel, config, &self.mean)? else {
            return Ok(None);
        };
        let smooth = smooth_inside(map.view(), evidence.mask.view(), in_voxels(maps.scale_mm))?;
        let floor = config.channel(maps.channel).deviation_floor as f32;
        let z = maps.maps.z_scores(&smooth, floor)?;
        Ok(Some(smoother.smooth(z.view())?.mapv_into(|z| z.clamp(-FARTHEST, FARTHEST))))
    }
}

/// Greatest distance from healthy that counts, in standard deviations: a place where healthy scans hardly vary must not
/// outweigh all channels.
const FARTHEST: f32 = 10.0;

/// Weighted mean of maps.
struct WeightedMean {
    sum: Array3<f32>,
    weights: f32,
}

impl WeightedMean {
    fn zeros(shape: (usize, usize, usize)) -> Self {
        Self { sum: Array3::zeros(shape), weights: 0.0 }
    }

    fn add(&mut self, map: &Array3<f32>, weight: f32) {
        self.sum.scaled_add(weight, map);
        self.weights += weight;
    }

    /// 0 where nothing was added.
    fn finish(self) -> Array3<f32> {
        self.sum / self.weights.max(f32::MIN_POSITIVE)
    }
}

impl CalibratedScores {
    /// Carries score and signed score from their grid to another one; each voxel is the mean of the known part of it, and
    /// 0 where there is none.
    pub(crate) fn carried(&self, from: &Grid, to: &Grid) -> Result<[Array3<f32>; 2], Error> {
        let carry = |data: Array3<f32>| {
            resample_to_grid(&Volume { data, grid: *from }, to, Interpolation::Area)
        };
        let shares = carry(self.known.mapv(f32::from))?.data;
        let undiluted = |map: &Array3<f32>| -> Result<Array3<f32>, Error> {
            let mut carried = carry(map.clone())?.data;
            carried.zip_mut_with(&shares, |value, &share| {
                *value = if share > 1e-3 { *value / share } else { 0.0 };
            });
            Ok(carried)
        };
        Ok([undiluted(&self.score)?, undiluted(&self.signed)?])
    }
}
