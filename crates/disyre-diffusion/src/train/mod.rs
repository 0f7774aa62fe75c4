//! Training from any source of pairs.

mod adamw;
mod batches;
mod checkpoint;
mod config;
mod log;
mod queue;
mod trainer;
mod validation;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use disyre_core::{Key, PairSource};
use serde::{Deserialize, Serialize};

use checkpoint::Settings;
use log::TrainLog;
use trainer::Trainer;
use validation::Validation;

pub use batches::{Batch, Batches};
pub use config::TrainConfig;
pub use log::LOG_FILE;
pub use queue::BatchQueue;
pub use validation::{MapErrors, ValidationErrors};

use crate::engine::StepResult;
use crate::model::{EMA_FILE, MODEL_FILE, TRAINING_FILE};
use crate::{Device, DiffusionError, ModelConfig, Parameters, Schedule};

/// All that a run of training needs.
#[derive(Clone)]
pub struct TrainRun<'a> {
    /// How to train.
    pub config: &'a TrainConfig,
    /// The model to train.
    pub model: &'a ModelConfig,
    /// Pairs to learn from; step s uses the pairs s·batch to (s + 1)·batch.
    pub pairs: &'a dyn PairSource,
    /// Pairs to judge by; 0 to `validation_pairs` are used.
    pub validation: &'a dyn PairSource,
    /// Folder of the model; made if it is not there.
    pub dir: &'a Path,
    /// Weights to start from, of the model's network, such as [`initial_parameters`](crate::initial_parameters); none: they
    /// are drawn from the seed. Of no effect where a run goes on from a checkpoint.
    pub initial: Option<&'a Parameters>,
    /// Whether to go on where the folder's last checkpoint stopped. Without a checkpoint, a run starts afresh, and replaces
    /// weights that it finds.
    pub resume: bool,
    /// Set it to true, from anywhere, to end the run after the current step with a checkpoint.
    pub stop: Option<&'a AtomicBool>,
    /// The device to compute on.
    pub device: Device,
}

impl fmt::Debug for TrainRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainRun")
            .field("config", self.config)
            .field("model", self.model)
            .field("dir", &self.dir)
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}

/// An event of a run, in order; steps count from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrainEvent {
    /// The run begins or goes on.
    Started {
        /// Steps that a checkpoint has already gone.
        step: u64,
        /// Steps of the whole run.
        steps: u64,
    },
    /// A step was taken.
    Step {
        /// Its number.
        step: u64,
        /// Mean squared error of the batch over all channels of the network's output, before the step.
        loss: f64,
        /// Norm of the gradient, before clipping.
        grad_norm: f64,
        /// The learning rate used.
        learning_rate: f64,
        /// Wall-clock time since the last step, waiting for pairs included.
        seconds: f64,
    },
    /// The validation pairs were restored.
    Validation {
        /// After which step.
        step: u64,
        /// Mean squared errors.
        errors: ValidationErrors,
    },
    /// The state was saved.
    Checkpoint {
        /// After which step.
        step: u64,
    },
}

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSummary {
    /// Steps gone, those before a resumption included.
    pub step: u64,
    /// Whether all steps were gone; if not, the run was asked to stop and can be resumed.
    pub finished: bool,
    /// Mean squared error of the last batch; none if no step was left to take.
    pub loss: Option<f64>,
    /// The last validation of this call.
    pub validation: Option<ValidationErrors>,
    /// Wall-clock time of this call.
    pub seconds: f64,
}

/// Trains a network on pairs of corrupted and clean images, and leaves a model's folder.
///
/// The folder holds `config.json`, `model.safetensors`, `ema.safetensors` (if an average is kept),
/// `training.safetensors` (all that a resumption needs) and `train.jsonl` (every event). Files are whole at any time.
/// On the CPU the weights are a function of configuration and pairs: threads do not matter, and a run that was
/// stopped and resumed ends with the same bytes.
///
/// # Errors
/// [`DiffusionError`]: an impossible configuration, a folder already in use, other settings than those of the run to
/// resume, a source of pairs that fails, a loss that is not finite (the last checkpoint is kept), or a failing file.
///
/// # Source
/// The published recipe of DISYRE (arXiv 2311.15453): mean squared error between restoration and clean image over the
/// whole patch, AdamW, clipping, warm-up and cosine; see [`TrainConfig`].
pub fn train(
    run: &TrainRun<'_>,
    observer: &mut dyn FnMut(TrainEvent),
) -> Result<TrainSummary, DiffusionError> {
    run.config.ensure_valid()?;
    run.model.ensure_valid()?;
    let mut run = ActiveRun::open(run, observer)?;
    run.run()?;
    Ok(run.summary())
}

struct ActiveRun<'a, 'o> {
    run: &'a TrainRun<'a>,
    settings: Settings,
    schedule: Schedule,
    trainer: Trainer,
    validation: Validation,
    log: TrainLog,
    observer: &'o mut dyn FnMut(TrainEvent),
    started: Instant,
    loss: Option<f64>,
    errors: Option<ValidationErrors>,
}

impl<'a, 'o> ActiveRun<'a, 'o> {
    fn open(
        run: &'a TrainRun<'a>,
        observer: &'o mut dyn FnMut(TrainEvent),
    ) -> Result<Self, DiffusionError> {
        let started = Instant::now();
        let settings = Settings { model: run.model.clone(), train: run.config.clone() };
        let schedule = run.model.schedule.build()?;
        let trainer = trainer(run, &settings)?;
        std::fs::create_dir_all(run.dir).map_err(DiffusionError::file(run.dir))?;
        let pairs = Batches::new(run.validation, shape(run.model), run.config.batch);
        let (count, batch, map) =
            (run.config.validation_pairs, run.config.batch, run.model.corruption_map()?);
        let validation = Validation::new(pairs, count, batch, map)?;
        let log = TrainLog::open(run.dir, trainer.steps())?;
        run.model.save(run.dir)?;
        let (loss, errors) = (None, None);
        Ok(Self {
            run,
            settings,
            schedule,
            trainer,
            validation,
            log,
            observer,
            started,
            loss,
            errors,
        })
    }

    fn run(&mut self) -> Result<(), DiffusionError> {
        let config = self.run.config;
        let steps = self.trainer.steps()..config.steps;
        self.emit(TrainEvent::Started { step: steps.start, steps: steps.end })?;
        if steps.is_empty() {
            // It ended between its last checkpoint and its record.
            self.errors = Some(self.validation.errors(&self.trainer, &self.schedule)?);
        }
        let batches = Batches::new(self.run.pairs, shape(self.run.model), config.batch);
        std::thread::scope(|scope| {
            let make = move |step| batches.of_step(step);
            let mut queue = BatchQueue::new(scope, steps.clone(), Batches::DEPTH, make);
            for _ in steps {
                let started = Instant::now();
                // The queue ends early only if the maker of pairs panics, which the scope passes on.
                let Some(batch) = queue.next() else { break };
                let learning_rate = config.learning_rate_at(self.trainer.steps());
                let result = self.trainer.step(&batch?, &self.schedule, config)?;
                self.stepped(result, learning_rate, started)?;
                if self.follow_up()? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn stepped(
        &mut self,
        result: StepResult,
        learning_rate: f64,
        started: Instant,
    ) -> Result<(), DiffusionError> {
        self.loss = Some(result.loss);
        self.emit(TrainEvent::Step {
            step: self.trainer.steps(),
            loss: result.loss,
            grad_norm: result.grad_norm,
            learning_rate,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Validates and saves where due; tells whether to stop.
    fn follow_up(&mut self) -> Result<bool, DiffusionError> {
        let (config, step) = (self.run.config, self.trainer.steps());
        let stop = self.run.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        let last = step == config.steps;
        if last || step.is_multiple_of(config.validation_every) {
            let errors = self.validation.errors(&self.trainer, &self.schedule)?;
            self.errors = Some(errors);
            self.emit(TrainEvent::Validation { step, errors })?;
        }
        if last || stop || step.is_multiple_of(config.checkpoint_every) {
            self.settings.save(self.run.dir, &self.trainer)?;
            self.emit(TrainEvent::Checkpoint { step })?;
        }
        Ok(stop)
    }

    /// Logs an event and shows it. A log that can't be written ends the run, with a checkpoint if that can be written.
    fn emit(&mut self, event: TrainEvent) -> Result<(), DiffusionError> {
        let logged = self.log.write(&event);
        if logged.is_err()
            && matches!(event, TrainEvent::Step { .. } | TrainEvent::Validation { .. })
        {
            self.settings.save(self.run.dir, &self.trainer)?;
        }
        logged?;
        (self.observer)(event);
        Ok(())
    }

    fn summary(&self) -> TrainSummary {
        TrainSummary {
            step: self.trainer.steps(),
            finished: self.trainer.steps() >= self.run.config.steps,
            loss: self.loss,
            validation: self.errors,
            seconds: self.started.elapsed().as_secs_f64(),
        }
    }
}

fn trainer(run: &TrainRun<'_>, settings: &Settings) -> Result<Trainer, DiffusionError> {
    // Weights without a checkpoint are those of a run that ended while it wrote its first one.
    let used = [TRAINING_FILE, MODEL_FILE, EMA_FILE].iter().any(|name| run.dir.join(name).exists());
    match (run.dir.join(TRAINING_FILE).exists(), run.resume) {
        (true, true) => settings.resume(run.dir, &run.device),
        (_, false) if used => Err(DiffusionError::AlreadyTrained { dir: run.dir.to_path_buf() }),
        _ => {
            let key = Key::new(run.config.seed).child("weights");
            let parameters = match run.initial {
                Some(initial) if *initial.network() == run.model.network => Cow::Borrowed(initial),
                Some(initial) => {
                    let expected = "that of the model to train";
                    return Err(DiffusionError::config(
                        "the network of the initial weights",
                        expected,
                        initial.network(),
                    ));
                }
                None => Cow::Owned(Parameters::seeded(&run.model.network, key)?),
            };
            Trainer::new(&parameters, settings, &run.device)
        }
    }
}

/// Shape of a pair's images, `(c, z, y, x)`.
fn shape(model: &ModelConfig) -> [usize; 4] {
    let [z, y, x] = model.patch;
    [model.network.in_channels, z, y, x]
}
