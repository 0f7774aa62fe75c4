use std::fs;
use std::path::{Path, PathBuf};

use crate::VolumeError;

/// The scans that a path stands for: a file stands for itself, a folder for its `.nii` and `.nii.gz` files.
///
/// Sorted by name; subfolders and hidden files are left out.
///
/// # Errors
/// [`VolumeError::Read`] if there is nothing at `path`, [`VolumeError::NoScans`] for a folder without scans.
pub fn find_scans(path: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let fail = |source| VolumeError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut scans = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        if is_scan_name(&file_name(&file)) && file.is_file() {
            scans.push(file);
        }
    }
    if scans.is_empty() {
        return Err(VolumeError::NoScans { path: path.to_owned() });
    }
    scans.sort();
    Ok(scans)
}

/// All scans below a path: those of [`find_scans`], and those of its subfolders at any depth.
///
/// Sorted by path; hidden files and folders are left out, links to folders are not followed.
///
/// # Errors
/// [`VolumeError::Read`] for what cannot be read, [`VolumeError::NoScans`] if there are none at all.
pub fn find_scans_below(path: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let mut scans = Vec::new();
    collect_below(path, &mut scans)?;
    if scans.is_empty() {
        return Err(VolumeError::NoScans { path: path.to_owned() });
    }
    scans.sort();
    Ok(scans)
}

fn collect_below(path: &Path, scans: &mut Vec<PathBuf>) -> Result<(), VolumeError> {
    match find_scans(path) {
        Err(VolumeError::NoScans { .. }) => {}
        found => scans.extend(found?),
    }
    if !path.is_dir() {
        return Ok(());
    }
    let fail = |source| VolumeError::Read { path: path.to_owned(), source };
    for entry in fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.file_type().map_err(fail)?.is_dir() {
            collect_below(&entry.path(), scans)?;
        }
    }
    Ok(())
}

/// The name of a scan: its file's without `.nii` or `.nii.gz`, in either case.
///
/// ```
/// # use disyre_volume::scan_name;
/// # use std::path::Path;
/// assert_eq!(scan_name(Path::new("scans/sub-01_T1w.nii.gz")), "sub-01_T1w");
/// ```
pub fn scan_name(path: &Path) -> String {
    let mut name = file_name(path);
    let lower = name.to_ascii_lowercase();
    let suffix = [".nii.gz", ".nii"].into_iter().find(|suffix| lower.ends_with(suffix));
    name.truncate(name.len() - suffix.map_or(0, str::len));
    name
}

fn is_scan_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.starts_with('.') && (lower.ends_with(".nii") || lower.ends_with(".nii.gz"))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The file name of something derived from a scan, in the manner of BIDS: `desc-DESCRIPTION`, the suffix last.
///
/// A `desc` that the name already has is kept in front of the new one, so that different inputs get different names.
///
/// ```
/// # use disyre_volume::output_name;
/// # use std::path::Path;
/// let name = |input| output_name(Path::new(input), "anomalyscore");
/// assert_eq!(name("scans/sub-01_T1w.nii.gz"), Path::new("sub-01_desc-anomalyscore_T1w.nii.gz"));
/// assert_eq!(name("patient 7.nii"), Path::new("patient 7_desc-anomalyscore.nii.gz"));
/// ```
pub fn output_name(input: &Path, description: &str) -> PathBuf {
    let mut parts: Vec<String> = scan_name(input).split('_').map(str::to_owned).collect();
    let is_entity = |part: &String| part.contains('-');
    let last_is_suffix = parts.len() > 1
        && is_entity(&parts[0])
        && parts.last().is_some_and(|last| !is_entity(last));
    if let Some(part) = parts.iter_mut().find(|part| part.starts_with("desc-")) {
        part.push_str(description);
    } else {
        let at = if last_is_suffix { parts.len() - 1 } else { parts.len() };
        parts.insert(at, format!("desc-{description}"));
    }
    PathBuf::from(parts.join("_") + ".nii.gz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_bids_get_the_description_last() {
        let name = |input| output_name(Path::new(input), "mask").to_string_lossy().into_owned();
        assert_eq!(name("T1.NII.GZ"), "T1_desc-mask.nii.gz");
        assert_eq!(name("ms07_t1.nii.gz"), "ms07_t1_desc-mask.nii.gz");
        assert_eq!(name("sub-01.nii"), "sub-01_desc-mask.nii.gz");
        assert_eq!(name("sub-01_desc-brain_T1w.nii"), "sub-01_desc-brainmask_T1w.nii.gz");
        assert_eq!(name("noextension"), "noextension_desc-mask.nii.gz");
    }

    #[test]
    fn a_scan_is_named_without_its_extensions() {
        let name = |input| scan_name(Path::new(input));
        assert_eq!(name("a/sub-01_T1w.nii.gz"), "sub-01_T1w");
        assert_eq!(name("X.NII"), "X");
        assert_eq!(name("notes.gz"), "notes.gz");
        assert_eq!(name(""), "");
    }

    #[test]
    fn a_folder_stands_for_its_scans_in_order_of_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(matches!(find_scans(folder.path()), Err(VolumeError::NoScans { .. })));
        for name in ["b.nii.gz", "a.nii", "._a.nii", "notes.txt"] {
            fs::write(at(name), []).unwrap();
        }
        fs::create_dir(at("deeper.nii")).unwrap();
        assert_eq!(find_scans(folder.path()).unwrap(), [at("a.nii"), at("b.nii.gz")]);
        assert_eq!(find_scans(&at("notes.txt")).unwrap(), [at("notes.txt")]);
        fs::create_dir_all(at("deeper.nii/still/.hidden")).unwrap();
        for name in ["deeper.nii/still/c.nii", "deeper.nii/still/.hidden/d.nii"] {
            fs::write(at(name), []).unwrap();
        }
        assert_eq!(
            find_scans_below(folder.path()).unwrap(),
            [at("a.nii"), at("b.nii.gz"), at("deeper.nii/still/c.nii")]
        );
        assert!(matches!(
            find_scans_below(&at("deeper.nii/still/.hidden/none")),
            Err(VolumeError::Read { .. })
        ));
        assert!(matches!(find_scans(&at("nowhere")), Err(VolumeError::Read { .. })));
    }
}
