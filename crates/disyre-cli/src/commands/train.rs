//! `disyre train`: a model of healthy scans, and the progress of its training.

use std::path::{Path, PathBuf};

use clap::Args;
use disyre::core::Key;
use disyre::diffusion::TrainEvent;
use disyre::{Cohort, ModelFolder, RunConfig, TrainReport, Training, TrainingFolder};

use crate::anomaly_arguments::AnomalyArguments;
use crate::arguments::{
    DeviceArguments, PrecisionArguments, SkullArguments, ThreadArguments, open_model,
};
use crate::config::ConfigArguments;
use crate::error::CliError;
use crate::interrupt;
use crate::progress::Progress;

/// Arguments of `disyre train`.
///
/// Ctrl-C ends it after the current step, with a checkpoint; so does a terminal that closes, unless it runs under nohup.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Folder of healthy scans (.nii, .nii.gz), skull-stripped (background exactly 0) or whole heads, with --strip
    #[arg(long, value_name = "DIR")]
    healthy: PathBuf,
    /// Folder of the model: weights, settings, logs
    #[arg(short, long, value_name = "MODEL_DIR")]
    output: PathBuf,
    #[command(flatten)]
    config: ConfigArguments,
    /// Steps of training, in place of the settings'
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    steps: Option<u64>,
    /// Start from the weights of this model in place of random ones, to fine-tune it or to give it a corruption map; its
    /// settings stand in for the preset unless one is given, its network has to be the same
    #[arg(long, value_name = "MODEL_DIR")]
    from: Option<PathBuf>,
    /// Continue the training that the folder holds from its last checkpoint, with the folder's settings unless others are given
    #[arg(long)]
    resume: bool,
    /// Compute results within blocks anew for the gradient: less memory, more time, the same weights
    #[arg(long)]
    recompute: bool,
    #[command(flatten)]
    skull: SkullArguments,
    #[command(flatten)]
    anomaly: AnomalyArguments,
    #[command(flatten)]
    precision: PrecisionArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl Train {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        let from = self.from.as_deref().map(open_model).transpose()?;
        let config = self.settings(from.as_ref())?;
        config.check()?;
        // A network that does not fit is found out before the cohort is prepared.
        let initial = from.as_ref().map(|from| from.initial_weights(&config)).transpose()?;
        let claim = self.claim()?;
        let device = self.device.select()?;
        let cohort = load_cohort(&self.healthy, &config)?;
        let training = Training {
            cohort: &cohort,
            config: &config,
            folder: &self.output,
            from: initial.as_ref(),
            resume: self.resume,
            claim: Some(&claim),
            stop: Some(interrupt::flag()?),
            device,
        };
        let report = train_visibly(&training)?;
        if !report.finished {
            return Err(CliError::Interrupted { folder: self.output.clone(), step: report.steps });
        }
        print_line!("trained: {} steps → {}", report.steps, self.output.display());
        Ok(())
    }

    /// Claims the folder of the model: an empty one, or with `--resume` one that holds a training.
    fn claim(&self) -> Result<TrainingFolder, CliError> {
        let claim = TrainingFolder::claim(&self.output)?;
        let folder = self.output.clone();
        match self.resume {
            true if !claim.has_training() => Err(CliError::NothingToResume { folder }),
            false if !claim.is_empty() => {
                let alternative = "continue its training with --resume";
                Err(CliError::NotEmpty { folder, alternative })
            }
            _ => Ok(claim),
        }
    }

    /// Preset < file < argument; in place of the preset, a resumed run stands on its own settings, and one that starts from
    /// another model on those of that model.
    fn settings(&self, from: Option<&ModelFolder>) -> Result<RunConfig, CliError> {
        let earlier = self.output.join("run.toml");
        let mut config = if self.resume && self.config.is_default() && earlier.exists() {
            self.config.resolve_over(RunConfig::load(&earlier)?)?
        } else {
            match from.filter(|_| self.config.preset.is_none()) {
                Some(from) => self.config.resolve_over(from.config().clone())?,
                None => self.config.resolve()?,
            }
        };
        self.anomaly.over(&mut config);
        self.skull.over(&mut config);
        config.train.steps = self.steps.unwrap_or(config.train.steps);
        config.train.engine = self.precision.engine().unwrap_or(config.train.engine);
        config.train.recompute |= self.recompute;
        Ok(config)
    }
}

/// Reads the healthy scans and prints how many train and validate.
pub(super) fn load_cohort(folder: &Path, config: &RunConfig) -> Result<Cohort, CliError> {
    let key = Key::new(config.seed).child("cohort");
    let cohort = Cohort::load(folder, config, key)?;
    let (training, validation) = (cohort.training.len(), cohort.validation.len());
    note!("cohort: {training} scans train, {validation} validate");
    Ok(cohort)
}

/// Trains and shows the progress.
pub(super) fn train_visibly(training: &Training<'_>) -> Result<TrainReport, CliError> {
    let steps = training.config.train.steps;
    let mut progress = Progress::new("step", steps);
    let report = disyre::train(training, &mut |event| show(&mut progress, steps, &event))?;
    progress.finish();
    Ok(report)
}

/// Shows an event of a training of so many steps.
pub(super) fn show(progress: &mut Progress, steps: u64, event: &TrainEvent) {
    match event {
        TrainEvent::Started { step, .. } if *step > 0 => {
            progress.note(&format!("resumed after step {step}"));
        }
        TrainEvent::Step { step, loss, seconds, .. } => {
            progress.set(*step, steps, || format!("loss {loss:.5}, {seconds:.2} s a step"));
        }
        TrainEvent::Validation { step, errors } => {
            let map = errors.map.map(|map| {
                let error = map.ema.unwrap_or(map.raw);
                format!("; corruption map {error:.5} (constant: {:.5})", map.constant)
            });
            progress.note(&format!(
                "validation after step {step}: error {:.5} (unrestored: {:.5}){}",
                errors.ema.unwrap_or(errors.raw),
                errors.unrestored,
                map.unwrap_or_default()
            ));
        }
        _ => {}
    }
}
