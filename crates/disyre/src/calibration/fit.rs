//! Healthy maps from scans: each is prepared, registered and restored, and its evidence added up.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use disyre_core::ndarray::{Array3, Zip};
use disyre_register::Registration;
use disyre_volume::ScanName;
use rayon::prelude::*;

use super::map_layout::{Density, MapLayout};
use super::smoothing::{Smoother, doubled, in_voxels, smooth_inside};
use super::{
    Calibration, CalibrationConfig, Channel, ChannelMaps, Evidence, HealthyFolder, HealthyMaps,
    HealthyScan, HealthySums, ensure_other,
};
use crate::at_once::{AT_ONCE, for_scans};
use crate::{
    DetectConfig, DetectOptions, Detector, Error, HashedFile, Model, Prepared, SkullPolicy,
    TemplateSpace,
};

/// Least variance of a voxel, so that a known one has a deviation above 0.
const LEAST_VARIANCE: f32 = 1e-12;

/// Healthy scans and settings of a calibration.
#[derive(Debug, Clone)]
pub struct CalibrationRequest<'a> {
    /// Healthy scans, at least two that can be registered.
    pub healthy: &'a [PathBuf],
    /// Restorations to compare with later ones; `calibrated` has the settings of the score, `None`: their defaults.
    pub options: DetectOptions,
    /// Treatment of skulls.
    pub skull: SkullPolicy,
}

impl Calibration {
    /// Restores healthy scans and takes mean and deviation of their evidence. The channel `structure` compares each scan with
    /// the mean of the others, as it will compare a new one with the mean of all: they are kept until then, 5 MB each.
    /// `progress` is called with the number of scans done so far.
    ///
    /// Scans whose registration is doubtful are left out: see [`left_out`](Self::left_out). The result depends neither on
    /// the number of threads nor on the batch.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, [`Error::Case`] naming the first scan that cannot be used,
    /// [`Error::SameScan`] for one that is given twice, [`Error::TooFewHealthy`] if fewer than two register well.
    pub fn fit(
        model: &Model,
        request: &CalibrationRequest<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, Error> {
        let config = request.options.calibrated.clone().unwrap_or_default();
        config.check()?;
        let space = TemplateSpace::mni152()?;
        let mut healthy =
            HealthyEvidence::new(Sums::new(config.clone(), space.template().volume.grid.shape));
        let options =
            DetectOptions { calibrated: None, uncertainty: false, ..request.options.clone() };
        let preparation = model.folder().preparation().clone();
        let detector = Detector::new(model.restorer(), preparation, options)?.with_evidence();
        let mut done = 0;
        for paths in request.healthy.chunks(AT_ONCE) {
            let read = |path: &PathBuf| ReadScan::read(path, model, request.skull, &space);
            for scan in for_scans(paths, |path| path, read)? {
                healthy.add(scan, &detector, &space)?;
                done += 1;
                progress(done);
            }
        }
        let HealthyEvidence { sums, scans, left_out } = healthy;
        if scans.len() < 2 {
            return Err(HealthyFolder::Calibration.too_few(scans.len(), &left_out));
        }
        let of_training = model.folder().trained()?;
        let person = |name: &String| ScanName::of(Path::new(name)).subject();
        let trained: HashSet<String> = of_training.iter().map(person).collect();
        let names = scans.iter().map(|scan| scan.file.name.clone());
        let HealthyStatistics { count, mean, maps } = sums.finish(rounded)?;
        Ok(Self {
            space,
            detect: request.detect_config(model, config),
            window: request.options.window,
            weights_sha256: model.folder().weights_sha256().to_owned(),
            trained: names.filter(|name| trained.contains(&person(name))).collect(),
            scans,
            left_out,
            count,
            mean,
            maps,
            thresholds: None,
        })
    }
}

impl CalibrationRequest<'_> {
    /// Its settings as those of a run, for the record.
    fn detect_config(&self, model: &Model, config: CalibrationConfig) -> DetectConfig {
        let options = DetectOptions { calibrated: Some(config), ..self.options.clone() };
        model.folder().config().with_detection(&options, model.engine()).detect
    }
}

/// A healthy scan, read, prepared and registered.
struct ReadScan {
    path: PathBuf,
    scan: HealthyScan,
    prepared: Prepared,
    registration: Registration,
}

impl ReadScan {
    fn read(
        path: &Path,
        model: &Model,
        skull: SkullPolicy,
        space: &TemplateSpace,
    ) -> Result<Self, Error> {
        let case = || Error::case(&path.display().to_string());
        let preparation = model.folder().preparation();
        let scan = skull.read(path)?.volume;
        let (_, prepared) = preparation.prepare_under(skull, &scan).map_err(case())?;
        let registration = prepared.registration_to(space).map_err(case())?;
        let (file, verdict) = (HashedFile::of(path)?, registration.verdict.clone());
        let scan = HealthyScan { file, registration: verdict };
        Ok(Self { path: path.to_owned(), scan, prepared, registration })
    }
}

/// Evidence of healthy scans, added up, and which scans these are.
struct HealthyEvidence {
    sums: Sums,
    scans: Vec<HealthyScan>,
    left_out: Vec<HealthyScan>,
}

impl HealthyEvidence {
    fn new(sums: Sums) -> Self {
        Self { sums, scans: Vec::new(), left_out: Vec::new() }
    }

    /// Restores a scan and adds its evidence, if its registration is good.
    fn add(
        &mut self,
        read: ReadScan,
        detector: &Detector<'_>,
        space: &TemplateSpace,
    ) -> Result<(), Error> {
        let ReadScan { path, scan, prepared, registration } = read;
        let case = || Error::case(&path.display().to_string());
        ensure_other(&scan.file, self.scans.iter().chain(&self.left_out))?;
        if !registration.verdict.is_good() {
            self.left_out.push(scan);
            return Ok(());
        }
        let restored = detector.restore(prepared, &mut |_, _| ()).map_err(case())?;
        let evidence = Evidence::on_grid(&restored, &space.grid_of(&registration));
        self.sums.add(evidence.map_err(case())?)?;
        self.scans.push(scan);
        Ok(())
    }
}

/// All that healthy scans leave in a calibration.
pub(super) struct HealthyStatistics {
    /// Scans that have brain at each voxel.
    pub(super) count: Array3<u32>,
    /// Mean of the scans, not smoothed.
    pub(super) mean: Array3<f32>,
    pub(super) maps: Vec<ChannelMaps>,
}

/// Sums of the evidence of healthy scans.
pub(super) struct Sums {
    config: CalibrationConfig,
    /// Of the scans, not smoothed.
    plain: HealthySums,
    channels: Vec<(Channel, HealthySums)>,
    /// Scans whose structure is found when the sum of all is known.
    waiting: Vec<Evidence>,
}

impl Sums {
    pub(super) fn new(config: CalibrationConfig, shape: [usize; 3]) -> Self {
        let channels = Channel::ALL.map(|channel| (channel, HealthySums::zeros(shape))).into();
        Self { config, plain: HealthySums::zeros(shape), channels, waiting: Vec::new() }
    }

    pub(super) fn add(&mut self, evidence: Evidence) -> Result<(), Error> {
        self.plain.add(evidence.intensity.view(), evidence.mask.view())?;
        let Self { config, channels, .. } = self;
        let nothing = Array3::zeros(evidence.mask.dim());
        let now = channels.par_iter_mut().filter(|(channel, _)| !channel.is_structure());
        now.try_for_each(|(channel, sums)| {
            let map = smoothed(&evidence, *channel, config, &nothing)?;
            map.map_or(Ok(()), |map| sums.add(map.view(), evidence.mask.view()))
        })?;
        // What structure does not need is dropped.
        let residual = Array3::zeros([0; 3]);
        self.waiting.push(Evidence { residual, corruption: None, ..evidence });
        Ok(())
    }

    /// `keep` makes of each map the one that is kept.
    pub(super) fn finish(
        mut self,
        keep: fn(Array3<f32>) -> Array3<f32>,
    ) -> Result<HealthyStatistics, Error> {
        let mean = keep(self.plain.mean());
        for (channel, sums) in self.channels.iter_mut().filter(|(c, _)| c.is_structure()) {
            for chunk in self.waiting.chunks(AT_ONCE) {
                let found = chunk.par_iter().map(|evidence| {
                    let (image, mask) = (evidence.intensity.view(), evidence.mask.view());
                    // A scan is more like a mean that it is part of than a new scan will be.
                    let others = self.plain.mean_without(image, mask)?;
                    Ok((smoothed(evidence, *channel, &self.config, &others)?, evidence))
                });
                for (map, evidence) in found.collect::<Result<Vec<_>, Error>>()? {
                    let mask = evidence.mask.view();
                    map.map_or(Ok(()), |map| sums.add(map.view(), mask))?;
                }
            }
        }
        let sigma = in_voxels(self.config.variance_smoothing_mm);
        // The network may predict no corruption.
        let found = self.channels.par_iter().filter(|(_, sums)| !sums.is_empty());
        let maps = found.map(|(channel, sums)| {
            let deviation = pooled_deviation(&sums.variance(), sums.count(), sigma)?;
            let scale_mm = self.config.channel(*channel).scale_mm;
            let layout = MapLayout::of(*channel, &self.config);
            let stored = HealthyMaps {
                mean: layout.mean.stored(keep(sums.mean())),
                deviation: layout.deviation.stored(keep(deviation)),
            };
            Ok(ChannelMaps::of_stored(*channel, scale_mm, stored, layout, mean.dim().into()))
        });
        let maps = maps.collect::<Result<_, Error>>()?;
        Ok(HealthyStatistics { count: self.plain.count().clone(), mean, maps })
    }
}

/// Values rounded to the nearest with 12 bits behind the leading one: far finer than what some dozens of scans can tell, and
/// smaller files.
fn rounded(mut map: Array3<f32>) -> Array3<f32> {
    const DROPPED: u32 = 11;
    const HALF: u32 = 1 << (DROPPED - 1);
    map.mapv_inplace(|value| match value.is_finite() {
        true => f32::from_bits((value.to_bits() + HALF) >> DROPPED << DROPPED),
        false => value,
    });
    map
}

/// A channel, smoothed at its scale; `None` where there is none.
fn smoothed(
    evidence: &Evidence,
    channel: Channel,
    config: &CalibrationConfig,
    healthy: &Array3<f32>,
) -> Result<Option<Array3<f32>>, Error> {
    let sigma = in_voxels(config.channel(channel).scale_mm);
    let map = evidence.channel(channel, config, healthy)?;
    map.map(|map| smooth_inside(map.view(), evidence.mask.view(), sigma)).transpose()
}

impl ChannelMaps {
    /// Spreads stored maps over every voxel of the template, whose shape is given.
    pub(super) fn of_stored(
        channel: Channel,
        scale_mm: f64,
        stored: HealthyMaps,
        layout: MapLayout,
        shape: [usize; 3],
    ) -> Self {
        let whole = |map: &Array3<f32>, density: Density| match density {
            Density::Every => map.clone(),
            Density::EverySecond => {
                // Known voxels have a deviation above 0; where the mean is coarse, so is the deviation.
                let valid = stored.deviation.mapv(|deviation| u8::from(deviation > 0.0));
                doubled(map, &valid, shape)
            }
        };
        let maps = HealthyMaps {
            mean: whole(&stored.mean, layout.mean),
            deviation: whole(&stored.deviation, layout.deviation),
        };
        Self { channel, scale_mm, layout, stored, maps }
    }
}

/// Standard deviation after the variances of neighbours have been pooled, each weighted by its degrees of freedom, which are
/// one less than its scans; 0 where nothing is known of the deviation: no scan, or nothing but single ones nearby.
///
/// # Source
/// Pooled variance `Σ squares / Σ (n − 1)`, with Gaussian weights of the neighbours.
pub(super) fn pooled_deviation(
    variance: &Array3<f64>,
    count: &Array3<u32>,
    sigma: f64,
) -> Result<Array3<f32>, Error> {
    let brain = count.mapv(|count| u8::from(count > 0));
    let weighted = Zip::from(variance).and(count).map_collect(|v, &n| (v * f64::from(n)) as f32);
    let weights = count.mapv(|count| count.saturating_sub(1) as f32);
    let smoother = Smoother::new(brain.view(), sigma)?;
    let (weighted, weights) = (smoother.smooth(weighted.view())?, smoother.smooth(weights.view())?);
    Ok(Zip::from(&weighted).and(&weights).map_collect(|&sum, &weight| match weight > 0.0 {
        true => (sum / weight).max(LEAST_VARIANCE).sqrt(),
        false => 0.0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_changes_a_value_by_less_than_an_eighth_of_a_per_mille_and_keeps_0() {
        let values = Array3::from_shape_vec([1, 1, 4], vec![0.0, 0.123_456_7, -3.3, 1e-6]).unwrap();
        for (&found, &value) in rounded(values.clone()).iter().zip(&values) {
            assert!((found - value).abs() <= 1.25e-4 * value.abs(), "{value} → {found}");
            assert_eq!(found.to_bits() & 0x7ff, 0);
        }
    }
}
