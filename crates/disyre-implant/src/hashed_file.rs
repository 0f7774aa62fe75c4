//! Files by name and hash: tables and recipes record them, replays find them again.

use std::fs;
use std::path::{Path, PathBuf};

use disyre_volume::path_text;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ImplantError;

/// A file by its name and contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashedFile {
    /// Name of the file; of a file below a folder, its path from there, with slashes.
    pub file: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

impl HashedFile {
    /// Names a file and hashes it.
    ///
    /// # Errors
    /// [`ImplantError::File`] naming the file.
    pub fn of(path: &Path) -> Result<Self, ImplantError> {
        let bytes = fs::read(path).map_err(ImplantError::file("read", path))?;
        let file = path_text(path.file_name().unwrap_or_default().as_ref());
        Ok(Self { file, sha256: sha256(&bytes) })
    }

    /// Finds the file again; its contents must be the same.
    pub(crate) fn find(&self, files: &[PathBuf]) -> Result<PathBuf, ImplantError> {
        let named =
            |path: &&PathBuf| path_text(path.file_name().unwrap_or_default().as_ref()) == self.file;
        let missing = || {
            let folder = files.first().and_then(|file| file.parent()).unwrap_or(Path::new(""));
            ImplantError::MissingFile { name: self.file.clone(), folder: folder.to_owned() }
        };
        let path = files.iter().find(named).ok_or_else(missing)?;
        self.ensure(path, &Self::of(path)?.sha256)?;
        Ok(path.clone())
    }

    /// Refuses other contents.
    pub(crate) fn ensure(&self, path: &Path, sha256: &str) -> Result<(), ImplantError> {
        if self.sha256 == sha256 {
            return Ok(());
        }
        let (path, expected, got) = (path.to_owned(), self.sha256.clone(), sha256.to_owned());
        Err(ImplantError::ChangedFile { path, expected, got })
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
