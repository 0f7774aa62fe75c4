//! Temporary files and folders, locked while they are in use: [`sweep`] removes those of programs that were killed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempDir};

/// How the names of all temporaries begin; six letters and digits follow.
const PREFIX: &str = ".disyre-";

/// How often a temporary is made anew that a sweep took for a dead one.
const ATTEMPTS: usize = 100;

/// A folder for temporary files below another folder, removed with its contents when this value is dropped.
///
/// It is locked while this value lives, so that [`sweep`] tells it from those of programs that were killed.
///
/// ```
/// use disyre_core::TemporaryFolder;
///
/// let folder = tempfile::tempdir()?;
/// let temporary = TemporaryFolder::new_in(folder.path())?;
/// std::fs::write(temporary.path().join("a.txt"), "a")?;
/// drop(temporary);
/// assert_eq!(std::fs::read_dir(&folder)?.count(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    _lock: Option<File>,
}

impl TemporaryFolder {
    /// Makes one in a folder.
    ///
    /// # Errors
    /// Those of making a folder.
    pub fn new_in(parent: &Path) -> io::Result<Self> {
        let make = || Builder::new().prefix(PREFIX).tempdir_in(parent);
        let (folder, lock) = locked(make, |folder| {
            // A folder is opened and locked as a file is on Unix alone.
            if cfg!(unix) { File::open(folder.path()).map(Some) } else { Ok(None) }
        })?;
        Ok(Self { folder, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A temporary file in a folder, locked until it is closed, with the permissions of any new file.
pub(crate) fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        // As `File::create` does, less the umask. By default a temporary is readable by its owner alone.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let (file, _) = locked(
        || builder.tempfile_in(folder),
        // The lock belongs to the open file, which both handles share.
        |file: &NamedTempFile| file.as_file().try_clone().map(Some),
    )?;
    Ok(file)
}

/// Makes a temporary and locks it, before a sweep takes it for one that nobody uses, or anew after that.
fn locked<T: AsRef<Path>>(
    mut make: impl FnMut() -> io::Result<T>,
    open: impl Fn(&T) -> io::Result<Option<File>>,
) -> io::Result<(T, Option<File>)> {
    let mut attempt = 0;
    loop {
        let made = make()?;
        let lock = match open(&made) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(error) => return Err(error),
            Ok(None) => return Ok((made, None)),
            Ok(Some(file)) => match file.try_lock() {
                // Some file systems have no locks; then nothing is swept either.
                Ok(()) | Err(TryLockError::Error(_)) if is_at(&file, made.as_ref()) => Ok(file),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            },
        };
        attempt += 1;
        match lock {
            Ok(file) => return Ok((made, Some(file))),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => {}
        }
    }
}

/// Whether an open file is the one at a path, and not one that was removed or replaced.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        let there = fs::symlink_metadata(path).and_then(|at| Ok(same(at, file.metadata()?)));
        there.unwrap_or(false)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// Removes what programs that were killed left in a folder: temporaries that nobody holds locked. Those in use stay, also those
/// of another computer. What can't be removed is passed over.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join(".disyre-a1B2c3"), "of a program that was killed")?;
/// disyre_core::sweep(folder.path());
/// assert_eq!(std::fs::read_dir(&folder)?.count(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| is_temporary(&entry.file_name())) {
        let _ = remove_unused(&entry.path());
    }
}

/// Whether a file of this name is a temporary of this crate.
pub fn is_temporary(name: &std::ffi::OsStr) -> bool {
    let rest = name.as_encoded_bytes().strip_prefix(PREFIX.as_bytes());
    rest.is_some_and(|rest| rest.len() == 6 && rest.iter().all(u8::is_ascii_alphanumeric))
}

fn remove_unused(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if !(kind.is_file() || kind.is_dir() && cfg!(unix)) {
        return Ok(());
    }
    let file = File::open(path)?;
    match file.try_lock() {
        Ok(()) if kind.is_dir() => fs::remove_dir_all(path),
        Ok(()) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_removes_what_nobody_uses_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at(".disyre-dEad01/deeper")).unwrap();
        for name in
            [".disyre-dead02", ".disyre-notes.txt", ".disyre-", "disyre-dead03", ".disyre-dEad01/a"]
        {
            fs::write(at(name), []).unwrap();
        }
        let (file, used) = (
            temporary_file(folder.path()).unwrap(),
            TemporaryFolder::new_in(folder.path()).unwrap(),
        );
        sweep(folder.path());
        let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        let mut expected = vec![
            at(".disyre-"),
            at(".disyre-notes.txt"),
            at("disyre-dead03"),
            file.path().to_owned(),
            used.path().to_owned(),
        ];
        left.sort();
        expected.sort();
        assert_eq!(left, expected);
        sweep(&at("nowhere"));
    }

    #[test]
    fn files_are_written_while_others_sweep() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = folder.path().join(writer.to_string());
                scope.spawn(move || {
                    for _ in 0..50 {
                        use std::io::Write;
                        crate::write_whole(&path, |file| file.write_all(b"whole")).unwrap();
                        assert_eq!(fs::read(&path).unwrap(), b"whole");
                    }
                });
            }
            scope.spawn(|| (0..500).for_each(|_| sweep(folder.path())));
        });
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
    }
}
