//! `disyre synth`: scans with synthetic anomalies, and samples made again from recipes.

use std::path::{Path, PathBuf};

use clap::Args;
use disyre::core::{Key, StagedFiles, Volume};
use disyre::tissue::FittedTissues;
use disyre::volume::{find_scans, write_labels, write_volume};
use disyre::{Recipe, RunConfig, Sample, ScanStore, Synthesiser, Tissues, healthy_scans};
use rayon::prelude::*;

use crate::anomaly_arguments::AnomalyArguments;
use crate::arguments::{SkullArguments, ThreadArguments};
use crate::config::ConfigArguments;
use crate::error::CliError;
use crate::output_files::{
    commit, create_folder, ensure_distinct, ensure_writable, stage, write_json,
};

const OUTPUTS: &str = "\
For sample 1 of scan NAME, in the output folder (files of that name are replaced):
  NAME_sample-0001_corrupted.nii.gz  RAS+, at the preset's spacing, cropped to the brain, intensities 0 to 1
  NAME_sample-0001_clean.nii.gz      the same before the anomaly: what a restoration should give
  NAME_sample-0001_mask.nii.gz       the anomaly on the same grid, soft: 0 to 1
  NAME_sample-0001_binary.nii.gz     the same, 0 or 1: at least half of the mask's greatest value
  NAME_sample-0001_severity.nii.gz   severity of each voxel, 0 to 1, 0 where nothing changed: for families that blend a
                                     texture in linearly (dag, dag-no-tissue, texture-only, fpi, cut-paste,
                                     cut-paste-scar, noise-texture) the sample's times the mask, for all others how
                                     much the voxel changed
  NAME_sample-0001_recipe.json       the numbers drawn, the keys that shape and textures are made from, the severities
                                     realised, the scans by name and SHA-256; written last, so a sample with a recipe
                                     is whole";

/// Arguments of `disyre synth`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Synth {
    /// A healthy scan, skull-stripped (or a whole head, with --strip), or a folder of them; foreign textures come from it too
    #[arg(short, long, value_name = "FILE|DIR")]
    input: PathBuf,
    /// Folder for the samples; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Number of samples; they go round the scans
    #[arg(short = 'n', long = "n", alias = "samples", value_name = "N", value_parser = clap::value_parser!(u64).range(1..), required_unless_present = "replay")]
    samples: Option<u64>,
    /// Make the sample of a recipe again, byte by byte, from the scans it was made from
    #[arg(long, value_name = "RECIPE", conflicts_with_all = ["samples", "family", "tissue", "tissue_model", "segmentations", "places", "size_mm", "preset", "config", "seed", "bias", "orientation", "strip", "stripped"])]
    replay: Option<PathBuf>,
    /// Tissue classes from `disyre tissue` [default: fitted to the scans]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tissue_model", "segmentations"])]
    tissue: Option<PathBuf>,
    #[command(flatten)]
    skull: SkullArguments,
    #[command(flatten)]
    anomaly: AnomalyArguments,
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl Synth {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        ensure_writable(&self.output)?;
        match &self.replay {
            Some(recipe) => self.replay(recipe),
            None => self.make(self.samples.unwrap_or(1)),
        }
    }

    fn make(&self, samples: u64) -> Result<(), CliError> {
        let mut config = self.config.resolve()?;
        self.anomaly.over(&mut config);
        self.skull.over(&mut config);
        config.check()?;
        let paths = healthy_scans(&self.input, &config)?;
        let scans = ScanStore::read(&paths, &config)?;
        self.check_outputs(samples, &paths, &scans.names())?;
        let key = Key::new(config.seed);
        let tissues = self.tissues(&scans, &config, key.child("tissue"))?;
        let synthesiser = Synthesiser::of_store(scans, &config, tissues, key.child("synth"))?;
        create_folder(&self.output)?;
        let write = |index| self.write(&synthesiser.sample(index)?);
        (0..samples).into_par_iter().map(write).collect::<Result<Vec<()>, _>>()?;
        print_line!("{samples} samples of {} scans → {}", paths.len(), self.output.display());
        Ok(())
    }

    fn replay(&self, path: &Path) -> Result<(), CliError> {
        let recipe = Recipe::load(path)?;
        let scans = find_scans(&self.input)?;
        let outputs = files(&self.output, &recipe.source, recipe.index);
        ensure_distinct(outputs.into_iter().map(|file| (path, file)), &scans)?;
        let sample = recipe.replay(&self.input)?;
        create_folder(&self.output)?;
        self.write(&sample)?;
        print_line!("sample {} of {} → {}", recipe.index + 1, recipe.source, self.output.display());
        Ok(())
    }

    fn tissues(
        &self,
        scans: &ScanStore,
        config: &RunConfig,
        key: Key,
    ) -> Result<Option<Tissues>, CliError> {
        if let Some(path) = &self.tissue {
            return Ok(Some(Tissues::Fitted(FittedTissues::load(path)?)));
        }
        Ok(scans.tissues(config, key)?)
    }

    fn check_outputs(
        &self,
        samples: u64,
        paths: &[PathBuf],
        names: &[&str],
    ) -> Result<(), CliError> {
        let outputs = (0..samples).flat_map(|index| {
            let which = (index % paths.len() as u64) as usize;
            let files = files(&self.output, names[which], index);
            files.map(|file| (paths[which].as_path(), file))
        });
        ensure_distinct(outputs, paths)
    }

    fn write(&self, sample: &Sample) -> Result<(), CliError> {
        let files = files(&self.output, &sample.recipe.source, sample.recipe.index);
        let mut staged = StagedFiles::default();
        let [corrupted, clean, mask, binary, severity, recipe] = stage(&mut staged, &files)?;
        let grid = sample.corrupted.grid;
        write_volume(&corrupted, &sample.corrupted)?;
        write_volume(&clean, &sample.clean)?;
        write_volume(&mask, &Volume { data: sample.mask.clone(), grid })?;
        write_labels(&binary, sample.binary.view(), &grid)?;
        write_volume(&severity, &Volume { data: sample.severity_map.clone(), grid })?;
        write_json(&recipe, &sample.recipe)?;
        commit(staged, &files[5])
    }
}

/// Corrupted and clean scan, masks, severities and recipe; samples are numbered from 1 in names, as people count.
fn files(folder: &Path, name: &str, index: u64) -> [PathBuf; 6] {
    let sample = format!("{name}_sample-{:04}", index + 1);
    let ends =
        ["corrupted", "clean", "mask", "binary", "severity"].map(|end| format!("{end}.nii.gz"));
    let [corrupted, clean, mask, binary, severity] = ends;
    [corrupted, clean, mask, binary, severity, "recipe.json".to_owned()]
        .map(|end| folder.join(format!("{sample}_{end}")))
}
