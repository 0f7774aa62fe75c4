//! Folders of files that samples were made with, by name and hash: a recipe records them and finds them again.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{HashedFile, VolumeError, find_scans, find_scans_below};

/// Files of a folder other than that of the scans: masks that shapes come from, segmentations, or location maps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[doc(alias = "SourceFolder")]
pub struct HashedFolder {
    /// Path of the folder.
    pub folder: PathBuf,
    /// The files, in order.
    pub sources: Vec<HashedFile>,
}

impl HashedFolder {
    /// Names and hashes all NIfTI files of a folder and its subfolders; the latter stand before a name, with slashes.
    ///
    /// # Errors
    /// [`VolumeError`] for a folder without any, or naming a file.
    pub fn of(folder: &Path) -> Result<Self, VolumeError> {
        let files = find_scans_below(folder)?;
        let sources = files.par_iter().map(|path| HashedFile::below(folder, path));
        Ok(Self { folder: folder.to_owned(), sources: sources.collect::<Result<_, _>>()? })
    }

    /// The only file, as it was.
    ///
    /// # Errors
    /// [`VolumeError::MissingFile`], [`VolumeError::ChangedFile`], and those of listing and reading.
    pub fn only(&self) -> Result<PathBuf, VolumeError> {
        let files = find_scans(&self.folder)?;
        let missing = || VolumeError::MissingFile {
            name: "(the file of the scan)".into(),
            folder: self.folder.clone(),
        };
        self.sources.first().ok_or_else(missing)?.find(&self.folder, &files)
    }

    /// Checks that the folder holds these files and no others.
    ///
    /// # Errors
    /// As [`only`](Self::only), naming the first file that differs.
    pub fn ensure_unchanged(&self) -> Result<(), VolumeError> {
        let now = Self::of(&self.folder)?;
        let both = self.sources.iter().zip(&now.sources);
        if let Some((then, now)) = both.clone().find(|(then, now)| then != now) {
            let (path, expected) = (self.folder.join(&now.name), then.sha256.clone());
            let got = now.sha256.clone();
            return Err(VolumeError::ChangedFile { path, expected, got });
        }
        match self.sources.get(both.len()).or(now.sources.get(both.len())) {
            Some(odd) => Err(odd.missing_in(&self.folder)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashed_file::tests::write;
    use crate::sha256_of_bytes;
    use std::fs;

    #[test]
    fn files_of_a_folder_carry_their_subfolders_in_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.nii", "stroke/left/a.nii", "notes.txt"] {
            write(folder.path(), name, "abc");
        }
        let all = HashedFolder::of(folder.path()).unwrap();
        let names: Vec<&str> = all.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["b", "stroke/left/a"]);
        assert!(all.sources.iter().all(|source| source.sha256 == sha256_of_bytes(b"abc")));
    }

    #[test]
    fn a_folder_with_a_file_changed_more_or_less_is_not_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), "a.nii", "abc");
        let then = HashedFolder::of(folder.path()).unwrap();
        then.ensure_unchanged().unwrap();
        assert_eq!(then.only().unwrap(), first);
        let second = write(folder.path(), "b.nii", "abc");
        let more = then.ensure_unchanged();
        assert!(matches!(more, Err(VolumeError::MissingFile { name, .. }) if name == "b"));
        let both = HashedFolder::of(folder.path()).unwrap();
        fs::remove_file(second).unwrap();
        let less = both.ensure_unchanged();
        assert!(matches!(less, Err(VolumeError::MissingFile { name, .. }) if name == "b"));
        write(folder.path(), "a.nii", "other");
        let changed = then.ensure_unchanged();
        assert!(
            matches!(changed, Err(VolumeError::ChangedFile { expected, .. }) if expected == sha256_of_bytes(b"abc"))
        );
    }
}
