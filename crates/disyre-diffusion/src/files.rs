//! Reading and writing whole files: a file under its final name is never half written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use disyre_core::ndarray::ArrayD;
use disyre_core::{sha256_of_file, write_whole};
use half::f16;
use safetensors::{Dtype, SafeTensors, View};
use serde::Serialize;

use crate::DiffusionError;
use crate::parameters::array;

/// SHA-256 of a file of weights, in hexadecimal: what a report quotes to say which model made it.
///
/// # Errors
/// [`DiffusionError::File`] if it cannot be read.
pub fn weights_sha256(path: &Path) -> Result<String, DiffusionError> {
    sha256_of_file(path).map_err(DiffusionError::file(path))
}

/// An array about to be written.
struct ToWrite {
    array: ArrayD<f32>,
    /// Whether to round to 16 bits.
    half: bool,
}

impl View for ToWrite {
    fn dtype(&self) -> Dtype {
        if self.half { Dtype::F16 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.half {
            true => {
                self.array.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            }
            false => self.array.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        self.array.len() * if self.half { size_of::<f16>() } else { size_of::<f32>() }
    }
}

/// Writes named arrays and one entry of metadata. (Several entries would be written in a random order.)
pub(crate) fn write_arrays(
    path: &Path,
    arrays: Vec<(String, ArrayD<f32>)>,
    metadata: (&str, String),
) -> Result<(), DiffusionError> {
    write_arrays_as(path, arrays, metadata, false)
}

/// The same, each number rounded to 16 bits (IEEE half precision) if `half`.
pub(crate) fn write_arrays_as(
    path: &Path,
    arrays: Vec<(String, ArrayD<f32>)>,
    metadata: (&str, String),
    half: bool,
) -> Result<(), DiffusionError> {
    let metadata = HashMap::from([(metadata.0.to_owned(), metadata.1)]);
    let to_write = |(name, array)| (name, ToWrite { array, half });
    let arrays: Vec<_> = arrays.into_iter().map(to_write).collect();
    write_whole(path, |file| {
        safetensors::serialize_to_file(arrays, Some(metadata), file.path())
            .map_err(io::Error::other)
    })
    .map_err(DiffusionError::file(path))
}

/// Arrays by name.
pub(crate) type Arrays = HashMap<String, ArrayD<f32>>;

/// Reads every array of a file.
pub(crate) fn read_arrays(path: &Path) -> Result<Arrays, DiffusionError> {
    let bytes = fs::read(path).map_err(DiffusionError::file(path))?;
    arrays_in(&bytes, path)
}

/// Every array of a file's bytes; `path` is for messages.
pub(crate) fn arrays_in(bytes: &[u8], path: &Path) -> Result<Arrays, DiffusionError> {
    let broken = |source| DiffusionError::Weights { path: path.to_path_buf(), source };
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut arrays = HashMap::new();
    for (name, view) in file.iter() {
        let values = values_of(view.dtype(), view.data()).map_err(|problem| {
            DiffusionError::OtherNetwork {
                path: path.to_path_buf(),
                name: name.to_owned(),
                problem,
            }
        })?;
        arrays.insert(name.to_owned(), array(view.shape(), values));
    }
    Ok(arrays)
}

/// Numbers of 32 or 16 bits, or what else there is.
fn values_of(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, String> {
    match dtype {
        Dtype::F32 => {
            Ok(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
        }
        Dtype::F16 => {
            let values = bytes.as_chunks().0.iter();
            Ok(values.map(|&value| f16::from_le_bytes(value).to_f32()).collect())
        }
        other => Err(format!("holds {other:?}, expected F32 or F16")),
    }
}

/// Reads one entry of a file's metadata.
pub(crate) fn read_metadata(path: &Path, key: &str) -> Result<Option<String>, DiffusionError> {
    let bytes = fs::read(path).map_err(DiffusionError::file(path))?;
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|source| DiffusionError::Weights { path: path.to_path_buf(), source })?;
    Ok(header.metadata().as_ref().and_then(|entries| entries.get(key).cloned()))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DiffusionError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|source| DiffusionError::Settings { path: path.to_path_buf(), source })?;
    text.push(b'\n');
    write_bytes(path, &text)
}

pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), DiffusionError> {
    write_whole(path, |file| file.write_all(bytes)).map_err(DiffusionError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_back_with_their_metadata_and_no_temporary_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let written = array(&[2, 1], vec![1.5, -2.0]);
        for _ in 0..2 {
            write_arrays(&path, vec![("a".into(), written.clone())], ("format", "pt".into()))
                .unwrap();
        }
        assert_eq!(read_arrays(&path).unwrap()["a"], written);
        assert_eq!(read_metadata(&path, "format").unwrap().as_deref(), Some("pt"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_hash_is_that_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(weights_sha256(&path).unwrap(), expected);
    }

    #[test]
    fn a_file_cut_short_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.safetensors");
        fs::write(&path, [9, 0, 0]).unwrap();
        let message = read_arrays(&path).unwrap_err().to_string();
        assert!(message.contains("cut.safetensors is not a whole safetensors file"), "{message}");
    }
}
