//! Where the scan of a sidecar is: at the path that the sidecar names, or in another folder.

use std::fs;
use std::path::{Path, PathBuf};

use disyre_volume::path_text;

/// The scan of a sidecar, whose bytes that are not UTF-8 are `%` and two hexadecimal digits in `source`; in the folder first,
/// if there is one. `None`: it is in neither place.
pub(super) fn find(source: &str, folder: Option<&Path>) -> Option<PathBuf> {
    let named = Path::new(source);
    let elsewhere = folder.and_then(|folder| in_folder(folder, named.file_name()?.to_str()?));
    elsewhere.or_else(|| with_text(named)).filter(|path| path.is_file())
}

/// The path with this text, each of whose parts may hold bytes that are not UTF-8.
fn with_text(path: &Path) -> Option<PathBuf> {
    if path.as_os_str().is_empty() || path.exists() {
        return Some(path.to_owned());
    }
    in_folder(&with_text(path.parent()?)?, path.file_name()?.to_str()?)
}

/// The entry of a folder whose name has this text.
fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = folder.join(name);
    if plain.exists() {
        return Some(plain);
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let mut named = entries.filter(|entry| path_text(entry.file_name().as_ref()) == name);
    named.next().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_found_where_it_was_or_in_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        [&old, &new].iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let source = path_text(&old.join("a.nii"));
        assert_eq!(find(&source, Some(&new)), None);
        fs::write(new.join("a.nii"), "").unwrap();
        assert_eq!(find(&source, None), None);
        assert_eq!(find(&source, Some(&new)), Some(new.join("a.nii")));
        fs::write(old.join("a.nii"), "").unwrap();
        assert_eq!(find(&source, None), Some(old.join("a.nii")));
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_is_found_by_its_text() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join(std::ffi::OsStr::from_bytes(b"\xe9t\xe9"));
        fs::create_dir(&inner).unwrap();
        let path = inner.join(std::ffi::OsStr::from_bytes(b"M\xfcnchen.nii"));
        fs::write(&path, "").unwrap();
        let source = path_text(&path);
        assert!(source.ends_with("M%FCnchen.nii"));
        assert_eq!(find(&source, None), Some(path.clone()));
        assert_eq!(find("elsewhere/M%FCnchen.nii", Some(&inner)), Some(path));
    }
}
