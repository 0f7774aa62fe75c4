//! [`Engine`]: goes through the runs of a plan, leaves out what the store holds, and keeps what is new.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use disyre::diffusion::TrainEvent;

use crate::{
    CaseTask, ExperimentError, ModelSource, Plan, Progress, Results, Run, RunMeasures, RunState,
    SetMeasures, Store, TestSet, TrainingEnd, TrainingTask, Worker,
};

/// Goes through the runs of a plan.
#[derive(Debug)]
pub struct Engine<'a> {
    /// The runs.
    pub plan: &'a Plan,
    /// Where they are kept.
    pub store: &'a Store,
    /// Set to true from another thread, it ends the work: a training after its step, with a checkpoint, a detection
    /// after its case.
    pub stop: Option<&'a AtomicBool>,
}

/// What happens in an experiment, in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A run begins, or is finished already.
    Run {
        /// The run.
        run: &'a Run,
        /// Counts from 1.
        number: usize,
        /// Number of all runs.
        of: usize,
        /// True if the store holds its measures already.
        finished: bool,
    },
    /// A training goes on.
    Training(&'a TrainEvent),
    /// Cases are measured, or were already.
    Cases {
        /// How many of the run.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// A run failed; the others go on.
    Failed {
        /// The run.
        run: &'a Run,
        /// The reason.
        error: &'a ExperimentError,
    },
}

/// Outcome of an experiment.
#[derive(Debug)]
pub struct Outcome {
    /// Summary of the runs that are finished.
    pub results: Results,
    /// Names of the runs that failed, with the reasons.
    pub failed: Vec<(String, ExperimentError)>,
}

impl Engine<'_> {
    /// Does all runs that the store does not hold, and writes the results after each.
    ///
    /// A run that fails does not keep the others from being done.
    ///
    /// # Errors
    /// [`ExperimentError::Changed`] before any work; [`ExperimentError::Stopped`] where somebody asked for the end;
    /// files of the store that cannot be written or read.
    pub fn run(
        &self,
        worker: &mut dyn Worker,
        observer: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome, ExperimentError> {
        let runs = &self.plan.runs;
        let mut states =
            runs.iter().map(|run| self.store.begin(run)).collect::<Result<Vec<_>, _>>()?;
        let (mut failed, mut trainings) = (Vec::new(), HashMap::new());
        for (index, run) in runs.iter().enumerate() {
            let finished = states[index] != RunState::Open;
            observer(&Event::Run { run, number: index + 1, of: runs.len(), finished });
            if finished {
                continue;
            }
            match self.run_one(run, worker, &mut trainings, observer) {
                Ok(measures) => {
                    self.store.finish(run, &measures)?;
                    states[index] = RunState::Finished(measures);
                    self.write_results(&states)?;
                }
                Err(error @ ExperimentError::Stopped { .. }) => return Err(error),
                Err(error) => {
                    observer(&Event::Failed { run, error: &error });
                    failed.push((run.name.clone(), error));
                }
            }
        }
        Ok(Outcome { results: self.write_results(&states)?, failed })
    }

    /// Summarises the runs that are finished.
    fn write_results(&self, states: &[RunState]) -> Result<Results, ExperimentError> {
        let measures = states.iter().filter_map(|state| match state {
            RunState::Finished(measures) => Some(measures.clone()),
            RunState::Open => None,
        });
        let results = Results::new(self.plan, measures.collect())?;
        results.write(self.plan, self.store)?;
        Ok(results)
    }

    /// Trains, if its model is not there, then maps and measures the cases. `trainings` are those that failed, by name
    /// of the model, with the name of the run.
    fn run_one(
        &self,
        run: &Run,
        worker: &mut dyn Worker,
        trainings: &mut HashMap<String, String>,
        observer: &mut dyn FnMut(&Event<'_>),
    ) -> Result<RunMeasures, ExperimentError> {
        let folder = self.store.model(run);
        if let ModelSource::Trained(id) = &run.model {
            if let Some(first) = trainings.get(id) {
                return Err(ExperimentError::SharedTraining { run: first.clone() });
            }
            let trained = self.train(run, &folder, worker, observer);
            if !matches!(trained, Ok(()) | Err(ExperimentError::Stopped { .. })) {
                trainings.insert(id.clone(), run.name.clone());
            }
            trained?;
        }
        self.measure(run, &folder, worker, observer)
    }

    fn train(
        &self,
        run: &Run,
        folder: &Path,
        worker: &mut dyn Worker,
        observer: &mut dyn FnMut(&Event<'_>),
    ) -> Result<(), ExperimentError> {
        let task = TrainingTask { config: &run.config, healthy: &self.plan.data.healthy, folder };
        match worker.train(&task, &mut |event| observer(&Event::Training(event)))? {
            TrainingEnd::Finished => Ok(()),
            TrainingEnd::Stopped { step } => {
                let (run, progress) = (run.name.clone(), Progress::Steps(step));
                Err(ExperimentError::Stopped { run, progress })
            }
        }
    }

    fn measure(
        &self,
        run: &Run,
        model: &Path,
        worker: &mut dyn Worker,
        observer: &mut dyn FnMut(&Event<'_>),
    ) -> Result<RunMeasures, ExperimentError> {
        let sets = &self.plan.data.test_sets;
        let of = sets.iter().map(|set| set.cases.len()).sum();
        let mut done = 0;
        let mut test_sets = Vec::with_capacity(sets.len());
        for set in sets {
            test_sets.push(self.measure_set(run, set, model, worker, &mut || {
                done += 1;
                observer(&Event::Cases { done, of });
                done
            })?);
        }
        Ok(RunMeasures {
            run: run.name.clone(),
            row: self.plan.rows[run.row].label.clone(),
            seed: run.seed,
            model: match &run.model {
                ModelSource::Trained(id) => Some(id.clone()),
                ModelSource::Finished(_) => None,
            },
            provenance: run.provenance.clone(),
            test_sets,
        })
    }

    /// Measures the cases of a set that the store does not hold; `count` is called after each.
    fn measure_set(
        &self,
        run: &Run,
        set: &TestSet,
        model: &Path,
        worker: &mut dyn Worker,
        count: &mut dyn FnMut() -> usize,
    ) -> Result<SetMeasures, ExperimentError> {
        let maps = self.plan.file.keep_maps.then(|| self.store.maps(run, &set.name));
        let mut cases = Vec::with_capacity(set.cases.len());
        for case in &set.cases {
            let kept = self.store.case(run, &set.name, &case.name)?;
            let measured = match kept {
                Some(measured) => measured,
                None => {
                    let (config, maps) = (&run.config, maps.as_deref());
                    let measured = worker.measure(&CaseTask { config, model, case, maps })?;
                    self.store.keep_case(run, &set.name, &measured)?;
                    measured
                }
            };
            cases.push(measured);
            let done = count();
            if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                let (run, progress) = (run.name.clone(), Progress::Cases(done));
                return Err(ExperimentError::Stopped { run, progress });
            }
        }
        SetMeasures::new(&set.name, cases)
    }
}
