//! One file per command: its arguments, and the calls of the façade that it makes.

mod atlas;
mod bids;
mod brain;
mod calibrate;
mod check;
mod demo;
mod detect;
mod evaluate;
mod experiment;
mod gpu_check;
mod implant;
mod info;
mod pack;
mod report;
mod synth;
mod tissue;
mod train;

use clap::{Parser, Subcommand};

use crate::arguments::MemoryArguments;
use crate::error::CliError;

/// Finds what does not belong in a medical scan, without ever having been shown a lesion (DISYRE).
///
/// Research software: not a medical device, not for diagnosis.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 done, 1 error, 2 wrong usage, 3 some of several scans failed, 130 stopped by Ctrl-C."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    memory: MemoryArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything without data: draw phantoms, train a tiny model, find lesions, measure, draw pictures
    Demo(demo::Demo),
    /// Find the brain in scans of heads: a brain mask of each
    Brain(brain::Brain),
    /// Fit tissue classes to healthy scans
    Tissue(tissue::Tissue),
    /// Corrupt scans with synthetic anomalies: corrupted scan, mask and recipe of each sample
    Synth(synth::Synth),
    /// Implant real lesion shapes into healthy scans, with the intensities of real lesions: test cases with labels
    Implant(implant::Implant),
    /// Check scans before any work: geometry, intensities, brain masks, copies, damaged files
    Check(check::Check),
    /// Train a model on healthy scans
    Train(train::Train),
    /// Calibrate a model on healthy scans: its scores then know where healthy brains are restored badly
    Calibrate(calibrate::Calibrate),
    /// Map anomalies in scans with a trained model, by default the one within this program
    Detect(detect::Detect),
    /// Map a whole BIDS dataset, subject by subject, and make one table of it; scripts for SLURM and Snakemake
    Bids(bids::Bids),
    /// Make the pages of a folder of maps again: slices, findings and facts of each scan, and a table of all
    Report(report::Report),
    /// Make an atlas of healthy scans: the baseline that learns nothing, for `disyre evaluate --atlas`
    Atlas(atlas::MakeAtlas),
    /// Measure anomaly maps against lesion masks
    Evaluate(evaluate::Evaluate),
    /// Run a grid of settings: train, map and measure each row, and compare them on the same cases
    Experiment(experiment::Experiment),
    /// Show what a scan's header or a model's folder says
    Info(info::Info),
    /// Copy a model to hand on: weights of 16 bits, no checkpoint, no log, no paths
    Pack(pack::Pack),
    /// Check whether a GPU computes what the CPU computes, and how fast
    #[command(hide = !cfg!(any(feature = "cuda", feature = "cuda-emulation")))]
    GpuCheck(gpu_check::GpuCheck),
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.memory.apply();
        match &self.command {
            Command::Demo(command) => command.run(),
            Command::Brain(command) => command.run(),
            Command::Tissue(command) => command.run(),
            Command::Synth(command) => command.run(),
            Command::Implant(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Train(command) => command.run(),
            Command::Calibrate(command) => command.run(),
            Command::Detect(command) => command.run(),
            Command::Bids(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Atlas(command) => command.run(),
            Command::Evaluate(command) => command.run(),
            Command::Experiment(command) => command.run(),
            Command::Info(command) => command.run(),
            Command::Pack(command) => command.run(),
            Command::GpuCheck(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
