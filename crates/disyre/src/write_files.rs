//! Writing whole files, for training's records and the sidecars of maps, alone or several that belong together.

use std::io::Write;
use std::path::{Path, PathBuf};

use disyre_core::{StagedFiles, write_whole};
use serde::Serialize;

use crate::Error;

/// Writes a file so that its final name never holds half of it.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_whole(path, |file| file.write_all(bytes)).map_err(Error::io("write", path))
}

/// Writes a value as indented JSON with a last line feed.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| Error::io("write", path)(error.into()))?;
    text.push(b'\n');
    write_bytes(path, &text)
}

/// Files that belong together, written aside and put in place at once: [`StagedFiles`] with this crate's errors.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    files: StagedFiles,
    record: PathBuf,
}

impl Staged {
    /// Path to write a file to that belongs to `path`; the last one is the record of the others.
    pub(crate) fn at(&mut self, path: &Path) -> Result<PathBuf, Error> {
        path.clone_into(&mut self.record);
        self.files.stage(path).map_err(Error::io("write", path))
    }

    /// The same for a file that there may not be.
    pub(crate) fn at_if(&mut self, path: &Option<PathBuf>) -> Result<Option<PathBuf>, Error> {
        path.as_deref().map(|path| self.at(path)).transpose()
    }

    /// Puts all in place and removes those that are outdated.
    pub(crate) fn commit(self, outdated: &[PathBuf]) -> Result<(), Error> {
        self.files.commit(outdated).map_err(Error::io("replace", &self.record))
    }
}
