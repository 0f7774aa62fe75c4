//! [`Pipeline`]: runs done by the pipeline itself, training and detection.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use disyre::core::Key;
use disyre::core::ndarray::{Array3, ArrayView3};
use disyre::diffusion::{Device, Engine, TRAINING_FILE, TrainEvent};
use disyre::score::ScoreHistogram;
use disyre::volume::{Image, ImageOptions, nonzero_mask, read_mask};
use disyre::{
    BrainFinder, BrainMask, Calibration, CalibrationRequest, CaseReport, CaseTruth, Cohort,
    DetectRequest, EvaluateConfig, LoadOptions, Model, ModelFolder, PrepareConfig, RunConfig, Scan,
    SkullPolicy, TissueConfig, Training,
};

use crate::measures::BINS;
use crate::{
    CalibrationTask, CaseTask, ExperimentError, MeasuredCase, TestCase, TrainingEnd, TrainingTask,
    Worker,
};

/// Trains with [`disyre::train()`], maps with [`Model`], measures with [`Evaluator`](disyre::Evaluator).
///
/// The last cohort and the last model stay in memory, for the runs that share them.
#[derive(Debug)]
pub struct Pipeline<'a> {
    device: Device,
    stop: Option<&'a AtomicBool>,
    cohort: Option<(CohortSettings, Cohort)>,
    model: Option<(ModelKey, Model)>,
    brains: BrainFinder,
}

impl<'a> Pipeline<'a> {
    /// Networks on a device; `stop` ends a training as [`Training::stop`] says.
    pub fn new(device: Device, stop: Option<&'a AtomicBool>) -> Self {
        Self { device, stop, cohort: None, model: None, brains: BrainFinder::default() }
    }
}

/// Folder of a model, its engine, and the folder of its calibration.
type ModelKey = (PathBuf, Engine, Option<PathBuf>);

/// Files and settings that a prepared cohort depends on.
#[derive(Debug, Clone, PartialEq)]
struct CohortSettings {
    healthy: Vec<PathBuf>,
    seed: u64,
    prepare: PrepareConfig,
    hold_out: usize,
    places: Option<PathBuf>,
    segmented: TissueConfig,
}

impl CohortSettings {
    fn of(task: &TrainingTask<'_>) -> Self {
        let (config, tissue) = (task.config, &task.config.tissue);
        Self {
            healthy: task.healthy.to_vec(),
            seed: config.seed,
            prepare: config.prepare.clone(),
            hold_out: config.pairs.hold_out,
            places: config.pairs.places.clone(),
            // Classes are fitted to a prepared cohort.
            segmented: TissueConfig {
                model: tissue.model,
                segmentations: tissue.segmentations.clone(),
                ..TissueConfig::default()
            },
        }
    }
}

impl Worker for Pipeline<'_> {
    fn train(
        &mut self,
        task: &TrainingTask<'_>,
        observer: &mut dyn FnMut(&TrainEvent),
    ) -> Result<TrainingEnd, ExperimentError> {
        let TrainingTask { config, folder, .. } = *task;
        if is_trained(folder, config)? {
            return Ok(TrainingEnd::Finished);
        }
        clear_unless_resumable(folder)?;
        self.model = None;
        let (stop, device) = (self.stop, self.device.clone());
        let cohort = self.cohort(task)?;
        let new = Training::new(cohort, config, folder);
        let training = Training { resume: true, stop, device, ..new };
        let report = disyre::train(&training, &mut |event| observer(&event))?;
        Ok(match report.finished {
            true => TrainingEnd::Finished,
            false => TrainingEnd::Stopped { step: report.steps },
        })
    }

    fn calibrate(&mut self, task: &CalibrationTask<'_>) -> Result<(), ExperimentError> {
        let CalibrationTask { config, model, healthy, folder } = *task;
        if folder.join("calibration.json").is_file() {
            return Ok(());
        }
        let (options, skull) = (config.detect_options(), config.prepare.skull);
        let request = CalibrationRequest { healthy, options, skull };
        let model = self.model(model, config.detect.engine, None)?;
        Ok(Calibration::fit(model, &request, &mut |_| ())?.save(folder)?)
    }

    fn measure(&mut self, task: &CaseTask<'_>) -> Result<MeasuredCase, ExperimentError> {
        let started = Instant::now();
        let CaseTask { config, model, calibration, case, maps } = *task;
        let brains = self.brains.clone();
        let model = self.model(model, config.detect.engine, calibration)?;
        let mask = case.mask.as_deref();
        let may_be_head = config.prepare.skull == SkullPolicy::Strip;
        let options = ImageOptions { mask, may_be_head, ..ImageOptions::default() };
        let Image { scan, mask, .. } =
            Image::read(&case.scan, &options).map_err(disyre::Error::from)?;
        let truth = truth(case, (&scan, mask), config, &brains)?;
        let voxels = truth.brain.as_ref().map(|brain| brain.view());
        let request = DetectRequest {
            options: Some(config.detect_options()),
            brain: voxels.map(|voxels| BrainMask { voxels, path: case.mask.as_deref() }),
            skull: config.prepare.skull,
            started: Some(started),
            ..DetectRequest::default()
        };
        let found = model.detect_with(&scan, &request, &mut |_, _| ())?;
        if let Some(folder) = maps {
            found.save(folder)?;
        }
        let (report, counts) = measured(&truth, found.detection.score.view())?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(MeasuredCase { report, seconds, counts: Some(counts) })
    }
}

impl Pipeline<'_> {
    fn cohort(&mut self, task: &TrainingTask<'_>) -> Result<&Cohort, ExperimentError> {
        let settings = CohortSettings::of(task);
        let same = self.cohort.take().filter(|(of, _)| *of == settings);
        let cohort = match same {
            Some((_, cohort)) => cohort,
            None => {
                // As `disyre train` draws those that validate.
                let key = Key::new(task.config.seed).child("cohort");
                Cohort::read(task.healthy, task.config, key)?
            }
        };
        Ok(&self.cohort.insert((settings, cohort)).1)
    }

    /// A model with the calibration of another folder, or without any.
    fn model(
        &mut self,
        folder: &Path,
        engine: Engine,
        calibration: Option<&Path>,
    ) -> Result<&Model, ExperimentError> {
        let key = (folder.to_owned(), engine, calibration.map(Path::to_owned));
        let same = self.model.take().filter(|(of, _)| *of == key);
        let model = match same {
            Some((_, model)) => model,
            None => {
                let device = self.device.clone();
                let options = LoadOptions { device, engine: Some(engine), uncalibrated: true };
                let calibration = calibration.map(Calibration::load).transpose()?;
                ModelFolder::open(folder)?.load(&options)?.with_calibration(calibration)?
            }
        };
        Ok(&self.model.insert((key, model)).1)
    }
}

/// Whether a folder holds a finished training with these settings.
fn is_trained(folder: &Path, config: &RunConfig) -> Result<bool, ExperimentError> {
    if !folder.join("run.json").is_file() || !folder.join(TRAINING_FILE).is_file() {
        return Ok(false);
    }
    let report = ModelFolder::open(folder)?.report()?;
    Ok(report.is_some_and(|report| report.finished && report.steps == config.train.steps))
}

/// Removes what a training left that was killed before its first checkpoint was whole: it cannot be resumed.
fn clear_unless_resumable(folder: &Path) -> Result<(), ExperimentError> {
    if folder.is_dir() && !folder.join(TRAINING_FILE).is_file() {
        fs::remove_dir_all(folder).map_err(ExperimentError::io("remove", folder))?;
    }
    Ok(())
}

/// Label and brain of a case on its scan's grid. The brain is its mask, the one that the skull policy extracts, or where
/// the scan is not 0; without a label, no voxel is lesion.
fn truth(
    case: &TestCase,
    (scan, mask): (&Scan, Option<Array3<u8>>),
    config: &RunConfig,
    brains: &BrainFinder,
) -> Result<CaseTruth, ExperimentError> {
    let read = |path: &PathBuf| read_mask(path, scan).map_err(disyre::Error::from);
    let brain = match mask {
        Some(mask) => mask,
        None => match brains.brain_of(config.prepare.skull, &scan.volume)? {
            Some(brain) => brain.mask,
            None => nonzero_mask(scan.volume.data.view()),
        },
    };
    let label = case.label.as_ref().map(read).transpose()?;
    Ok(CaseTruth {
        name: case.name.clone(),
        label: label.unwrap_or_else(|| Array3::zeros(brain.raw_dim())),
        brain: Some(brain),
        spacing_mm: scan.volume.grid.spacing_mm(),
    })
}

/// Measures of a map, and its voxels by score.
fn measured(
    truth: &CaseTruth,
    score: ArrayView3<'_, f32>,
) -> Result<(CaseReport, ScoreHistogram), ExperimentError> {
    let report = EvaluateConfig::default().build()?.measure(truth, score)?.report;
    let (scores, labels) = truth.voxels(score)?;
    let mut counts = BINS.build()?;
    counts.add(&scores, &labels)?;
    Ok((report, counts))
}
