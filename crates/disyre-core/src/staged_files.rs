//! [`StagedFiles`]: several files that belong together, written aside and put in place at once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::TemporaryFolder;
use crate::write_whole::{flush_folder, folder_of};

/// Files that belong together: each is written aside, and all are put in place once they are whole.
///
/// Until [`commit`](Self::commit) the files of an earlier run stay as they were, whatever fails: a full disk, a killed program.
/// The file that is staged last is the record of the others. `commit` removes an earlier record first and puts the new one in
/// place last, so where a record is, the files are those that it describes.
///
/// ```
/// use disyre_core::{StagedFiles, write_whole};
/// use std::io::Write;
///
/// let folder = tempfile::tempdir()?;
/// let [map, record] = ["map.bin", "map.json"].map(|name| folder.path().join(name));
/// let mut staged = StagedFiles::default();
/// for path in [&map, &record] {
///     write_whole(&staged.stage(path)?, |file| file.write_all(b"new"))?;
/// }
/// assert!(!map.exists());
/// staged.commit(&[])?;
/// assert_eq!(std::fs::read(&record)?, b"new");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct StagedFiles {
    /// A temporary folder in each folder that gets files.
    aside: BTreeMap<PathBuf, TemporaryFolder>,
    /// Where each file is written, and where it belongs.
    files: Vec<(PathBuf, PathBuf)>,
}

impl StagedFiles {
    /// Path to write a file to that belongs to `path`: another folder, the same name. The folder of `path` has to be there.
    ///
    /// # Errors
    /// Those of making a temporary folder beside `path`.
    pub fn stage(&mut self, path: &Path) -> io::Result<PathBuf> {
        let folder = folder_of(path);
        if !self.aside.contains_key(folder) {
            self.aside.insert(folder.to_owned(), TemporaryFolder::new_in(folder)?);
        }
        let aside = self.aside[folder].path().join(path.file_name().unwrap_or_default());
        self.files.push((aside.clone(), path.to_owned()));
        Ok(aside)
    }

    /// Puts all files in place, and removes those of an earlier run that are `outdated`.
    ///
    /// # Errors
    /// Those of removing and renaming files, of which the record is the last.
    pub fn commit(self, outdated: &[PathBuf]) -> io::Result<()> {
        let Self { aside, files } = self;
        let record = files.last().map(|(_, path)| path);
        outdated.iter().chain(record).try_for_each(|path| remove_if_there(path))?;
        files
            .iter()
            .try_for_each(|(from, to)| fs::rename(from, to).map_err(|error| named(to, error)))?;
        aside.keys().try_for_each(|folder| flush_folder(folder))
    }
}

/// The same error, which names the one of the files that failed.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_that_are_not_committed_leave_the_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        ["map", "record"].iter().for_each(|name| fs::write(at(name), "old").unwrap());
        let mut staged = StagedFiles::default();
        fs::write(staged.stage(&at("map")).unwrap(), "new").unwrap();
        assert_eq!(fs::read_to_string(at("map")).unwrap(), "old");
        drop(staged);
        assert_eq!(names(folder.path()), ["map", "record"]);
        assert_eq!(fs::read_to_string(at("map")).unwrap(), "old");
    }

    #[test]
    fn a_commit_replaces_and_removes_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        ["map", "signed", "record"].iter().for_each(|name| fs::write(at(name), "old").unwrap());
        let mut staged = StagedFiles::default();
        for name in ["map", "record"] {
            fs::write(staged.stage(&at(name)).unwrap(), "new").unwrap();
        }
        staged.commit(&[at("signed"), at("uncertainty")]).unwrap();
        assert_eq!(names(folder.path()), ["map", "record"]);
        assert!(
            ["map", "record"].iter().all(|name| fs::read_to_string(at(name)).unwrap() == "new")
        );
    }

    #[test]
    fn a_commit_that_fails_leaves_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("record"), "old").unwrap();
        fs::create_dir_all(at("map/something")).unwrap();
        let mut staged = StagedFiles::default();
        for name in ["map", "record"] {
            fs::write(staged.stage(&at(name)).unwrap(), "new").unwrap();
        }
        assert!(staged.commit(&[]).is_err());
        assert_eq!(names(folder.path()), ["map"]);
    }
}
