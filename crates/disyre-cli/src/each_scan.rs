//! The scans of an argument, and the same work for all of them with one list of failures at the end; `detect` uses both.

use std::path::{Path, PathBuf};

use disyre::volume::{ScanList, VolumeError, find_scans, list_scans};

use crate::error::{CliError, with_causes};

/// The scans of a file or folder: see [`list_scans`].
///
/// # Errors
/// Those of [`list_scans`]; [`CliError::OnlyResults`] for a folder of results and masks.
pub(crate) fn scans_of(input: &Path, elsewhere: &[&Path]) -> Result<ScanList, CliError> {
    match list_scans(input, elsewhere) {
        Err(VolumeError::NoScans { deeper: None, .. }) if find_scans(input).is_ok() => {
            Err(CliError::OnlyResults { folder: input.to_owned() })
        }
        list => Ok(list?),
    }
}

/// Does the same work for every scan and what goes with it. One that fails does not stop the others.
///
/// # Errors
/// With a single scan, its own error; with several, [`CliError::Cases`] listing those that failed.
pub(crate) fn for_each_scan<T>(
    scans: Vec<(PathBuf, T)>,
    mut work: impl FnMut(&Path, T) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let total = scans.len();
    let mut failed = Vec::new();
    for (scan, item) in scans {
        match work(&scan, item) {
            Ok(()) => {}
            Err(error) if total == 1 => return Err(error),
            Err(error) => {
                note!("failed: {}: {}", scan.display(), with_causes(&error));
                failed.push((scan, error));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(CliError::Cases { total, failed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail() -> CliError {
        CliError::NoPairs { path: "x".into() }
    }

    #[test]
    fn a_failure_does_not_stop_the_others() {
        let scans = [("a", 1), ("b", 2), ("c", 3)].map(|(scan, item)| (PathBuf::from(scan), item));
        let mut done = Vec::new();
        let result = for_each_scan(scans.to_vec(), |scan, item| {
            done.push((scan.to_owned(), item));
            if scan == Path::new("b") { Err(fail()) } else { Ok(()) }
        });
        assert_eq!(done, scans);
        let Err(CliError::Cases { total: 3, failed }) = result else { panic!("{result:?}") };
        assert_eq!(failed[0].0, Path::new("b"));
    }

    #[test]
    fn a_single_scan_fails_with_its_own_error() {
        let result = for_each_scan(vec![("a".into(), ())], |_, ()| Err(fail()));
        assert!(matches!(result, Err(CliError::NoPairs { .. })));
    }
}
