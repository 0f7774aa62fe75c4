//! [`FolderLock`]: a folder that one program at a time works in.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::temporaries::is_at;

/// A folder that one program at a time works in, as long as this value lives. A program that is killed releases it.
///
/// The folder is made if it is not there, and has a file with the lock. Dropping the lock removes both again: the file, and
/// folders that it made and that are still empty.
///
/// ```
/// use disyre_core::FolderLock;
///
/// let folder = tempfile::tempdir()?;
/// let model = folder.path().join("model");
/// let lock = FolderLock::acquire(&model, ".lock")?.expect("nobody else has it");
/// assert!(FolderLock::acquire(&model, ".lock")?.is_none());
/// drop(lock);
/// assert!(!model.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    path: PathBuf,
    /// Folders that were made, the deepest first.
    made: Vec<PathBuf>,
}

impl FolderLock {
    /// Locks a folder by a file of this name in it; `None`: another program holds the lock.
    ///
    /// On a file system without locks it counts as locked by this program.
    ///
    /// # Errors
    /// Those of making the folder and the file.
    pub fn acquire(folder: &Path, name: &str) -> io::Result<Option<Self>> {
        let missing = folder.ancestors().take_while(|above| !above.as_os_str().is_empty());
        let made: Vec<PathBuf> =
            missing.take_while(|above| !above.exists()).map(Path::to_owned).collect();
        let path = folder.join(name);
        loop {
            fs::create_dir_all(folder)?;
            let file = match OpenOptions::new().write(true).create(true).truncate(false).open(&path)
            {
                // Another program let go of the folder and removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                // The file of a lock that was let go of in this very moment is gone, and locks nobody out.
                _ if !is_at(&file, &path) => {}
                _ => return Ok(Some(Self { file, path, made })),
            }
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Removed while it is locked, so that nobody can hold a lock on it.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Some(lock) = FolderLock::acquire(folder.path(), "lock").unwrap() else {
                            continue;
                        };
                        assert_eq!(held.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        held.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(folder.path().exists() && !folder.path().join("lock").exists());
    }

    #[test]
    fn folders_that_hold_something_stay() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        let lock = FolderLock::acquire(&deep, "lock").unwrap().unwrap();
        fs::write(folder.path().join("a/note"), "").unwrap();
        drop(lock);
        assert!(!deep.exists() && folder.path().join("a").exists());
    }
}
