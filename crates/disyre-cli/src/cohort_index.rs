//! The page of a cohort, from the maps of a folder and the record of its cases; `detect` and `report` write it.

use std::path::{Path, PathBuf};

use disyre::{CohortCase, ScanPages};

use crate::error::CliError;
use crate::manifest::failures;

/// Writes the page of a folder's cohort: where it is `wanted`, or a record is there.
///
/// # Errors
/// Those of reading the record and of [`ScanPages::write_index`].
pub(crate) fn write_index(folder: &Path, wanted: bool) -> Result<Option<PathBuf>, CliError> {
    let failed = failures(folder)?;
    if !wanted && failed.is_none() {
        return Ok(None);
    }
    let failed = failed.unwrap_or_default().into_iter();
    let failed: Vec<CohortCase> = failed.map(|(case, error)| CohortCase { case, error }).collect();
    let page = ScanPages::beside(folder).write_index(&failed)?;
    Ok(Some(page))
}
