//! Checks of a folder of scans before any work: what training and detection would refuse, and what deserves a look.
//!
//! `geometry` looks at headers and compares the scans with each other, `intensity` at voxels, `listing` at the names of a
//! folder, `masks` at brain masks, `copies` at scans that come twice. `disyre check` prints the report; training runs
//! [`ensure_headers`], the part that reads no voxel.

mod copies;
mod finding;
mod geometry;
mod intensity;
mod listing;
mod masks;
mod report;
mod scan_check;

use std::path::{Path, PathBuf};

use disyre_volume::list_scans;

use crate::at_once::for_scans;
use crate::{BrainFinder, Error, SkullPolicy};
use masks::Masks;
use scan_check::ScanCheck;

pub use finding::{CheckFinding, CheckLevel, CheckTopic};
#[cfg(feature = "pictures")]
pub(crate) use geometry::of_header;
pub use report::{CheckReport, CheckedFile};
pub(crate) use scan_check::ensure_headers;

/// Settings of a check of the scans of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckConfig {
    /// A brain mask, or a folder with one for each scan.
    pub masks: Option<PathBuf>,
    /// Treatment of heads, as it will be asked of training and detection.
    pub skull: SkullPolicy,
    /// Headers and names alone: no voxel is read.
    pub headers_only: bool,
}

/// Checks the scans of a folder, or a single one: geometry, intensities, brain masks, copies, and files that are passed over.
///
/// A scan fails that `disyre train` and `disyre detect` would refuse under the same options; one that they take and somebody
/// should look at is warned of. A file that can't be read is a finding, and the others are checked all the same.
///
/// ```
/// use disyre::{CheckConfig, CheckLevel, check_folder, core::Key, phantom::PhantomConfig};
/// use disyre::volume::write_volume;
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let phantoms = PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, ..PhantomConfig::default() };
/// write_volume(&folder.join("sub-1.nii"), &phantoms.healthy(Key::new(1)).volume)?;
/// std::fs::write(folder.join("sub-2.nii"), "no scan")?;
/// let report = check_folder(folder, &CheckConfig::default())?;
/// assert_eq!(report.level(), CheckLevel::Fail);
/// assert_eq!(report.files[0].level(), CheckLevel::Pass);
/// assert!(report.files[1].findings[0].problem.contains("sub-2.nii"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`list_scans`]: a folder that can't be read, or that holds no scan; the same of the folder of masks.
pub fn check_folder(folder: &Path, config: &CheckConfig) -> Result<CheckReport, Error> {
    let elsewhere: Vec<&Path> = config.masks.as_deref().into_iter().collect();
    let list = list_scans(folder, &elsewhere)?;
    let masks = Masks::list(config.masks.as_deref(), &list.scans)?;
    let brains = BrainFinder::default();
    let scans: Vec<(usize, &Path)> = list.scans.iter().map(PathBuf::as_path).enumerate().collect();
    let read = |&(index, path): &(usize, &Path)| {
        Ok(ScanCheck::read(path, masks.of_scan(index), config, &brains))
    };
    let mut checks = for_scans(&scans, |&(_, path)| path, read)?;
    geometry::compare(&mut checks);
    intensity::compare(&mut checks);
    copies::compare(&mut checks);
    let topics = CheckTopic::of_scans(config);
    let mut files: Vec<CheckedFile> =
        checks.into_iter().map(|check| check.into_file(topics)).collect();
    files.extend(listing::passed_over(&list.passed_over));
    files.extend(listing::other_formats(folder));
    files.extend(masks.unused());
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(CheckReport { folder: folder.to_owned(), scans: list.scans.len(), files })
}
