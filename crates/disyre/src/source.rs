//! Files that samples were made with, by name and hash: a recipe records them and finds them again.

use std::path::{Path, PathBuf};

use disyre_volume::{find_scans, find_scans_below, scan_name};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// A file that a sample was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// File name without its extensions.
    pub name: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// Files of a folder other than that of the scans: masks that shapes come from, segmentations, or location maps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFolder {
    /// Where it was.
    pub folder: PathBuf,
    /// The files, in order.
    pub sources: Vec<Source>,
}

impl Source {
    /// Names a file and hashes it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name: scan_name(path), sha256 })
    }

    /// The file of this name among some; its contents must be those of the recipe.
    pub(crate) fn find(&self, folder: &Path, files: &[PathBuf]) -> Result<PathBuf, Error> {
        let path = files.iter().find(|path| scan_name(path) == self.name).ok_or_else(|| {
            Error::MissingSource { name: self.name.clone(), folder: folder.to_owned() }
        })?;
        match Self::of(path)?.sha256 {
            got if got == self.sha256 => Ok(path.clone()),
            got => {
                let (path, expected) = (path.clone(), self.sha256.clone());
                Err(Error::ChangedSource { path, expected, got })
            }
        }
    }
}

impl SourceFolder {
    /// Names and hashes all NIfTI files of a folder and its subfolders; the latter stand before a name, with slashes.
    ///
    /// # Errors
    /// [`Error::Volume`] for a folder without any, [`Error::Io`] naming a file.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let source = |path: &PathBuf| {
            let source = Source::of(path)?;
            let inside = path.strip_prefix(folder).ok().and_then(Path::parent);
            let folders = inside.into_iter().flat_map(Path::components);
            let folders = folders.map(|part| format!("{}/", part.as_os_str().to_string_lossy()));
            let name = folders.collect::<String>() + &source.name;
            Ok::<_, Error>(Source { name, ..source })
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

    /// That the folder holds these files and no others.
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
