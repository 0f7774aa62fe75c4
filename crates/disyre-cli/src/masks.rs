use std::path::{Path, PathBuf};

use disyre::volume::{find_scans, scan_name};

use crate::error::CliError;

/// What a brain mask's name may add to its scan's; nothing = the same name in another folder.
const ENDINGS: [&str; 4] = ["", "_mask", "_brain", "_desc-brain_mask"];

/// Where the brain masks of several scans are.
#[derive(Debug)]
pub(crate) enum Masks {
    /// No masks: the brain is where a scan is not 0.
    None,
    /// One mask for the scan.
    File(PathBuf),
    /// A folder with a mask for each scan.
    Folder { folder: PathBuf, files: Vec<PathBuf> },
}

impl Masks {
    /// Looks at what was given.
    ///
    /// # Errors
    /// Those of [`find_scans`].
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, CliError> {
        match path {
            None => Ok(Self::None),
            Some(path) if path.is_dir() => {
                Ok(Self::Folder { folder: path.to_owned(), files: find_scans(path)? })
            }
            Some(path) => Ok(Self::File(path.to_owned())),
        }
    }

    /// The mask of a scan.
    ///
    /// # Errors
    /// [`CliError::NoMask`] and [`CliError::SeveralMasks`].
    pub(crate) fn of(&self, scan: &Path) -> Result<Option<PathBuf>, CliError> {
        match self {
            Self::None => Ok(None),
            Self::File(path) => Ok(Some(path.clone())),
            Self::Folder { folder, files } => find(scan, folder, files).map(Some),
        }
    }
}

fn find(scan: &Path, folder: &Path, files: &[PathBuf]) -> Result<PathBuf, CliError> {
    let expected = names(scan);
    let is_mask = |file: &&PathBuf| file.as_path() != scan && expected.contains(&scan_name(file));
    let found: Vec<&PathBuf> = files.iter().filter(is_mask).collect();
    match found.as_slice() {
        [mask] => Ok((*mask).clone()),
        [] => Err(CliError::NoMask {
            scan: scan.to_owned(),
            folder: folder.to_owned(),
            expected: expected
                .iter()
                .map(|name| format!("{name}.nii[.gz]"))
                .collect::<Vec<_>>()
                .join(", "),
        }),
        several => Err(CliError::SeveralMasks {
            scan: scan.to_owned(),
            found: several
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// What the mask of a scan may be called, without extensions: with the scan's whole name, or, for a BIDS name, with
/// the part before its suffix (`sub-01_T1w` → `sub-01_desc-brain_mask`).
fn names(scan: &Path) -> Vec<String> {
    let name = scan_name(scan);
    let mut names: Vec<String> = ENDINGS.iter().map(|ending| format!("{name}{ending}")).collect();
    if let Some((subject, suffix)) = name.rsplit_once('_')
        && subject.contains('-')
        && !suffix.contains('-')
    {
        names.push(format!("{subject}_desc-brain_mask"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_among(scan: &str, files: &[&str]) -> Result<PathBuf, CliError> {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        find(Path::new(scan), Path::new("m"), &files)
    }

    #[test]
    fn a_mask_is_found_by_the_name_of_its_scan() {
        for mask in ["m/a.nii", "m/a_mask.nii.gz", "m/a_brain.nii.gz", "m/a_desc-brain_mask.nii"] {
            assert_eq!(find_among("s/a.nii.gz", &["m/b.nii.gz", mask]).unwrap(), Path::new(mask));
        }
        let bids = "m/sub-01_desc-brain_mask.nii.gz";
        assert_eq!(find_among("s/sub-01_T1w.nii.gz", &[bids]).unwrap(), Path::new(bids));
    }

    #[test]
    fn a_scan_is_not_its_own_mask() {
        let files = ["s/a.nii.gz", "s/a_brain.nii.gz"];
        assert_eq!(find_among("s/a.nii.gz", &files).unwrap(), Path::new(files[1]));
    }

    #[test]
    fn none_or_several_are_errors_that_list_names() {
        let none = find_among("s/a.nii.gz", &["m/ab.nii.gz"]).unwrap_err().to_string();
        assert!(none.contains("a_mask.nii[.gz]"), "{none}");
        let several = find_among("s/a.nii", &["m/a_mask.nii", "m/a_brain.nii"]).unwrap_err();
        assert!(several.to_string().contains("m/a_mask.nii, m/a_brain.nii"), "{several}");
    }
}
