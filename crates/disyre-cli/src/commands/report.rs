//! `disyre report`: the pages of a folder of maps, made again.

use std::path::PathBuf;

use clap::Args;
use disyre::ScanPages;

use crate::cohort_index::write_index;
use crate::each_scan::for_each_scan;
use crate::error::CliError;
use crate::manifest::failures;
use crate::output_files::ensure_writable;

const OUTPUTS: &str = "\
Made of the files in the folder and of the scans alone; equal files give equal pages:
  NAME_page.html  slices, findings, doubts and facts of the scan NAME
  index.html      the table of all scans, failures first, where there is a manifest.jsonl or more than one scan
A page is one file: it asks for nothing from a network and can be sent to somebody.";

/// Arguments of `disyre report`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Report {
    /// The folder that `disyre detect` wrote
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Folder of the scans, where they are not where the sidecars say
    #[arg(long, value_name = "DIR")]
    scans: Option<PathBuf>,
}

impl Report {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        let pages = ScanPages::beside(&self.folder).with_scans(self.scans.clone());
        let sidecars = pages.sidecars()?;
        if sidecars.is_empty() && failures(&self.folder)?.is_none() {
            return Err(CliError::NoDetections { folder: self.folder.clone() });
        }
        ensure_writable(&self.folder)?;
        let several = sidecars.len() > 1;
        let sidecars = sidecars.into_iter().map(|sidecar| (sidecar, ())).collect();
        let made = for_each_scan(sidecars, |sidecar, ()| {
            print_line!("{}", pages.write(sidecar)?.display());
            Ok(())
        });
        if let Some(index) = write_index(&self.folder, several)? {
            print_line!("{}", index.display());
        }
        made
    }
}
