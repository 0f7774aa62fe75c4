//! Fixtures and files that the tests of this folder share.

use std::path::{Path, PathBuf};

use disyre_volume::Scan;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn read(path: &Path) -> Scan {
    Scan::read(path).unwrap()
}
