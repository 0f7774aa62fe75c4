//! Writing whole files, for training's records and the sidecars of maps, and removing those of earlier runs.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use disyre_core::write_whole;
use serde::Serialize;

use crate::Error;

/// Writes a file so that its final name never holds half of it.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_whole(path, |file| file.write_all(bytes)).map_err(Error::io("write", path))
}

/// Writes a value as indented JSON with a last line feed.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| Error::io("write", path)(error.into()))?;
    text.push(b'\n');
    write_bytes(path, &text)
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
