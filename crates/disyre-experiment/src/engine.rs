//! [`Engine`]: goes through the runs of a plan, leaves out what the store holds, and keeps what is new.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use disyre::diffusion::TrainEvent;

use crate::error::with_causes;
use crate::{
    CalibrationTask, CaseTask, ExperimentError, FailedRun, ModelSource, Plan, Program, Progress,
    Provenance, Results, Run, RunMeasures, RunState, SetMeasures, Store, TestSet, TrainingEnd,
    TrainingTask, Worker,
};

/// Goes through the runs of a plan.
#[derive(Debug)]
pub struct Engine<'a> {
    /// The runs.
    pub plan: &'a Plan,
    /// Where they are kept.
    pub store: &'a Store,
    /// The program that runs, which provenance names.
    pub program: &'a Program,
    /// Set to true from another thread, it ends the work: a training after its step, with a checkpoint, a detection
    /// after its case.
    pub stop: Option<&'a AtomicBool>,
}

/// Steps of an experiment, in order.
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
    /// The model is calibrated, or was already.
    Calibrating {
        /// Number of healthy scans.
        scans: usize,
    },
    /// Cases are measured, or were already.
    Cases {
        /// How many of the run.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// Results or a plot could not be written; the runs go on.
    NotWritten {
        /// The reason.
        error: &'a ExperimentError,
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
    /// Plots that could not be drawn.
    pub not_drawn: Vec<ExperimentError>,
}

impl Engine<'_> {
    /// Does all runs that the store does not hold, and writes the results after each.
    ///
    /// Neither a run that fails nor results that cannot be written keep the other runs from being done.
    ///
    /// # Errors
    /// [`ExperimentError::Changed`] before any work; [`ExperimentError::Stopped`] where somebody asked for the end;
    /// files of the store that cannot be written or read; at the end, results that cannot be written.
    pub fn run(
        &self,
        worker: &mut dyn Worker,
        observer: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome, ExperimentError> {
        let runs = &self.plan.runs;
        let mut states = runs.iter().map(|run| self.state(run)).collect::<Result<Vec<_>, _>>()?;
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
                    if let Err(error) = self.write_results(&states, &failed) {
                        observer(&Event::NotWritten { error: &error });
                    }
                }
                Err(error @ ExperimentError::Stopped { .. }) => return Err(error),
                Err(error) => {
                    observer(&Event::Failed { run, error: &error });
                    failed.push((run.name.clone(), error));
                }
            }
        }
        let (results, not_drawn) = self.write_results(&states, &failed)?;
        not_drawn.iter().for_each(|error| observer(&Event::NotWritten { error }));
        Ok(Outcome { results, failed, not_drawn })
    }

    /// State of a run, its measures under the label that its row has now.
    fn state(&self, run: &Run) -> Result<RunState, ExperimentError> {
        let mut state = self.store.state(run)?;
        if let RunState::Finished(measures) = &mut state {
            measures.row = self.plan.rows[run.row].label.clone();
        }
        Ok(state)
    }

    /// Summarises the runs that are finished; the plots that could not be drawn are named.
    fn write_results(
        &self,
        states: &[RunState],
        failed: &[(String, ExperimentError)],
    ) -> Result<(Results, Vec<ExperimentError>), ExperimentError> {
        let measures = states.iter().filter_map(|state| match state {
            RunState::Finished(measures) => Some(measures.clone()),
            RunState::Open => None,
        });
        let failed = failed
            .iter()
            .map(|(run, error)| FailedRun { run: run.clone(), reason: with_causes(error) });
        let results = Results::new(self.plan, measures.collect(), failed.collect())?;
        let not_drawn = results.write(self.plan, self.store)?;
        Ok((results, not_drawn))
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
        let mut programs = self.store.begin(run, self.program)?;
        if let ModelSource::Trained(id) = &run.model {
            if let Some(first) = trainings.get(id) {
                return Err(ExperimentError::SharedTraining { run: first.clone() });
            }
            let trained = self.train(run, id, &folder, worker, observer);
            if !matches!(trained, Ok(_) | Err(ExperimentError::Stopped { .. })) {
                trainings.insert(id.clone(), run.name.clone());
            }
            let trained = trained?;
            programs.retain(|program| !trained.contains(program));
            programs.splice(..0, trained);
        }
        if let Some((calibration, folder_of)) =
            run.calibration.as_ref().zip(self.store.calibration(run))
        {
            observer(&Event::Calibrating { scans: calibration.healthy.len() });
            worker.calibrate(&CalibrationTask {
                config: &run.config,
                model: &folder,
                healthy: &calibration.healthy,
                folder: &folder_of,
            })?;
        }
        self.measure(run, &folder, programs, worker, observer)
    }

    /// Trains a model, and returns the programs that did.
    fn train(
        &self,
        run: &Run,
        id: &str,
        folder: &Path,
        worker: &mut dyn Worker,
        observer: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Vec<Program>, ExperimentError> {
        self.store.note_training(id, self.program, false)?;
        let task = TrainingTask { config: &run.config, healthy: &run.healthy, folder };
        match worker.train(&task, &mut |event| observer(&Event::Training(event)))? {
            TrainingEnd::Finished => self.store.note_training(id, self.program, true),
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
        programs: Vec<Program>,
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
            provenance: Provenance { programs, ..run.provenance.clone() },
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
        let calibration = self.store.calibration(run);
        let mut cases = Vec::with_capacity(set.cases.len());
        for case in &set.cases {
            let kept = self.store.case(run, &set.name, &case.name)?;
            let measured = match kept {
                Some(measured) => measured,
                None => {
                    let (config, maps) = (&run.config, maps.as_deref());
                    let calibration = calibration.as_deref();
                    let task = CaseTask { config, model, calibration, case, maps };
                    let measured = worker.measure(&task)?;
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
