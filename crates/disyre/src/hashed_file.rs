//! Files that samples were made with, by name and hash: a recipe records them and finds them again.

use std::path::{Path, PathBuf};

use disyre_volume::{ScanName, find_scans, find_scans_below, path_text};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// A file that a sample was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[doc(alias = "Source")]
pub struct HashedFile {
    /// File name without its extensions.
    pub name: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

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

impl HashedFile {
    /// Names a file and hashes it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn of(path: &Path) -> Result<Self, Error> {
        Ok(Self { name: ScanName::of(path).to_string(), sha256: sha256_of(path)? })
    }

    /// The file of this name among some; its contents must be those of the recipe.
    pub(crate) fn find(&self, folder: &Path, files: &[PathBuf]) -> Result<PathBuf, Error> {
        let path = files.iter().find(|path| ScanName::of(path).as_str() == self.name).ok_or_else(
            || Error::MissingSource { name: self.name.clone(), folder: folder.to_owned() },
        )?;
        match Self::of(path)?.sha256 {
            got if got == self.sha256 => Ok(path.clone()),
            got => {
                let (path, expected) = (path.clone(), self.sha256.clone());
                Err(Error::ChangedSource { path, expected, got })
            }
        }
    }
}

/// SHA-256 of a file, hexadecimal.
pub(crate) fn sha256_of(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

impl HashedFolder {
    /// Names and hashes all NIfTI files of a folder and its subfolders; the latter stand before a name, with slashes.
    ///
    /// # Errors
    /// [`Error::Volume`] for a folder without any, [`Error::Io`] naming a file.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let source = |path: &PathBuf| {
            let source = HashedFile::of(path)?;
            let inside = path.strip_prefix(folder).ok().and_then(Path::parent);
            let folders = inside.into_iter().flat_map(Path::components);
            let folders = folders.map(|part| path_text(part.as_ref()) + "/");
            let name = folders.collect::<String>() + &source.name;
            Ok::<_, Error>(HashedFile { name, ..source })
        };
        let files = find_scans_below(folder)?;
        let sources = files.par_iter().map(source);
        Ok(Self { folder: folder.to_owned(), sources: sources.collect::<Result<_, _>>()? })
    }

    /// The only file, as it was.
    pub(crate) fn only(&self) -> Result<PathBuf, Error> {
        let files = find_scans(&self.folder)?;
        let missing = || Error::MissingSource {
            name: "(the file of the scan)".into(),
            folder: self.folder.clone(),
        };
        self.sources.first().ok_or_else(missing)?.find(&self.folder, &files)
    }

    /// Checks that the folder holds these files and no others.
    pub(crate) fn ensure_unchanged(&self) -> Result<(), Error> {
        let now = Self::of(&self.folder)?;
        let both = self.sources.iter().zip(&now.sources);
        if let Some((then, now)) = both.clone().find(|(then, now)| then != now) {
            let path = self.folder.join(&now.name);
            let (expected, got) = (then.sha256.clone(), now.sha256.clone());
            return Err(Error::ChangedSource { path, expected, got });
        }
        match self.sources.get(both.len()).or(now.sources.get(both.len())) {
            Some(odd) => {
                Err(Error::MissingSource { name: odd.name.clone(), folder: self.folder.clone() })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// SHA-256 of "abc", from the standard (FIPS 180-2, appendix B.1).
    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn write(folder: &Path, name: &str, contents: &str) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    #[test]
    fn a_file_is_named_without_extensions_and_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let source = HashedFile::of(&write(folder.path(), "sub-01_T1w.nii.gz", "abc")).unwrap();
        assert_eq!(source, HashedFile { name: "sub-01_T1w".into(), sha256: OF_ABC.into() });
        let missing = HashedFile::of(&folder.path().join("none.nii"));
        assert!(matches!(missing, Err(Error::Io { action: "read", .. })));
    }

    #[test]
    fn a_source_is_found_by_its_name_if_its_contents_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["b.nii", "a.nii"].map(|name| write(folder.path(), name, "abc"));
        let source = HashedFile::of(&files[1]).unwrap();
        assert_eq!(source.find(folder.path(), &files).unwrap(), files[1]);
        let missing = source.find(folder.path(), &files[..1]);
        assert!(matches!(missing, Err(Error::MissingSource { name, .. }) if name == "a"));
        write(folder.path(), "a.nii", "abd");
        let Err(Error::ChangedSource { path, expected, got }) = source.find(folder.path(), &files)
        else {
            panic!("the file has changed")
        };
        assert_eq!((path, expected.as_str()), (files[1].clone(), OF_ABC));
        assert_ne!(got, OF_ABC);
    }

    #[test]
    fn files_of_a_folder_carry_their_subfolders_in_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.nii", "stroke/left/a.nii", "notes.txt"] {
            write(folder.path(), name, "abc");
        }
        let all = HashedFolder::of(folder.path()).unwrap();
        let names: Vec<&str> = all.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["b", "stroke/left/a"]);
        assert!(all.sources.iter().all(|source| source.sha256 == OF_ABC));
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
        assert!(matches!(more, Err(Error::MissingSource { name, .. }) if name == "b"));
        let both = HashedFolder::of(folder.path()).unwrap();
        fs::remove_file(second).unwrap();
        let less = both.ensure_unchanged();
        assert!(matches!(less, Err(Error::MissingSource { name, .. }) if name == "b"));
        write(folder.path(), "a.nii", "other");
        let changed = then.ensure_unchanged();
        assert!(
            matches!(changed, Err(Error::ChangedSource { expected, .. }) if expected == OF_ABC)
        );
    }
}
