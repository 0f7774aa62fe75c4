//! [`TrainingFolder`]: the folder of a training, which one program at a time works in.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use disyre_core::{FolderLock, is_temporary, sweep};
use disyre_diffusion::{CONFIG_FILE, EMA_FILE, LOG_FILE, MODEL_FILE, TRAINING_FILE};

use crate::Error;
use crate::train::{PREPARATION_FILE, RECORD_FILE, SETTINGS_FILE, TISSUE_FILE};

/// Name of the file that the training program holds locked. A program that was killed leaves it behind.
const LOCK_FILE: &str = ".training.lock";

/// Files of a training, of which a folder has some after its first moments.
const FILES: [&str; 9] = [
    SETTINGS_FILE,
    RECORD_FILE,
    PREPARATION_FILE,
    TISSUE_FILE,
    CONFIG_FILE,
    MODEL_FILE,
    EMA_FILE,
    TRAINING_FILE,
    LOG_FILE,
];

/// The folder of a training, claimed: no other training can work there while this value lives.
///
/// A program claims it before it prepares its cohort, so that a training that is killed meanwhile has begun, too, and can be
/// resumed. If nothing is written, dropping the claim leaves nothing.
///
/// ```
/// use disyre::TrainingFolder;
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model");
/// let claim = TrainingFolder::claim(&path)?;
/// assert!(claim.is_empty() && !claim.has_training());
/// assert!(TrainingFolder::claim(&path).unwrap_err().to_string().contains("another training"));
/// drop(claim);
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TrainingFolder {
    path: PathBuf,
    empty: bool,
    has_training: bool,
    _lock: FolderLock,
}

impl TrainingFolder {
    /// Claims a folder, which is made if it is not there, and removes temporaries of programs that were killed.
    ///
    /// # Errors
    /// [`Error::InUse`] if another training runs there, [`Error::Io`] if the folder can't be made or written to.
    pub fn claim(path: &Path) -> Result<Self, Error> {
        let names = match fs::read_dir(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", path)(error)),
            Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
        };
        let lock = FolderLock::acquire(path, LOCK_FILE).map_err(Error::io("write to", path))?;
        let lock = lock.ok_or_else(|| Error::InUse { folder: path.to_owned() })?;
        sweep(path);
        let begun = |name: &OsStr| name == LOCK_FILE || FILES.iter().any(|file| name == *file);
        let has_training = names.iter().any(|name| begun(name));
        let (old, names): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| has_training && is_old_temporary(name));
        // Nobody else works here.
        old.iter().for_each(|name| drop(fs::remove_file(path.join(name))));
        let empty = names.iter().all(|name| name == LOCK_FILE || is_temporary(name));
        Ok(Self { path: path.to_owned(), empty, has_training, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it held no files when it was claimed.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Whether it held a training when it was claimed: one that ended, or was killed at any moment after its claim.
    pub fn has_training(&self) -> bool {
        self.has_training
    }
}

/// Whether a file is named as earlier versions named their temporaries of weights.
fn is_old_temporary(name: &OsStr) -> bool {
    let rest = name.as_encoded_bytes().strip_prefix(b".tmp");
    rest.is_some_and(|rest| rest.len() == 6 && rest.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_that_was_killed_while_it_prepared_has_begun() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK_FILE), "").unwrap();
        let claim = TrainingFolder::claim(folder.path()).unwrap();
        assert!(claim.is_empty() && claim.has_training());
        drop(claim);
        let claim = TrainingFolder::claim(folder.path()).unwrap();
        assert!(claim.is_empty() && !claim.has_training());
    }

    #[test]
    fn leftovers_are_removed_and_files_of_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let left = || {
            let names = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        [".disyre-aBc123", ".tmpaBc123"].iter().for_each(|name| fs::write(at(name), "").unwrap());
        let claim = TrainingFolder::claim(folder.path()).unwrap();
        assert!(!claim.is_empty() && !claim.has_training());
        drop(claim);
        assert_eq!(left(), [".tmpaBc123"], "this folder is none of a training");
        fs::write(at(MODEL_FILE), "").unwrap();
        let claim = TrainingFolder::claim(folder.path()).unwrap();
        assert!(!claim.is_empty() && claim.has_training());
        drop(claim);
        assert_eq!(left(), [MODEL_FILE]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = TrainingFolder::claim(&file.join("model")).unwrap_err();
        assert!(error.to_string().contains("file/model"), "{error}");
    }
}
