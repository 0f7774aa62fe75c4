//! Scripts that hand a cohort to the engine of a cluster: [`JobScript`].

mod forecast;
mod slurm;
mod snakemake;
mod words;

use std::env::current_exe;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::arguments::parse_size;
use crate::error::CliError;
use forecast::Limits;
pub(crate) use slurm::MOST_TASKS;
pub(crate) use words::Words;

/// CPUs of a job where nothing else is asked for.
const USUAL_CPUS: u16 = 4;

/// Lines for scripts with a model that no forecast was measured with.
const OTHER_MODEL: &str = "
These forecasts were measured with the model within the program, not with this one (-m), which may need more of both: map
one scan first, then set --job-memory and --job-minutes.";

/// Engine that a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// An array script: `sbatch SCRIPT`.
    Slurm,
    /// A Snakefile.
    Snakemake,
}

/// A script in place of work, and what each of its jobs asks the cluster for.
#[derive(Debug, Clone, Args)]
pub(crate) struct JobArguments {
    /// Work on nothing: print a script that does it, for an engine of a cluster, with limits of memory and time
    #[arg(long, value_name = "ENGINE")]
    emit: Option<Engine>,
    /// With --emit: CPUs of a job, and its threads [default: what --threads says, else 4]
    #[arg(long, value_name = "N", requires = "emit", conflicts_with = "threads", value_parser = clap::value_parser!(u16).range(1..))]
    job_cpus: Option<u16>,
    /// With --emit: memory of a job, such as 8G [default: a forecast from the largest scan]
    #[arg(long, value_name = "SIZE", requires = "emit", value_parser = parse_size)]
    job_memory: Option<u64>,
    /// With --emit: minutes of a job [default: a forecast from its scans]
    #[arg(long, value_name = "N", requires = "emit", value_parser = clap::value_parser!(u32).range(1..))]
    job_minutes: Option<u32>,
}

/// The parts that work is split into, a job each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// Subjects of a BIDS dataset, by label.
    Subjects,
    /// Parts of a folder of scans, by number from 1.
    Shards,
}

/// Work as commands, and what is needed to split it into jobs.
#[derive(Debug)]
pub(crate) struct JobScript {
    /// The work in words.
    pub(crate) title: String,
    /// Name of the jobs.
    pub(crate) name: String,
    /// Words behind the program that map scans, but for those that choose a part, and `--threads`.
    pub(crate) map: Words,
    /// Words behind the program that make one record or table of all parts.
    pub(crate) group: Words,
    pub(crate) kind: Parts,
    /// Name and scans of each part.
    pub(crate) parts: Vec<(String, Vec<PathBuf>)>,
    pub(crate) job: JobArguments,
    /// Threads that were asked for.
    pub(crate) threads: Option<u16>,
    /// Whether the model is not the one within the program, with which the forecasts were measured.
    pub(crate) other_model: bool,
}

impl JobArguments {
    /// The engine that a script was asked for.
    pub(crate) fn engine(&self) -> Option<Engine> {
        self.emit
    }
}

impl JobScript {
    /// The script for an engine.
    ///
    /// # Errors
    /// [`CliError::File`] where the path of this program can't be found.
    pub(crate) fn text(&self, engine: Engine) -> Result<String, CliError> {
        let program = current_exe().map_err(CliError::file("find", Path::new("this program")))?;
        let program = Words::new([program]);
        Ok(match engine {
            Engine::Slurm => slurm::script(self, &program),
            Engine::Snakemake => snakemake::file(self, &program),
        })
    }

    /// CPUs of a job.
    fn cpus(&self) -> u16 {
        self.job.job_cpus.or(self.threads).unwrap_or(USUAL_CPUS)
    }

    /// The head of a script, as comment lines.
    fn comment(&self, lines: &str) -> String {
        let title = self.title.replace(char::is_control, " ");
        let model = if self.other_model { OTHER_MODEL } else { "" };
        let head = format!("{title}, by disyre {}\n{lines}{model}", env!("CARGO_PKG_VERSION"));
        head.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
    }

    /// The limits of jobs of so many parts.
    fn limits(&self, parts: usize) -> Limits {
        let scans = |part: &[(String, Vec<PathBuf>)]| {
            part.iter().flat_map(|(_, scans)| scans.clone()).collect::<Vec<PathBuf>>()
        };
        let jobs: Vec<Vec<PathBuf>> = self.parts.chunks(parts).map(scans).collect();
        let JobArguments { job_memory, job_minutes, .. } = self.job;
        let forecast = forecast::limits(&jobs);
        Limits {
            megabytes: job_memory.map_or(forecast.megabytes, |bytes| bytes.div_ceil(1 << 20)),
            minutes: job_minutes.map_or(forecast.minutes, u64::from),
        }
    }
}
