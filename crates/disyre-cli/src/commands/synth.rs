use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use disyre::core::{Key, Volume};
use disyre::tissue::FittedTissues;
use disyre::volume::{ReadOptions, Scan, find_scans, write_volume};
use disyre::{Prepared, RunConfig, Sample, Subject, Synthesiser, fit_tissue};
use rayon::prelude::*;

use crate::arguments::ThreadArguments;
use crate::config::ConfigArguments;
use crate::error::CliError;
use crate::output::{create_folder, ensure_distinct, remove_if_there, scan_name, write_json};

const OUTPUTS: &str = "\
For sample 1 of scan NAME, in the output folder (files of that name are replaced):
  NAME_sample-0001_corrupted.nii.gz  RAS+, at the preset's spacing, cropped to the brain, intensities 0 to 1
  NAME_sample-0001_mask.nii.gz       the anomaly on the same grid, soft: 0 to 1
  NAME_sample-0001_recipe.json       every number drawn, and the severities realised";

/// Arguments of `disyre synth`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Synth {
    /// A healthy, skull-stripped scan, or a folder of them; they are also where foreign textures come from
    #[arg(short, long, value_name = "FILE|DIR")]
    input: PathBuf,
    /// Folder for the samples; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Number of samples; they go round the scans
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    samples: u64,
    /// Tissue classes from `disyre tissue` [default: fitted to the scans]
    #[arg(long, value_name = "FILE")]
    tissue: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl Synth {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        let config = self.config.resolve()?;
        config.check()?;
        let paths = find_scans(&self.input)?;
        let scans: Vec<(String, Prepared)> =
            paths.par_iter().map(|path| prepare(path, &config)).collect::<Result<_, _>>()?;
        let names: Vec<&str> = scans.iter().map(|(name, _)| name.as_str()).collect();
        self.check_outputs(&paths, &names)?;
        let key = Key::new(config.seed);
        let tissues = Arc::new(self.tissues(&scans, &config, key.child("tissue"))?);
        let synthesiser = Synthesiser::new(scans, &config, tissues, key.child("synth"))?;
        create_folder(&self.output)?;
        let write = |index| self.write(&synthesiser.sample(index)?);
        (0..self.samples).into_par_iter().map(write).collect::<Result<Vec<()>, _>>()?;
        println!("{} samples of {} scans → {}", self.samples, paths.len(), self.output.display());
        Ok(())
    }

    fn tissues(
        &self,
        scans: &[(String, Prepared)],
        config: &RunConfig,
        key: Key,
    ) -> Result<FittedTissues, CliError> {
        if let Some(path) = &self.tissue {
            return Ok(FittedTissues::load(path)?);
        }
        let subject = |(name, scan): &(String, Prepared)| Subject::new(name.as_str(), scan.clone());
        let subjects: Vec<Subject> = scans.iter().map(subject).collect();
        Ok(fit_tissue(&subjects, &config.tissue, key)?)
    }

    fn check_outputs(&self, paths: &[PathBuf], names: &[&str]) -> Result<(), CliError> {
        let outputs = (0..self.samples).flat_map(|index| {
            let which = (index % paths.len() as u64) as usize;
            let files = files(&self.output, names[which], index);
            files.map(|file| (paths[which].as_path(), file))
        });
        ensure_distinct(outputs, paths)
    }

    fn write(&self, sample: &Sample) -> Result<(), CliError> {
        let [corrupted, mask, recipe] =
            files(&self.output, &sample.recipe.source, sample.recipe.index);
        // An earlier recipe must not stand beside a sample that it did not make.
        remove_if_there(&recipe)?;
        write_volume(&corrupted, &sample.corrupted)?;
        write_volume(&mask, &Volume { data: sample.mask.clone(), grid: sample.corrupted.grid })?;
        write_json(&recipe, &sample.recipe)
    }
}

/// Corrupted scan, mask and recipe; samples are numbered from 1 in names, as people count.
fn files(folder: &Path, name: &str, index: u64) -> [PathBuf; 3] {
    let sample = format!("{name}_sample-{:04}", index + 1);
    ["corrupted.nii.gz", "mask.nii.gz", "recipe.json"]
        .map(|end| folder.join(format!("{sample}_{end}")))
}

fn prepare(path: &Path, config: &RunConfig) -> Result<(String, Prepared), CliError> {
    let scan = Scan::read(path, &ReadOptions::default())?;
    let prepared = config.prepare.prepare(&scan.volume, None).map_err(|source| {
        disyre::Error::Case { case: path.display().to_string(), source: Box::new(source) }
    })?;
    Ok((scan_name(path), prepared))
}
