//! `disyre atlas`: mean and deviation of healthy scans in the template, the baseline that learns nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use disyre::{AtlasConfig, AtlasDetector, Preparation};

use crate::arguments::{SkullArguments, ThreadArguments, open_model};
use crate::config::ConfigArguments;
use crate::each_scan::scans_of;
use crate::error::CliError;
use crate::output_files::{ensure_writable, holds_files};

const OUTPUTS: &str = "\
The folder gets mean.nii.gz, deviation.nii.gz and count.nii.gz on the grid of the MNI152 template (2 mm),
preparation.json (settings, and what was fitted to the scans) and atlas.json (settings, scans and SHA-256 of each file).
Scans whose registration is doubtful are left out, named, and listed there. `disyre evaluate --atlas ATLAS` reads it.";

/// Arguments of `disyre atlas`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct MakeAtlas {
    /// Folder of healthy scans, skull-stripped (or whole heads, with --strip)
    #[arg(long, value_name = "DIR")]
    healthy: PathBuf,
    /// Folder of the atlas; must not hold files yet
    #[arg(short, long, value_name = "ATLAS")]
    output: PathBuf,
    /// Prepare scans as this model does, with the intensities of its cohort
    #[arg(short, long, value_name = "MODEL_DIR", conflicts_with_all = ["preset", "config", "bias", "orientation", "strip", "stripped"])]
    model: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    skull: SkullArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl MakeAtlas {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        if holds_files(&self.output) {
            let alternative = "delete this one";
            return Err(CliError::NotEmpty { folder: self.output.clone(), alternative });
        }
        ensure_writable(&self.output)?;
        let preparation = self.preparation()?;
        let scans = healthy_scans(&self.healthy)?;
        note!("preparing and registering {} healthy scans", scans.len());
        let detector = AtlasDetector::fit(&scans, preparation, AtlasConfig::default())?;
        for scan in detector.left_out() {
            let (name, verdict) = (&scan.file.name, &scan.registration);
            note!("left out: {name}: its registration is {verdict}");
        }
        detector.save(&self.output)?;
        let (used, given) = (detector.scans().len(), scans.len());
        print_line!("atlas of {used} of {given} scans → {}", self.output.display());
        Ok(())
    }

    fn preparation(&self) -> Result<Preparation, CliError> {
        if let Some(model) = &self.model {
            return Ok(open_model(model)?.preparation().clone());
        }
        let mut config = self.config.resolve()?;
        self.skull.over(&mut config);
        Ok(Preparation::unfitted(&config.prepare)?)
    }
}

/// The scans of a folder, without maps and masks that lie among them.
pub(super) fn healthy_scans(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    Ok(scans_of(folder, &[])?.whole(folder)?)
}
