//! Thresholds from healthy scans, and from copies of them with anomalies.

use std::path::{Path, PathBuf};

use disyre_core::Volume;
use disyre_core::ndarray::Array3;
use disyre_score::conformal::{LossCurve, conformal_threshold, scans_needed};
use disyre_score::{Averaging, ScoreHistogram};
use disyre_volume::nonzero_mask;

use super::injected::Injector;
use super::marked::alarm_score;
use super::{HealthyThreshold, LesionThreshold, RateThreshold, Thresholds};
use crate::at_once::for_scans;
use crate::calibration::{HealthyScan, ensure_other};
use crate::inside_brain::inside_brain;
use crate::{
    Calibration, Detection, Detector, Error, HashedFile, Model, Preparation, Prepared, ScoreKind,
    SkullPolicy,
};

/// Scans whose textures the anomalies of their copies have.
const TEXTURES: usize = 4;
/// Copies of each scan with an anomaly.
const COPIES: u64 = 2;
/// A loss above this multiple of its rate counts as that much. A smaller one needs fewer scans, a greater one promises more
/// of scans that are far off.
const BOUND: f64 = 10.0;

/// Rates that the healthy threshold keeps, and the least volume of a finding.
///
/// ```
/// use disyre::ThresholdConfig;
///
/// let config = ThresholdConfig { false_voxels: 0.01, ..ThresholdConfig::default() };
/// config.check()?;
/// assert_eq!(ThresholdConfig::least_scans(), 9);
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdConfig {
    /// Greatest expected share of a healthy brain's voxels that are marked, in (0, 1); 0.005.
    pub false_voxels: f64,
    /// Greatest expected number of findings of a healthy scan, above 0; 1.
    pub false_findings: f64,
    /// Findings below this volume are left out, in mm³, ≥ 0; 100.
    pub least_volume_mm3: f64,
    /// Of a finding, only the voxels that score at least this share of its greatest score are kept, in `[0, 1]`; 0.4. The score is
    /// smooth: at the threshold alone a finding would reach far beyond its lesion. Thresholds are chosen without it.
    ///
    /// # Source
    /// Ours: of five shares that with the best mean Dice on nine patients (`docs/CALIBRATION.md`).
    pub peak_share: f64,
}

impl Default for ThresholdConfig {
    fn default() -> Self {
        Self { false_voxels: 0.005, false_findings: 1.0, least_volume_mm3: 100.0, peak_share: 0.4 }
    }
}

impl ThresholdConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the field and what it may hold.
    pub fn check(&self) -> Result<(), Error> {
        let Self { false_voxels, false_findings, least_volume_mm3, peak_share } = *self;
        let finite = |value: f64| value.is_finite();
        let rules = [
            (false_voxels > 0.0 && false_voxels < 1.0, "false_voxels", "above 0 and below 1"),
            (false_findings > 0.0 && finite(false_findings), "false_findings", "above 0"),
            (
                least_volume_mm3 >= 0.0 && finite(least_volume_mm3),
                "least_volume_mm3",
                "0 or more mm³",
            ),
            ((0.0..=1.0).contains(&peak_share), "peak_share", "0 to 1"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, expected)) => Err(Error::Setting { field, expected }),
            None => Ok(()),
        }
    }

    /// Number of healthy scans without which no rate can be promised.
    pub fn least_scans() -> usize {
        scans_needed(BOUND, 1.0)
    }
}

/// Healthy scans and settings of thresholds.
#[derive(Debug, Clone, Copy)]
pub struct ThresholdRequest<'a> {
    /// Healthy scans, each of another subject: neither those of the calibration's maps nor those of the training.
    pub scans: &'a [PathBuf],
    /// Rates and the least volume.
    pub config: ThresholdConfig,
    /// Treatment of skulls.
    pub skull: SkullPolicy,
}

impl Thresholds {
    /// Scores healthy scans and their copies by a calibration, and chooses the thresholds. `progress` is called with the
    /// number of scans done so far.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, [`Error::Case`] naming the first scan that cannot be used, with
    /// [`Error::SameScan`] for one behind the maps or given twice and [`Error::TrainedScan`]; [`Error::Score`] if the scans with a good registration are too few for the rates, [`Error::NoAnomaly`] if no copy
    /// has an anomaly.
    pub fn fit(
        model: &Model,
        calibration: &Calibration,
        request: &ThresholdRequest<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, Error> {
        request.config.check()?;
        let preparation = model.folder().preparation();
        let options = calibration.detect_options(model.folder().config());
        let detector = Detector::new(model.restorer(), preparation.clone(), options)?;
        let detector = detector.with_calibration(calibration)?;
        let fitting = Fitting {
            detector: &detector,
            injector: Injector::of(model)?,
            calibration,
            trained: model.folder().trained()?,
            least_volume_mm3: request.config.least_volume_mm3,
        };
        let mut scores = HealthyScores::default();
        let mut done = 0;
        for paths in request.scans.chunks(TEXTURES) {
            let read = |path: &PathBuf| ReadScan::read(path, preparation, request.skull);
            let scans = for_scans(paths, |path| path, read)?;
            let textures: Vec<&Prepared> = scans.iter().map(|scan| &scan.prepared).collect();
            for scan in &scans {
                fitting.add(scan, &textures, &mut scores).map_err(scan.case())?;
                done += 1;
                progress(done);
            }
        }
        scores.thresholds(&request.config, &fitting.injector)
    }
}

/// All that scores of healthy scans depend on.
struct Fitting<'a> {
    detector: &'a Detector<'a>,
    injector: Injector,
    calibration: &'a Calibration,
    /// Names of scans that trained the network.
    trained: Vec<String>,
    least_volume_mm3: f64,
}

impl Fitting<'_> {
    /// Scores a healthy scan and its copies.
    fn add(
        &self,
        scan: &ReadScan,
        textures: &[&Prepared],
        scores: &mut HealthyScores,
    ) -> Result<(), Error> {
        self.ensure_new(scan, scores)?;
        if scores.add(scan, self.detector, self.least_volume_mm3)? {
            scores.add_copies(scan, self.detector, &self.injector, textures)?;
        }
        Ok(())
    }

    /// Refuses a scan that is behind the maps, that trained the network, or that is there already: its scores are smaller
    /// than those of a new scan, or count twice.
    fn ensure_new(&self, scan: &ReadScan, scores: &HealthyScores) -> Result<(), Error> {
        let known = [self.calibration.scans(), &scores.scans, &scores.left_out];
        ensure_other(&scan.file, known.into_iter().flatten())?;
        match self.trained.contains(&scan.file.name) {
            true => Err(Error::TrainedScan { name: scan.file.name.clone() }),
            false => Ok(()),
        }
    }
}

/// A healthy scan, read and prepared.
struct ReadScan {
    path: PathBuf,
    file: HashedFile,
    volume: Volume,
    /// Brain on the grid of the scan, 1 inside.
    brain: Array3<u8>,
    prepared: Prepared,
}

impl ReadScan {
    fn read(path: &Path, preparation: &Preparation, skull: SkullPolicy) -> Result<Self, Error> {
        let case = Error::case(&path.display().to_string());
        Self::read_unnamed(path, preparation, skull).map_err(case)
    }

    /// The same; errors do not name the scan.
    fn read_unnamed(
        path: &Path,
        preparation: &Preparation,
        skull: SkullPolicy,
    ) -> Result<Self, Error> {
        let volume = skull.read(path)?.volume;
        let (brain, prepared) = preparation.prepare_under(skull, &volume)?;
        let brain = brain.unwrap_or_else(|| nonzero_mask(volume.data.view()));
        let file = HashedFile::of(path)?;
        Ok(Self { path: path.to_owned(), file, volume, brain, prepared })
    }

    /// Makes errors name this scan.
    fn case(&self) -> impl FnOnce(Error) -> Error + use<> {
        Error::case(&self.path.display().to_string())
    }

    fn detect(&self, detector: &Detector<'_>, prepared: Prepared) -> Result<Detection, Error> {
        detector.detect_prepared(prepared, &self.volume, Some(self.brain.view()), &mut |_, _| ())
    }
}

/// Scores of healthy scans, reduced to what thresholds are chosen by.
#[derive(Default)]
struct HealthyScores {
    scans: Vec<HealthyScan>,
    left_out: Vec<HealthyScan>,
    shares: Vec<LossCurve>,
    findings: Vec<LossCurve>,
    alarm_scores: Vec<f32>,
    /// Scores of the copies, labelled by their anomalies.
    copies: ScoreHistogram,
}

impl HealthyScores {
    /// Adds a scan; false where its registration is doubtful, so that it is left out.
    fn add(
        &mut self,
        scan: &ReadScan,
        detector: &Detector<'_>,
        least_mm3: f64,
    ) -> Result<bool, Error> {
        let found = scan.detect(detector, scan.prepared.clone())?;
        let Some(registration) = found.registration.map(|found| found.verdict) else {
            return Ok(false);
        };
        let healthy = HealthyScan { file: scan.file.clone(), registration };
        if found.kind != ScoreKind::Calibrated {
            self.left_out.push(healthy);
            return Ok(false);
        }
        let (score, grid) = (found.score.view(), &scan.volume.grid);
        let brain = scan.brain.view();
        self.shares.push(LossCurve::share_of_voxels(&inside_brain(score, brain))?);
        self.findings.push(LossCurve::findings(score, brain, grid.spacing_mm(), least_mm3)?);
        self.alarm_scores.push(alarm_score(score, brain, grid.voxel_mm3()));
        self.scans.push(healthy);
        Ok(true)
    }

    /// Adds copies of a scan with an anomaly each.
    fn add_copies(
        &mut self,
        scan: &ReadScan,
        detector: &Detector<'_>,
        injector: &Injector,
        textures: &[&Prepared],
    ) -> Result<(), Error> {
        for copy in 0..COPIES {
            let injected = injector.copy(&scan.prepared, textures, &scan.file.name, copy)?;
            let Some(injected) = injected else { continue };
            let brain = Some(scan.brain.view());
            let anomaly = injected.prepared.to_scan(injected.anomaly, &scan.volume, brain)?;
            let labels = anomaly.mapv(|share| u8::from(share >= 0.5));
            let found = scan.detect(detector, injected.prepared)?;
            if found.kind == ScoreKind::Calibrated {
                let brain = scan.brain.view();
                let scores = inside_brain(found.score.view(), brain);
                self.copies.add(&scores, &inside_brain(labels.view(), brain))?;
            }
        }
        Ok(())
    }

    fn thresholds(
        self,
        config: &ThresholdConfig,
        injector: &Injector,
    ) -> Result<Thresholds, Error> {
        let keep = |curves: &[LossCurve], rate: f64| -> Result<RateThreshold, Error> {
            let bound = BOUND * rate;
            Ok(RateThreshold { threshold: conformal_threshold(curves, bound, rate)?, rate, bound })
        };
        let false_voxels = keep(&self.shares, config.false_voxels)?;
        let false_findings = keep(&self.findings, config.false_findings)?;
        let threshold = false_voxels.threshold.max(false_findings.threshold);
        let chosen = self.copies.best_threshold(Averaging::PerVolume).ok_or(Error::NoAnomaly)?;
        Ok(Thresholds {
            least_volume_mm3: config.least_volume_mm3,
            peak_share: config.peak_share,
            healthy: HealthyThreshold { threshold, false_voxels, false_findings },
            lesions: LesionThreshold {
                threshold: chosen.threshold,
                mean_dice: chosen.averaged_dice,
                family: injector.family(),
                copies: self.copies.cases(),
            },
            scans: self.scans,
            left_out: self.left_out,
            alarm_scores: self.alarm_scores,
        })
    }
}
