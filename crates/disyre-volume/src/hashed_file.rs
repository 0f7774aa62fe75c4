//! Files by name and hash: recipes and tables record them, replays find them again.

use std::path::{Path, PathBuf};

pub use disyre_core::sha256_of_bytes;
use serde::{Deserialize, Serialize};

use crate::{ScanName, VolumeError, path_text};

/// A file by its name and contents.
///
/// ```
/// use disyre_volume::HashedFile;
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("sub-01_T1w.nii.gz");
/// std::fs::write(&path, "abc")?;
/// let file = HashedFile::of(&path)?;
/// assert_eq!(file.name, "sub-01_T1w");
/// assert!(file.sha256.starts_with("ba7816bf"));
/// assert_eq!(file.find(folder.path(), &[path.clone()])?, path);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashedFile {
    /// File name without its extensions; of a file below a folder, its path from there, with slashes.
    pub name: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

impl HashedFile {
    /// Names a file and hashes it.
    ///
    /// # Errors
    /// [`VolumeError::Read`] naming the file.
    pub fn of(path: &Path) -> Result<Self, VolumeError> {
        Ok(Self { name: ScanName::of(path).to_string(), sha256: sha256_of_file(path)? })
    }

    /// Names a file by its path below a folder, and hashes it.
    ///
    /// # Errors
    /// [`VolumeError::Read`] naming the file.
    pub fn below(folder: &Path, path: &Path) -> Result<Self, VolumeError> {
        let Self { name, sha256 } = Self::of(path)?;
        let folders = path.strip_prefix(folder).ok().and_then(Path::parent);
        let folders = folders.into_iter().flat_map(Path::components);
        let folders: String = folders.map(|part| path_text(part.as_ref()) + "/").collect();
        Ok(Self { name: folders + &name, sha256 })
    }

    /// The file of this name among the files of a folder; its contents must be the same.
    ///
    /// # Errors
    /// [`VolumeError::MissingFile`], [`VolumeError::ChangedFile`]; [`VolumeError::Read`].
    pub fn find(&self, folder: &Path, files: &[PathBuf]) -> Result<PathBuf, VolumeError> {
        let named = files.iter().find(|path| ScanName::of(path).as_str() == self.name);
        let path = named.ok_or_else(|| self.missing_in(folder))?;
        self.ensure_unchanged(path, &sha256_of_file(path)?)?;
        Ok(path.clone())
    }

    /// Refuses a file of other contents; `path` is for the message.
    ///
    /// # Errors
    /// [`VolumeError::ChangedFile`].
    pub fn ensure_unchanged(&self, path: &Path, sha256: &str) -> Result<(), VolumeError> {
        if self.sha256 == sha256 {
            return Ok(());
        }
        let (path, expected, got) = (path.to_owned(), self.sha256.clone(), sha256.to_owned());
        Err(VolumeError::ChangedFile { path, expected, got })
    }

    /// The error that says that this file is not in a folder.
    pub fn missing_in(&self, folder: &Path) -> VolumeError {
        VolumeError::MissingFile { name: self.name.clone(), folder: folder.to_owned() }
    }
}

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
/// [`VolumeError::Read`] naming the file.
pub fn sha256_of_file(path: &Path) -> Result<String, VolumeError> {
    let failed = |source| VolumeError::Read { path: path.to_owned(), source };
    disyre_core::sha256_of_file(path).map_err(failed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;

    pub(crate) fn write(folder: &Path, name: &str, contents: &str) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    #[test]
    fn a_file_is_named_without_extensions_and_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let file = HashedFile::of(&write(folder.path(), "sub-01_T1w.nii.gz", "abc")).unwrap();
        assert_eq!(file, HashedFile { name: "sub-01_T1w".into(), sha256: sha256_of_bytes(b"abc") });
        let missing = HashedFile::of(&folder.path().join("none.nii"));
        assert!(matches!(missing, Err(VolumeError::Read { .. })));
    }

    #[test]
    fn a_file_below_a_folder_carries_its_subfolders_in_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "stroke/left/a.nii", "abc");
        let file = HashedFile::below(folder.path(), &path).unwrap();
        assert_eq!(
            file,
            HashedFile { name: "stroke/left/a".into(), sha256: sha256_of_bytes(b"abc") }
        );
    }

    #[test]
    fn a_file_is_found_by_its_name_if_its_contents_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["b.nii", "a.nii"].map(|name| write(folder.path(), name, "abc"));
        let file = HashedFile::of(&files[1]).unwrap();
        assert_eq!(file.find(folder.path(), &files).unwrap(), files[1]);
        let missing = file.find(folder.path(), &files[..1]);
        assert!(matches!(missing, Err(VolumeError::MissingFile { name, .. }) if name == "a"));
        write(folder.path(), "a.nii", "abd");
        let changed = file.find(folder.path(), &files);
        let Err(VolumeError::ChangedFile { path, expected, got }) = changed else {
            panic!("the file has changed")
        };
        assert_eq!((path, expected.as_str()), (files[1].clone(), file.sha256.as_str()));
        assert_eq!(got, sha256_of_bytes(b"abd"));
    }
}
