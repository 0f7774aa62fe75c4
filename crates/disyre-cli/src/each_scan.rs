//! The same work for many scans, one after another, with one list of failures at the end; `detect` uses it.

use std::path::{Path, PathBuf};

use crate::error::{CliError, with_causes};

/// Does the same work for every scan. One that fails does not stop the others.
///
/// # Errors
/// With a single scan, its own error; with several, [`CliError::Cases`] listing those that failed.
pub(crate) fn for_each_scan(
    scans: &[PathBuf],
    mut work: impl FnMut(&Path) -> Result<(), CliError>,
) -> Result<(), CliError> {
    if let [scan] = scans {
        return work(scan);
    }
    let mut failed = Vec::new();
    for scan in scans {
        if let Err(error) = work(scan) {
            eprintln!("failed: {}: {}", scan.display(), with_causes(&error));
            failed.push((scan.clone(), error));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(CliError::Cases { total: scans.len(), failed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail() -> CliError {
        CliError::NoPairs { path: "x".into() }
    }

    #[test]
    fn a_failure_does_not_stop_the_others() {
        let scans = ["a", "b", "c"].map(PathBuf::from);
        let mut done = Vec::new();
        let result = for_each_scan(&scans, |scan| {
            done.push(scan.to_owned());
            if scan == Path::new("b") { Err(fail()) } else { Ok(()) }
        });
        assert_eq!(done, scans);
        let Err(CliError::Cases { total: 3, failed }) = result else { panic!("{result:?}") };
        assert_eq!(failed[0].0, Path::new("b"));
    }

    #[test]
    fn a_single_scan_fails_with_its_own_error() {
        let result = for_each_scan(&["a".into()], |_| Err(fail()));
        assert!(matches!(result, Err(CliError::NoPairs { .. })));
    }
}
