//! Files that are whole or not there: every crate that writes one calls [`write_whole`].

use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::temporaries::temporary_file;

/// Writes a file whole or not at all: `write` fills a temporary in the same folder, which is then renamed. A failure
/// leaves an earlier file of that name as it was, and no temporary.
///
/// File and folder are flushed to disk, so that after a power loss there is the new file or the earlier one. A program
/// that is killed leaves its temporary behind; [`sweep`](crate::sweep) removes it.
///
/// ```
/// use std::io::Write;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("note.txt");
/// disyre_core::write_whole(&path, |file| file.write_all(b"all of it"))?;
/// assert_eq!(std::fs::read(&path)?, b"all of it");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of `write`, and of making, flushing to disk and renaming the temporary.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = temporary_file(folder)?;
    write(&mut file)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    flush_folder(folder)
}

/// The folder that a path is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Flushes the names of a folder's files to disk, where the system can do that.
pub(crate) fn flush_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::io::ErrorKind;
        // Some file systems can't flush a folder, and a folder that may not be read can still be written to.
        match std::fs::File::open(folder).and_then(|folder| folder.sync_all()) {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::PermissionDenied | ErrorKind::Unsupported
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write};

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        write_whole(&path, |file| file.write_all(b"old")).unwrap();
        let failed = write_whole(&path, |file| {
            file.write_all(b"ne")?;
            Err(io::Error::other("full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_whole(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(&path.join("below a file"), |_| Ok(())).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_the_permissions_of_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [ours, usual] = ["ours", "usual"].map(|name| folder.path().join(name));
        write_whole(&ours, |_| Ok(())).unwrap();
        fs::write(&usual, "").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }
}
