//! [`StoredFiles`]: the files of a model, in a folder or in the program.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use disyre_core::Volume;
use disyre_volume::Scan;

use crate::Error;

/// Files that are part of the program: each with its path below their folder, and its contents.
pub(crate) type EmbeddedFiles = &'static [(&'static str, &'static [u8])];

/// Files by name: those of a folder, or some that are part of the program.
#[derive(Debug, Clone)]
pub(crate) struct StoredFiles {
    /// The folder; where the files are part of the program, its name in messages.
    folder: PathBuf,
    embedded: Option<EmbeddedFiles>,
    /// Path of a subfolder below that of the embedded files, with a slash at its end.
    prefix: String,
}

impl StoredFiles {
    /// The files of a folder.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), embedded: None, prefix: String::new() }
    }

    /// Files of the program; `name` stands for their folder in messages.
    #[cfg(any(feature = "weights", test))]
    pub(crate) fn embedded(name: &str, files: EmbeddedFiles) -> Self {
        Self { folder: name.into(), embedded: Some(files), prefix: String::new() }
    }

    /// The files of a subfolder.
    pub(crate) fn subfolder(&self, name: &str) -> Self {
        let (folder, prefix) = (self.folder.join(name), format!("{}{name}/", self.prefix));
        Self { folder, prefix, ..*self }
    }

    /// The folder, or its name in messages.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether they are part of the program.
    pub(crate) fn are_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Path of a file, for messages.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Whether there is a file of this name.
    pub(crate) fn has(&self, file: &str) -> bool {
        match self.embedded {
            Some(_) => self.find(file).is_some(),
            None => self.path(file).is_file(),
        }
    }

    /// Contents of a file.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(crate) fn read(&self, file: &str) -> Result<Cow<'static, [u8]>, Error> {
        let path = self.path(file);
        match self.embedded {
            Some(_) => {
                let found = self.find(file).map(Cow::Borrowed);
                found.ok_or_else(|| Error::io("read", &path)(io::ErrorKind::NotFound.into()))
            }
            None => fs::read(&path).map(Cow::Owned).map_err(Error::io("read", &path)),
        }
    }

    /// Contents of a file of text.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file, also where it is not UTF-8.
    pub(crate) fn read_text(&self, file: &str) -> Result<String, Error> {
        let text = String::from_utf8(self.read(file)?.into_owned());
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        text.map_err(|error| Error::io("read", &self.path(file))(invalid(error)))
    }

    /// Reads a volume.
    ///
    /// # Errors
    /// Those of [`Scan::read`].
    pub(crate) fn volume(&self, file: &str) -> Result<Volume, Error> {
        let path = self.path(file);
        let scan = match self.find(file) {
            Some(bytes) => Scan::from_bytes(path, bytes)?,
            None => Scan::read(path)?,
        };
        Ok(scan.volume)
    }

    fn find(&self, file: &str) -> Option<&'static [u8]> {
        let path = format!("{}{file}", self.prefix);
        let mut files = self.embedded?.iter();
        files.find(|(name, _)| *name == path).map(|&(_, contents)| contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: EmbeddedFiles =
        &[("a.txt", b"one"), ("b.bin", &[0xff]), ("sub/a.txt", b"two"), ("sub/deep/c", b"")];

    #[test]
    fn a_folder_and_the_program_answer_alike() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sub/deep")).unwrap();
        FILES.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
        for files in [StoredFiles::of_folder(folder.path()), StoredFiles::embedded("inside", FILES)]
        {
            assert!(files.has("a.txt") && files.has("b.bin") && !files.has("c"));
            assert_eq!(files.read_text("a.txt").unwrap(), "one");
            assert_eq!(*files.read("b.bin").unwrap(), [0xff]);
            let below = files.subfolder("sub");
            assert_eq!(below.read_text("a.txt").unwrap(), "two");
            assert!(!below.has("b.bin") && below.subfolder("deep").has("c"));
            assert_eq!(below.path("a.txt"), files.path("sub/a.txt"));
            for missing in ["c", "b.bin"] {
                let error = files.read_text(missing).unwrap_err();
                let path = files.path(missing).display().to_string();
                assert_eq!(error.to_string(), format!("cannot read {path}"));
            }
        }
    }
}
