//! `disyre calibrate`: healthy maps for a model's calibrated score, and its thresholds.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use disyre::core::Severity;
use disyre::score::ScoreError;
use disyre::volume::subject_of;
use disyre::{
    Calibration, CalibrationConfig, CalibrationRequest, CalibrationScans, ChannelConfig,
    DetectConfig, Family, LesionCase, LoadOptions, Model, ModelFolder, RunConfig, SkullPolicy,
    ThresholdConfig, ThresholdRequest, Thresholds, WeightRequest, split_scans,
};

use super::atlas::healthy_scans;
use crate::arguments::{
    DeviceArguments, PrecisionArguments, SkullArguments, ThreadArguments, open_model,
};
use crate::config::over;
use crate::error::CliError;
use crate::map_pairs::{MapPair, read_pairs};
use crate::output_files::ensure_writable;
use crate::progress::Progress;

const OUTPUTS: &str = "\
The folder calibration/ in the model's folder, in place of an earlier one: calibration.json (settings, scans, SHA-256 of the
weights and of each file), and mean and deviation of healthy scans on grids of the MNI152 template.
Half of the subjects that did not train the model set thresholds and alarm scores, all other scans make the maps; with fewer
than 9 scans for thresholds there are none (docs/CALIBRATION.md).
Scans whose registration is doubtful are left out and named. `disyre detect` then uses the calibrated score.
Settings are those of `detect` in the model's run.toml if they have a table `detect.calibrated`; if not, whole slices at
severities 0.27, 0.5 and 0.73.";

/// Arguments of `disyre calibrate`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Calibrate {
    /// Healthy scans, or folders of them, skull-stripped (or whole heads, with --strip); best those that did not train
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., required = true)]
    healthy: Vec<PathBuf>,
    /// Folder of a trained model
    #[arg(short, long, value_name = "MODEL_DIR")]
    model: PathBuf,
    /// A table `pairs.csv` of scans with known lesions (columns scan,label), such as `disyre implant` writes: the weights of
    /// the score are fitted to them (docs/CALIBRATION.md); of other persons than the healthy scans and those that trained
    #[arg(long, value_name = "FILE")]
    lesions: Option<PathBuf>,
    /// A TOML file of settings that differ, of `detect` alone, as `detect.calibrated.residual.more = 1.0`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Share of a healthy brain's voxels that the healthy threshold may mark on average
    #[arg(long, value_name = "SHARE", default_value_t = ThresholdConfig::default().false_voxels)]
    false_voxels: f64,
    /// Number of findings that the healthy threshold may mark in a healthy scan on average
    #[arg(long, value_name = "N", default_value_t = ThresholdConfig::default().false_findings)]
    false_findings: f64,
    /// Least volume of a finding in mm³: smaller ones are left out
    #[arg(long, value_name = "MM3", default_value_t = ThresholdConfig::default().least_volume_mm3)]
    least_volume: f64,
    /// Of a finding, only what scores at least this share of its greatest score is kept; 0: all from the threshold on
    #[arg(long, value_name = "SHARE", default_value_t = ThresholdConfig::default().peak_share)]
    peak_share: f64,
    /// Leave out scans of persons who trained the model
    #[arg(long)]
    held_out: bool,
    #[command(flatten)]
    skull: SkullArguments,
    #[command(flatten)]
    precision: PrecisionArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

/// Severities of the restorations where the model's settings have no calibration.
const SEVERITIES: [Severity; 3] = [severity(0.27), severity(0.5), severity(0.73)];

const fn severity(value: f32) -> Severity {
    match Severity::new(value) {
        Ok(severity) => severity,
        Err(_) => panic!("a severity is in [0, 1]"),
    }
}

impl Calibrate {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        ensure_writable(&self.model)?;
        ensure_writable(&self.model.join("calibration"))?;
        let folder = open_model(&self.model)?;
        let config = self.settings(folder.config())?;
        config.check()?;
        self.threshold_config().check()?;
        let healthy = self.scans(&folder)?;
        let trained = folder.trained()?;
        let split = split_scans(&healthy, &trained, ThresholdConfig::least_scans());
        note_unused(&split);
        let lesions = self.lesion_cases()?;
        let skull = self.skull.policy().unwrap_or(config.prepare.skull);
        let weights = WeightRequest { cases: &lesions, skull };
        // Those behind the maps are closer to these than new ones, those that set thresholds would no longer be like new ones,
        // and those that trained are restored better.
        let healthy = split.maps.iter().chain(&split.thresholds).map(PathBuf::as_path);
        weights.ensure_others(healthy.chain(trained.iter().map(Path::new)))?;
        let device = self.device.select()?;
        let engine = self.precision.engine();
        let model = folder.load(&LoadOptions { device, engine, uncalibrated: true })?;
        let request =
            CalibrationRequest { healthy: &split.maps, options: config.detect_options(), skull };
        let mut progress = Progress::new("calibrating", split.maps.len() as u64);
        let fitted = Calibration::fit(&model, &request, &mut |done| {
            progress.set(done as u64, split.maps.len() as u64, || "scans".to_owned());
        });
        progress.finish();
        let calibration = fitted?;
        report(&calibration);
        let calibration = match lesions.is_empty() {
            true => calibration,
            false => weighed(calibration, &model, &weights)?,
        };
        let thresholds = self.thresholds(&model, &calibration, &split.thresholds, skull)?;
        let calibration = calibration.with_thresholds(thresholds);
        calibration.save_in(&self.model)?;
        let (used, given) = (calibration.scans().len(), split.maps.len());
        print_line!("calibrated by {used} of {given} scans → {}", self.model.display());
        Ok(())
    }

    fn threshold_config(&self) -> ThresholdConfig {
        let Self { false_voxels, false_findings, least_volume, peak_share, .. } = *self;
        ThresholdConfig { false_voxels, false_findings, least_volume_mm3: least_volume, peak_share }
    }

    /// Thresholds by healthy scans; none if they are too few, which is said.
    fn thresholds(
        &self,
        model: &Model,
        calibration: &Calibration,
        scans: &[PathBuf],
        skull: SkullPolicy,
    ) -> Result<Option<Thresholds>, CliError> {
        if scans.is_empty() {
            let needed = 2 * ThresholdConfig::least_scans();
            note!(
                "no thresholds: scans of {needed} subjects that did not train the model are needed; \
                 all scans make maps"
            );
            return Ok(None);
        }
        let request = ThresholdRequest { scans, config: self.threshold_config(), skull };
        let mut progress = Progress::new("thresholds", scans.len() as u64);
        let fitted = Thresholds::fit(model, calibration, &request, &mut |done| {
            progress.set(done as u64, scans.len() as u64, || "scans".to_owned());
        });
        progress.finish();
        match fitted {
            Ok(thresholds) => {
                report_thresholds(&thresholds);
                Ok(Some(thresholds))
            }
            Err(disyre::Error::Score(error @ ScoreError::TooFewHealthy { .. })) => {
                note!("no thresholds: {error}");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The model's settings, those of `detect` changed by the file.
    fn settings(&self, of_model: &RunConfig) -> Result<RunConfig, CliError> {
        let mut base = of_model.clone();
        if base.detect.calibrated.is_none() {
            base.detect = DetectConfig {
                severities: SEVERITIES.to_vec(),
                whole_slices: true,
                calibrated: Some(CalibrationConfig::default()),
                ..base.detect
            };
        }
        let Some(path) = &self.config else { return Ok(base) };
        let config = over(&base, path)?;
        let trained = RunConfig { detect: config.detect.clone(), ..base };
        match config.first_difference(&trained) {
            None => Ok(config),
            Some(key) => Err(CliError::NotOfDetection { path: path.clone(), key }),
        }
    }

    /// The scans with lesions that weights are fitted to; none without such a table.
    fn lesion_cases(&self) -> Result<Vec<LesionCase>, CliError> {
        let Some(path) = &self.lesions else { return Ok(Vec::new()) };
        let case = |pair: MapPair| match pair.scan {
            Some(scan) => Ok(LesionCase { scan, label: pair.label, person: pair.subject }),
            None => Err(CliError::NoScanColumn { path: path.clone() }),
        };
        read_pairs(path)?.into_iter().map(case).collect()
    }

    /// The healthy scans, in order.
    fn scans(&self, model: &ModelFolder) -> Result<Vec<PathBuf>, CliError> {
        let of = |path: &PathBuf| {
            if path.is_dir() { healthy_scans(path) } else { Ok(vec![path.clone()]) }
        };
        let mut scans: Vec<PathBuf> =
            self.healthy.iter().map(of).collect::<Result<Vec<_>, _>>()?.concat();
        if self.held_out {
            let trained = model.trained()?;
            let trained: HashSet<String> =
                trained.iter().map(|name| subject_of(Path::new(name))).collect();
            scans.retain(|scan| !trained.contains(&subject_of(scan)));
        }
        match scans.is_empty() {
            true => Err(CliError::OnlyTrained { model: self.model.clone() }),
            false => Ok(scans),
        }
    }
}

/// The calibration with weights that are fitted to scans with lesions.
fn weighed(
    calibration: Calibration,
    model: &Model,
    request: &WeightRequest<'_>,
) -> Result<Calibration, CliError> {
    let all = request.cases.len() as u64;
    let mut progress = Progress::new("weights", all);
    let fitted = calibration.with_lesion_weights(model, request, &mut |done| {
        progress.set(done as u64, all, || "scans".to_owned());
    });
    progress.finish();
    let (calibration, scans) = fitted?;
    for scan in &scans.doubtful {
        note!("left out: {}: its registration is doubtful", scan.display());
    }
    for scan in &scans.too_small {
        note!("left out: {}: its lesions have fewer than 10 voxels of 2 mm", scan.display());
    }
    print_line!("weights of the channels fitted to {} of {all} scans with lesions", scans.used);
    let config = calibration.detect_config().calibrated.clone().unwrap_or_default();
    for channel in calibration.channels() {
        let ChannelConfig { less, more, around, across, .. } = *config.channel(channel);
        let [around, across] =
            [around, across].map(|at| format!("less {:.3}, more {:.3}", at.less, at.more));
        print_line!(
            "  {channel:?}: less {less:.3}, more {more:.3}; around {around}; across the midline {across}"
        );
    }
    Ok(calibration)
}

/// Says which scans serve neither maps nor thresholds.
fn note_unused(split: &CalibrationScans) {
    if let Some(first) = split.unused.first() {
        note!(
            "not used: {} further scans of subjects with one scan for thresholds, such as {}",
            split.unused.len(),
            first.display()
        );
    }
}

/// Names the scans that a reader of the calibration should know of.
fn report(calibration: &Calibration) {
    for scan in calibration.left_out() {
        note!("left out: {}: its registration is {}", scan.file.name, scan.registration);
    }
    let (trained, all) = (calibration.trained().len(), calibration.scans().len());
    if trained > 0 {
        note!(
            "warning: {trained} of {all} scans trained the network, which restores them better than new ones; \
             give others, or leave them out (--held-out)"
        );
    }
}

/// Prints both operating points.
fn report_thresholds(thresholds: &Thresholds) {
    for scan in &thresholds.left_out {
        note!("left out: {}: its registration is {}", scan.file.name, scan.registration);
    }
    let Thresholds { healthy, lesions, least_volume_mm3, peak_share, scans, .. } = thresholds;
    print_line!(
        "healthy threshold {:.4}, by {} scans: on average at most {} % of a healthy brain (from {:.4} on) and {} findings \
         of {least_volume_mm3} mm³ (from {:.4} on)",
        healthy.threshold,
        scans.len(),
        100.0 * healthy.false_voxels.rate,
        healthy.false_voxels.threshold,
        healthy.false_findings.rate,
        healthy.false_findings.threshold,
    );
    print_line!(
        "lesion threshold {:.4}: mean Dice {:.3} on {} copies with synthetic anomalies ({})",
        lesions.threshold,
        lesions.mean_dice,
        lesions.copies,
        lesions.family.name()
    );
    print_line!("of a finding, what scores at least {} % of its peak is kept", 100.0 * peak_share);
    if lesions.family == Family::DagNoTissue {
        note!(
            "note: the model has no classes of tissue (tissue.json), so that these anomalies change none by itself"
        );
    }
}
