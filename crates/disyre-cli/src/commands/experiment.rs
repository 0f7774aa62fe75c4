//! `disyre experiment`: a grid of settings, trained, mapped, measured and compared.

use std::path::PathBuf;

use clap::Args;
use disyre::diffusion::TrainEvent;
use disyre_experiment::{Engine, Event, Outcome, Pipeline, Plan, Program, Results, Store};

use super::train::show;
use crate::arguments::{DeviceArguments, ThreadArguments};
use crate::error::{CliError, with_causes};
use crate::interrupt;
use crate::progress::Progress;

const OUTPUTS: &str = "\
In the folder of the results:
  results.md, results.json, plots/  tables, every case, plots; written after each run
  runs/NAME/                        settings and measures of one row with one seed
  models/ID/                        trained models, each for all runs that train alike
The file and its keys: docs/experiments/README.md.";

/// Arguments of `disyre experiment`.
///
/// Ctrl-C ends it after the current step or scan; what is done is kept, and --continue goes on.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Experiment {
    /// A TOML file: question, scans, settings that vary
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder of the results [default: FILE without its extension]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Go on with the results that the folder holds: finished runs are kept, a training is resumed from its checkpoint
    #[arg(long = "continue")]
    go_on: bool,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl Experiment {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        let plan = Plan::read(&self.file)?;
        let folder = self.output.clone().unwrap_or_else(|| self.file.with_extension(""));
        let store = Store::open(&folder, self.go_on)?;
        let device = self.device.select()?;
        let program = Program::current(device.to_string())?;
        let stop = interrupt::flag()?;
        let mut pipeline = Pipeline::new(device, Some(stop));
        let engine = Engine { plan: &plan, store: &store, program: &program, stop: Some(stop) };
        let mut display = Display::default();
        let outcome = engine.run(&mut pipeline, &mut |event| display.show(&plan, event));
        display.end();
        let Outcome { results, failed, mut not_drawn } = outcome?;
        print_line!("{}", summary(&results).trim_end());
        print_line!("results → {}", folder.join("results.md").display());
        match (failed.is_empty(), not_drawn.pop()) {
            (false, _) => Err(CliError::Runs { total: plan.runs.len(), failed }),
            (true, Some(error)) => Err(error.into()),
            (true, None) => Ok(()),
        }
    }
}

/// Progress of an experiment on standard error.
#[derive(Default)]
struct Display {
    bar: Option<Progress>,
    /// Steps of the training that the bar is about.
    steps: u64,
}

impl Display {
    fn show(&mut self, plan: &Plan, event: &Event<'_>) {
        match event {
            Event::Run { run, number, of, finished } => {
                self.end();
                let state = if *finished { "is finished" } else { "begins" };
                note!("run {number} of {of}: {} {state}", run.name);
                self.steps = run.config.train.steps;
            }
            Event::Training(event) => self.train(event),
            Event::Calibrating { scans } => note!("calibrating by {scans} healthy scans"),
            Event::Cases { done, of } => {
                if *done == 1 {
                    self.end();
                }
                let (done, of) = (*done as u64, *of as u64);
                let bar = self.bar.get_or_insert_with(|| Progress::new("case", of));
                bar.set(done, of, || "measured".to_owned());
            }
            Event::Failed { run, error } => {
                self.end();
                note!("failed: {}: {}", run.name, with_causes(*error));
            }
            Event::NotWritten { error } => {
                self.end();
                note!("warning: {}", with_causes(*error));
            }
            _ => note!("{}: {event:?}", plan.file.title),
        }
    }

    fn train(&mut self, event: &TrainEvent) {
        let steps = self.steps;
        show(self.bar.get_or_insert_with(|| Progress::new("step", steps)), steps, event);
    }

    fn end(&mut self) {
        self.bar.take().into_iter().for_each(Progress::finish);
    }
}

/// Each measure by row, in one line each.
fn summary(results: &Results) -> String {
    let mut text = String::new();
    for set in &results.test_sets {
        for measured in &set.measures {
            text += &format!("{}, per volume, {}:\n", measured.measure.heading(), set.name);
            for row in &measured.rows {
                let mean = row.per_volume.map_or("undefined".to_owned(), |mean| mean.to_string());
                text += &format!("  {}: {mean}\n", row.row);
            }
        }
    }
    text
}
