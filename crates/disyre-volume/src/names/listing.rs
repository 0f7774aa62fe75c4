//! The scans that a path stands for; every verb that takes a folder lists it here.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::scan_list::in_subfolders;
use crate::VolumeError;

/// The scans that a path stands for: a file stands for itself, a folder for its entries named `.nii` or `.nii.gz`.
///
/// Sorted by name. Hidden entries and the contents of subfolders are left out ([`in_subfolders`](super::in_subfolders) has
/// those). An entry that is named like a scan but
/// is none, such as a link to nothing or a folder, is listed too, so that whoever reads it reports it.
///
/// # Errors
/// [`VolumeError::Read`] if there is nothing at `path`, [`VolumeError::NoScans`] for a folder without scans.
pub fn find_scans(path: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    list(path, Depth::Folder)
}

/// All scans below a path: those of [`find_scans`], and those of its subfolders at any depth.
///
/// Sorted by path; hidden files and folders are left out, links to folders are not followed.
///
/// # Errors
/// [`VolumeError::Read`] for what cannot be read, [`VolumeError::NoScans`] if there are none at all.
pub fn find_scans_below(path: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    list(path, Depth::Below)
}

/// Depth of a listing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The folder alone: its subfolders count as entries.
    Folder,
    /// The folder and everything below.
    Below,
}

/// The file itself, or the entries of a folder that are named like scans, sorted.
fn list(path: &Path, depth: Depth) -> Result<Vec<PathBuf>, VolumeError> {
    if !fs::metadata(path).map_err(cannot_read(path))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut scans = Vec::new();
    collect(path, depth, &mut scans)?;
    if scans.is_empty() {
        let deeper = in_subfolders(path, &[]).into_iter().next();
        return Err(VolumeError::NoScans { path: path.to_owned(), deeper });
    }
    scans.sort();
    Ok(scans)
}

fn collect(folder: &Path, depth: Depth, scans: &mut Vec<PathBuf>) -> Result<(), VolumeError> {
    for entry in entries(folder)? {
        let folder = fs::symlink_metadata(&entry).map_err(cannot_read(&entry))?.is_dir();
        if folder && depth == Depth::Below {
            collect(&entry, depth, scans)?;
        } else if is_named_like_a_scan(&entry) {
            scans.push(entry);
        }
    }
    Ok(())
}

/// Entries of a folder that are not hidden.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot_read(folder))? {
        let entry = entry.map_err(cannot_read(folder))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(entry.path());
        }
    }
    Ok(entries)
}

pub(super) fn is_named_like_a_scan(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes().to_ascii_lowercase();
    name.ends_with(b".nii") || name.ends_with(b".nii.gz")
}

fn cannot_read(path: &Path) -> impl FnOnce(io::Error) -> VolumeError + '_ {
    |source| VolumeError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_its_scans_in_order_of_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(matches!(find_scans(folder.path()), Err(VolumeError::NoScans { .. })));
        for name in ["b.nii.gz", "a.nii", "._a.nii", "notes.txt"] {
            fs::write(at(name), []).unwrap();
        }
        fs::create_dir(at("deeper.nii")).unwrap();
        assert_eq!(
            find_scans(folder.path()).unwrap(),
            [at("a.nii"), at("b.nii.gz"), at("deeper.nii")],
            "a folder named like a scan is reported by whoever reads it"
        );
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

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("gone.nii.gz");
        std::os::unix::fs::symlink("../.git/annex/objects/gone", &link).unwrap();
        let expected = std::slice::from_ref(&link);
        assert_eq!(find_scans(folder.path()).unwrap(), expected);
        assert_eq!(find_scans_below(folder.path()).unwrap(), expected);
    }
}
