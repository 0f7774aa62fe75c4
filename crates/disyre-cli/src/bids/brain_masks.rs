//! Brain masks that other programs left in the derivatives of a dataset.

use std::fs;
use std::path::{Path, PathBuf};

use disyre::volume::{ScanHeader, ScanName, ensure_mask_fits};

use super::dataset::{BidsDataset, BidsSession, entries};
use crate::error::CliError;

/// The first brain mask of a scan in the dataset's derivatives, in order of their names, that lies on its grid: named like the
/// scan, `desc-brain_mask` in place of the suffix.
///
/// Says which mask is used, and which is not since it lies on another grid. One that can't be read is returned: the scan
/// then fails with the reason.
///
/// # Errors
/// [`CliError::File`] where the derivatives can't be listed.
pub(super) fn brain_mask(
    dataset: &BidsDataset,
    session: &BidsSession,
    scan: &Path,
    output: &Path,
) -> Result<Option<PathBuf>, CliError> {
    let mut pipelines = entries(&dataset.folder.join("derivatives"))?;
    pipelines.retain(|pipeline| pipeline.is_dir() && !is_same_folder(pipeline, output));
    pipelines.sort();
    let names = mask_names(scan);
    let folders = pipelines.iter().map(|pipeline| pipeline.join(session.folder()).join("anat"));
    let masks = folders.flat_map(|folder| names.each_ref().map(|name| folder.join(name)));
    for mask in masks.filter(|mask| fs::symlink_metadata(mask).is_ok()) {
        match fits(&mask, scan) {
            Some(reason) => note!("warning: {} is not used: {reason}", mask.display()),
            None => {
                note!("{}: brain mask {}", scan.display(), mask.display());
                return Ok(Some(mask));
            }
        }
    }
    Ok(None)
}

/// Names that the brain mask of a scan may have.
fn mask_names(scan: &Path) -> [String; 2] {
    let name = ScanName::of(scan);
    let kept = name.as_str().split('_').filter(|part| !part.starts_with("desc-"));
    let kept: Vec<&str> = kept.filter(|part| Some(*part) != name.suffix()).collect();
    ["nii.gz", "nii"].map(|end| format!("{}_desc-brain_mask.{end}", kept.join("_")))
}

/// Why a mask does not lie on the grid of its scan. None too where a header can't be read.
fn fits(mask: &Path, scan: &Path) -> Option<String> {
    let [mask, scan] = [mask, scan].map(|path| ScanHeader::read(path).ok());
    Some(ensure_mask_fits(&mask?, &scan?).err()?.to_string())
}

fn is_same_folder(a: &Path, b: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    a == b || real(a).is_some_and(|a| real(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_named_like_its_scan_without_suffix_and_desc() {
        let mask = |scan| mask_names(Path::new(scan))[0].clone();
        assert_eq!(
            mask("sub-1_ses-2_run-3_T1w.nii.gz"),
            "sub-1_ses-2_run-3_desc-brain_mask.nii.gz"
        );
        assert_eq!(mask("sub-1_desc-preproc_T1w.nii"), "sub-1_desc-brain_mask.nii.gz");
    }
}
