//! [`ScanList`]: the scans of a folder to work on, and every file that is passed over, with the reason.
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::listing::{entries, find_scans, is_named_like_a_scan};
use super::scan_name::ScanName;
use super::sidecar_kind::SidecarKind;
use super::sidecars::is_sidecar_of;
use crate::{Scan, ScanContent, VolumeError};

/// The scans of a folder, and the files that are passed over.
///
/// ```
/// use disyre_core::ndarray::Array3;
/// use disyre_volume::{Grid, PassedOverReason, Volume, list_scans, write_volume};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let grid = Grid::from_spacing([8; 3], [1.0; 3]);
/// let scan = Volume::new(Array3::from_shape_fn(grid.shape, |(z, y, x)| (64 * z + 8 * y + x) as f32), grid)?;
/// let mask = Volume::new(scan.data.mapv(|value| f32::from(u8::from(value > 99.0))), grid)?;
/// write_volume(&folder.join("a.nii"), &scan)?;
/// write_volume(&folder.join("a_mask.nii"), &mask)?;
/// let list = list_scans(folder, &[])?;
/// assert_eq!(list.scans, [folder.join("a.nii")]);
/// assert!(matches!(list.passed_over[0].reason, PassedOverReason::Sidecar { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanList {
    /// Scans to work on, sorted by name. What is named like a scan and cannot be read is among them.
    pub scans: Vec<PathBuf>,
    /// Files that are none of them, sorted.
    pub passed_over: Vec<PassedOver>,
}

/// A file that is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub reason: PassedOverReason,
}

/// Reason why a file is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassedOverReason {
    /// It is a map that disyre made, by its name.
    Output,
    /// It is a mask or the like of another scan, by its name and by its values.
    Sidecar {
        /// Kind of file.
        kind: SidecarKind,
        /// Its scan.
        of: PathBuf,
    },
    /// It lies in a subfolder: a fault, since the scan may have been meant.
    InSubfolder,
}

impl fmt::Display for PassedOverReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output => f.write_str("a map that disyre made"),
            Self::Sidecar { kind, of } => write!(f, "the {kind} of {}", of.display()),
            Self::InSubfolder => f.write_str("in a subfolder"),
        }
    }
}

impl ScanList {
    /// Files in subfolders, which nobody reads.
    pub fn in_subfolders(&self) -> Vec<PathBuf> {
        let deeper = |file: &&PassedOver| file.reason == PassedOverReason::InSubfolder;
        self.passed_over.iter().filter(deeper).map(|file| file.path.clone()).collect()
    }

    /// The scans, if none is lost in a subfolder.
    ///
    /// # Errors
    /// [`VolumeError::InSubfolders`].
    pub fn whole(self, folder: &Path) -> Result<Vec<PathBuf>, VolumeError> {
        let files = self.in_subfolders();
        match files.is_empty() {
            true => Ok(self.scans),
            false => Err(VolumeError::InSubfolders { folder: folder.to_owned(), files }),
        }
    }
}

/// Lists the scans that a path stands for: a file stands for itself, a folder for its scans.
///
/// Of a folder, maps that disyre made are passed over, and files that are masks, segmentations or location maps of another
/// scan of the folder by their names and by their values; the latter are logged as a warning. Files in subfolders are listed
/// as passed over too, but for the folders or files `elsewhere`, which have another role, for maps that disyre made, and
/// for masks of the scans.
///
/// # Errors
/// Those of [`find_scans`]; [`VolumeError::NoScans`] if all files are passed over.
pub fn list_scans(path: &Path, elsewhere: &[&Path]) -> Result<ScanList, VolumeError> {
    let files = find_scans(path)?;
    if !path.is_dir() {
        return Ok(ScanList { scans: files, passed_over: Vec::new() });
    }
    let (mut scans, mut passed_over) = (Vec::new(), Vec::new());
    for file in &files {
        match reason(file, &files) {
            None => scans.push(file.clone()),
            Some(reason) => {
                if let PassedOverReason::Sidecar { .. } = reason {
                    log::warn!("{} is passed over: it is {reason}", file.display());
                }
                passed_over.push(PassedOver { path: file.clone(), reason });
            }
        }
    }
    let deeper = in_subfolders(path, elsewhere).into_iter();
    let lost =
        deeper.filter(|file| !ScanName::of(file).is_output() && owner(file, &scans).is_none());
    let reason = PassedOverReason::InSubfolder;
    passed_over.extend(lost.map(|path| PassedOver { path, reason: reason.clone() }));
    passed_over.sort_by(|a, b| a.path.cmp(&b.path));
    if scans.is_empty() {
        let deeper = passed_over.into_iter().find(|file| file.reason == reason);
        let (path, deeper) = (path.to_owned(), deeper.map(|file| file.path));
        return Err(VolumeError::NoScans { path, deeper });
    }
    Ok(ScanList { scans, passed_over })
}

/// Why a file of a folder is none of its scans.
fn reason(file: &Path, all: &[PathBuf]) -> Option<PassedOverReason> {
    if ScanName::of(file).is_output() {
        return Some(PassedOverReason::Output);
    }
    let (kind, of) = owner(file, all)?;
    // The name alone may be that of another scan, as a stripped `a_brain` beside `a`.
    let read = Scan::read(file).ok()?;
    let content = ScanContent::of(read.volume.data.view());
    (content != ScanContent::Intensities)
        .then(|| PassedOverReason::Sidecar { kind, of: of.to_owned() })
}

/// The scan that a file belongs to by its name, and the kind of the file.
fn owner<'a>(file: &Path, scans: &'a [PathBuf]) -> Option<(SidecarKind, &'a Path)> {
    let name = ScanName::of(file);
    let owner = |kind: SidecarKind| {
        let scan = scans.iter().find(|scan| is_sidecar_of(kind, &ScanName::of(scan), &name))?;
        Some((kind, scan.as_path()))
    };
    SidecarKind::ALL.into_iter().find_map(owner)
}

/// Files in the subfolders of a folder, at any depth, that are named like scans; sorted.
///
/// Hidden files and folders are left out, and those of `elsewhere` with all that is in them. Links to folders are followed,
/// each folder once. What cannot be listed is left out.
pub fn in_subfolders(folder: &Path, elsewhere: &[&Path]) -> Vec<PathBuf> {
    let mut seen: HashSet<PathBuf> =
        elsewhere.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let mut found = Vec::new();
    seen.extend(fs::canonicalize(folder));
    collect(folder, false, &mut seen, &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, deep: bool, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) {
    for entry in entries(folder).unwrap_or_default() {
        // A folder that is named like a scan is listed as one.
        let is_listed = is_named_like_a_scan(&entry);
        if entry.is_dir() {
            let is_new = fs::canonicalize(&entry).is_ok_and(|real| seen.insert(real));
            if is_new && (deep || !is_listed) {
                collect(&entry, true, seen, found);
            }
        } else if deep
            && is_listed
            && fs::canonicalize(&entry).map_or(true, |real| !seen.contains(&real))
        {
            found.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, []).unwrap();
        }
        folder
    }

    #[test]
    fn scans_in_subfolders_are_named_and_other_roles_are_not_theirs() {
        let folder = folder_of(&[
            "a.nii",
            "b.nii",
            "deep/er/c.nii.gz",
            "out/a_desc-anomalyscore.nii",
            "masks/a_desc-brain_mask.nii",
            "labels/x.nii",
            "deep/.git/d.nii",
        ]);
        let at = |name: &str| folder.path().join(name);
        let list = list_scans(folder.path(), &[&at("labels")]).unwrap();
        assert_eq!(list.scans, [at("a.nii"), at("b.nii")]);
        assert_eq!(list.in_subfolders(), [at("deep/er/c.nii.gz")]);
        let error = list.whole(folder.path()).unwrap_err();
        assert!(error.to_string().contains("c.nii.gz"), "{error}");
        let elsewhere = [at("labels"), at("deep")];
        let list = list_scans(folder.path(), &elsewhere.each_ref().map(PathBuf::as_path)).unwrap();
        assert_eq!(list.whole(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_folder_of_subfolders_says_where_scans_are() {
        let folder = folder_of(&["sub-1/anat/sub-1_T1w.nii.gz"]);
        let error = list_scans(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("sub-1_T1w.nii.gz"), "{error}");
        let folder = folder_of(&["a_desc-anomalyscore.nii"]);
        assert!(matches!(
            list_scans(folder.path(), &[]),
            Err(VolumeError::NoScans { deeper: None, .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_are_followed_and_loops_end() {
        let folder = folder_of(&["a.nii", "x/b.nii"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("x/again")).unwrap();
        let elsewhere = folder_of(&["c.nii"]);
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("x/gone.nii")).unwrap();
        let found = in_subfolders(folder.path(), &[]);
        assert_eq!(
            found,
            ["link/c.nii", "x/b.nii", "x/gone.nii"].map(|name| folder.path().join(name))
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_stays_a_scan() {
        let folder = folder_of(&["a.nii", "a_mask.nii"]);
        assert_eq!(list_scans(folder.path(), &[]).unwrap().scans.len(), 2);
    }
}
