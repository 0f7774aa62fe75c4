//! Reading and writing whole files: a file under its final name is never half written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use disyre_core::ndarray::ArrayD;
use disyre_core::{sha256_of_bytes, sha256_of_file, write_whole};
use half::f16;
use safetensors::{Dtype, SafeTensors, View};
use serde::Serialize;
use serde_json::Value;

use crate::DiffusionError;

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

/// Key of the SHA-256 of all tensors within a file's metadata.
const DATA_SHA256: &str = "data_sha256";
/// Beginning of the JSON header of a file with metadata.
const METADATA: &str = r#"{"__metadata__":{"#;

/// Writes named arrays, one entry of metadata, and the SHA-256 of the arrays, which reading checks.
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
    // Several entries would come in a random order: the hash is put in later.
    let metadata = HashMap::from([(metadata.0.to_owned(), metadata.1)]);
    let to_write = |(name, array)| (name, ToWrite { array, half });
    let arrays: Vec<_> = arrays.into_iter().map(to_write).collect();
    let bytes = safetensors::serialize(arrays, Some(metadata))
        .map_err(|source| DiffusionError::Weights { path: path.to_path_buf(), source })?;
    let failed = DiffusionError::file(path);
    let (header, data) = split(&bytes).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
    let header = with_hash(header, &sha256_of_bytes(data));
    write_whole(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        file.write_all(data)
    })
    .map_err(failed)
}

/// The JSON header of a safetensors file, and its tensors one behind another.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (header, data) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// A header with one more entry of metadata, as long as the format asks for: a multiple of 8 bytes.
fn with_hash(header: &str, sha256: &str) -> String {
    let entry = format!(r#"{METADATA}"{DATA_SHA256}":"{sha256}","#);
    let mut header = header.trim_end().replacen(METADATA, &entry, 1);
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    header
}

/// The bytes of a file as earlier versions wrote it: without the hash.
#[cfg(test)]
pub(crate) fn without_hash(bytes: &[u8]) -> Vec<u8> {
    let (header, data) = split(bytes).expect("a safetensors file");
    let start = header.find(DATA_SHA256).expect("the hash is there") - 1;
    let end = start + DATA_SHA256.len() + "\"\":\"\",".len() + 64;
    let header = format!("{}{}", &header[..start], header[end..].trim_end());
    let header = format!("{header:width$}", width = header.len().next_multiple_of(8));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Arrays by name.
pub(crate) type Arrays = HashMap<String, ArrayD<f32>>;

/// Reads every array of a file.
pub(crate) fn read_arrays(path: &Path) -> Result<Arrays, DiffusionError> {
    let bytes = fs::read(path).map_err(DiffusionError::file(path))?;
    arrays_in(&bytes, path)
}

/// Every array of a file's bytes; `path` is for messages.
///
/// # Errors
/// [`DiffusionError::Weights`] for bytes that are cut short, [`DiffusionError::Damaged`] for others than were written.
pub(crate) fn arrays_in(bytes: &[u8], path: &Path) -> Result<Arrays, DiffusionError> {
    let broken = |source| DiffusionError::Weights { path: path.to_path_buf(), source };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    ensure_undamaged(header.metadata().as_ref(), bytes, path)?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut arrays = HashMap::new();
    for (name, view) in file.iter() {
        let other = |problem| DiffusionError::OtherNetwork {
            path: path.to_path_buf(),
            name: name.to_owned(),
            problem,
        };
        let values = values_of(view.dtype(), view.data()).map_err(other)?;
        let array = ArrayD::from_shape_vec(view.shape(), values);
        let array = array.map_err(|_| other(format!("has shape {:?}", view.shape())))?;
        arrays.insert(name.to_owned(), array);
    }
    Ok(arrays)
}

/// Compares the tensors with the hash that was written with them; older files have none.
fn ensure_undamaged(
    metadata: Option<&HashMap<String, String>>,
    bytes: &[u8],
    path: &Path,
) -> Result<(), DiffusionError> {
    let Some(expected) = metadata.and_then(|entries| entries.get(DATA_SHA256)) else {
        return Ok(());
    };
    let got = split(bytes).map(|(_, data)| sha256_of_bytes(data)).unwrap_or_default();
    match got == *expected {
        true => Ok(()),
        false => Err(DiffusionError::Damaged { path: path.to_path_buf() }),
    }
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

/// Reads one entry of a file's metadata, and nothing of its tensors.
///
/// # Errors
/// [`DiffusionError::File`], also for a header that is none.
pub(crate) fn read_metadata(path: &Path, key: &str) -> Result<Option<String>, DiffusionError> {
    let header = read_header(path).map_err(DiffusionError::file(path))?;
    let settings = |source| DiffusionError::Settings { path: path.to_path_buf(), source };
    let header: Value = serde_json::from_slice(&header).map_err(settings)?;
    Ok(header["__metadata__"][key].as_str().map(str::to_owned))
}

/// The JSON header of a safetensors file, after its length in 8 bytes.
fn read_header(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let whole = file.metadata()?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > whole.saturating_sub(8) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    Ok(header)
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
    use crate::parameters::array;

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
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let usual = folder.path().join("usual");
            fs::write(&usual, "").unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode(&path), mode(&usual), "others may read weights as any file");
        }
    }

    #[test]
    fn every_bit_of_the_tensors_is_checked_and_a_file_without_a_hash_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let arrays = || vec![("a".to_owned(), array(&[3], vec![1.5, -2.0, 0.25]))];
        write_arrays(&path, arrays(), ("format", "pt".into())).unwrap();
        let bytes = fs::read(&path).unwrap();
        let (header, data) = split(&bytes).unwrap();
        assert_eq!((header.len() % 8, data.len()), (0, 12));
        for at in bytes.len() - data.len()..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let error = arrays_in(&damaged, &path).unwrap_err();
            assert!(matches!(error, DiffusionError::Damaged { .. }), "{error}");
        }
        let error = arrays_in(&bytes[..bytes.len() - 1], &path).unwrap_err();
        let cut = matches!(error, DiffusionError::Weights { .. } | DiffusionError::Damaged { .. });
        assert!(cut, "{error}");
        let older = safetensors::serialize(
            arrays().into_iter().map(|(name, array)| (name, ToWrite { array, half: false })),
            Some(HashMap::from([("format".to_owned(), "pt".to_owned())])),
        );
        assert_eq!(arrays_in(&older.unwrap(), &path).unwrap()["a"], arrays()[0].1);
    }

    #[test]
    fn shapes_that_no_memory_holds_are_an_error() {
        let huge = "[0,4611686018427387904,4611686018427387904]";
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{huge},"data_offsets":[0,0]}}}}"#);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        assert!(arrays_in(&bytes, Path::new("huge")).is_err());
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
