//! `disyre tissue`: tissue classes fitted to healthy scans.

use std::path::PathBuf;

use clap::Args;
use disyre::core::Key;
use disyre::{Cohort, fit_tissue};

use crate::anomaly_arguments::ModelArgument;
use crate::arguments::{SkullArguments, ThreadArguments};
use crate::config::ConfigArguments;
use crate::error::CliError;
use crate::output_files::{create_folder, ensure_writable, folder_of};

/// Arguments of `disyre tissue`.
#[derive(Debug, Args)]
pub(crate) struct Tissue {
    /// Folder of healthy scans, skull-stripped (or whole heads, with --strip)
    #[arg(short, long, value_name = "DIR")]
    input: PathBuf,
    /// File to write: the classes, as JSON; replaced if it is there
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Number of classes [default: that of the settings, 5]
    #[arg(short = 'k', long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..))]
    classes: Option<u8>,
    /// Kind of the classes [default: that of the settings, k-means]
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelArgument>,
    #[command(flatten)]
    skull: SkullArguments,
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl Tissue {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        let mut config = self.config.resolve()?;
        self.skull.over(&mut config);
        config.tissue.classes = self.classes.map_or(config.tissue.classes, usize::from);
        if let Some(model) = self.model {
            (config.tissue.model, config.tissue.segmentations) = (model.into(), None);
        }
        config.check()?;
        config.tissue.ensure_fitted()?;
        let folder = folder_of(&self.output);
        ensure_writable(folder)?;
        let key = Key::new(config.seed);
        let cohort = Cohort::load(&self.input, &config, key.child("cohort"))?;
        let subjects = [cohort.training, cohort.validation].concat();
        let tissues = fit_tissue(&subjects, &config.tissue, key.child("tissue"))?;
        create_folder(folder)?;
        tissues.save(&self.output)?;
        let centres: Vec<String> =
            tissues.centres().iter().map(|centre| format!("{centre:.4}")).collect();
        print_line!(
            "{} scans, centres {} → {}",
            subjects.len(),
            centres.join(" "),
            self.output.display()
        );
        Ok(())
    }
}
