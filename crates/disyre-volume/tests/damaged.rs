//! No file makes the reader panic, or allocate for voxels that the file cannot hold.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use disyre_volume::{ReadOptions, Scan, VolumeError};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn plain(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let compressed = fs::read(fixture(name)).unwrap();
    GzDecoder::new(&compressed[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read_bytes(bytes: &[u8]) -> Result<Scan, VolumeError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Scan::read(file.path())
}

/// Changes bytes of a good little-endian NIfTI-1 file of float32.
fn with(patch: &[(usize, &[u8])]) -> Result<Scan, VolumeError> {
    let mut bytes = plain("oblique.nii.gz");
    for (at, new) in patch {
        bytes[*at..*at + new.len()].copy_from_slice(new);
    }
    read_bytes(&bytes)
}

fn message(result: Result<Scan, VolumeError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_header_that_announces_too_much_is_refused_before_allocating() {
    let huge: Vec<u8> = [3i16, 32767, 32767, 32767].iter().flat_map(|n| n.to_le_bytes()).collect();
    let error = with(&[(40, &huge)]).unwrap_err();
    // 352 + 4 · 32767³
    assert!(
        matches!(error, VolumeError::Truncated { expected: 140_724_603_847_004, .. }),
        "{error}"
    );
    let mut bytes = plain("nifti2.nii.gz");
    bytes[24..48].copy_from_slice(&[i64::MAX.to_le_bytes(); 3].concat());
    assert!(matches!(read_bytes(&bytes), Err(VolumeError::Truncated { .. })));
    assert!(message(read_bytes(&gzip(&bytes))).contains("it holds at most"));
}

#[test]
fn sizes_that_are_no_sizes_are_refused() {
    for (at, value) in [(40, 0i16), (40, 8), (40, -1), (42, 0), (44, -5)] {
        let error = with(&[(at, &value.to_le_bytes())]).unwrap_err();
        assert!(matches!(error, VolumeError::Dimensions { .. }), "{error}");
    }
}

#[test]
fn values_that_are_not_finite_are_counted() {
    let nan = f32::NAN.to_le_bytes();
    let text = message(with(&[(352, &nan), (360, &f32::INFINITY.to_le_bytes())]));
    assert!(text.contains("holds 2 voxels that are NaN, infinite"), "{text}");
}

#[test]
fn what_is_no_nifti_file_is_said() {
    assert!(message(with(&[(0, &[1, 2, 3, 4]), (344, b"xxxx")])).contains("neither 348 nor 540"));
    assert!(message(with(&[(344, b"ni1\0")])).contains(".hdr/.img pair"));
    assert!(message(with(&[(344, b"xxxx")])).contains("ANALYZE"));
    assert!(message(with(&[(70, &[128, 0])])).contains("RGB24"));
    assert!(message(read_bytes(b"")).contains("cut short"));
    assert!(matches!(Scan::read(Path::new("/")), Err(VolumeError::Read { .. })));
    assert!(message(Scan::read(Path::new("no.nii"))).contains("no.nii"));
}

#[test]
fn a_wrong_checksum_is_an_error() {
    let mut packed = gzip(&plain("oblique.nii.gz"));
    assert!(read_bytes(&packed).is_ok());
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    assert!(matches!(read_bytes(&packed), Err(VolumeError::Damaged { .. })));
}

#[test]
fn the_checksum_is_compared_behind_what_follows_the_last_voxel() {
    let mut long = plain("oblique.nii.gz");
    long.extend([7; 5000]);
    let mut packed = gzip(&long);
    assert!(read_bytes(&packed).is_ok());
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    assert!(matches!(read_bytes(&packed), Err(VolumeError::Damaged { .. })));
}

#[test]
fn every_truncation_is_an_error() {
    for name in ["oblique.nii.gz", "nifti2_big_endian.nii.gz"] {
        let bytes = plain(name);
        for length in (0..bytes.len()).step_by(7) {
            assert!(matches!(read_bytes(&bytes[..length]), Err(VolumeError::Truncated { .. })));
            let packed = read_bytes(&gzip(&bytes[..length]));
            assert!(matches!(packed, Err(VolumeError::Truncated { .. })), "{length}");
        }
        let packed = gzip(&bytes);
        for length in (0..packed.len()).step_by(7) {
            assert!(read_bytes(&packed[..length]).is_err());
        }
    }
}

proptest! {
    #[test]
    fn damaged_headers_do_not_panic(
        name in prop::sample::select(vec!["extensions.nii.gz", "nifti2.nii.gz", "nifti2_big_endian.nii.gz", "series.nii.gz", "type_int8.nii.gz"]),
        damage in prop::collection::vec((0usize..600, any::<u8>()), 1..12),
        packed: bool,
        volume_index in prop::option::of(0usize..4),
    ) {
        let mut bytes = plain(name);
        for (at, mask) in damage {
            let at = at % bytes.len();
            bytes[at] ^= mask;
        }
        if packed {
            bytes = gzip(&bytes);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        if let Ok(scan) = Scan::read_with(file.path(), &ReadOptions { volume_index }) {
            prop_assert!(scan.volume.data.iter().all(|value| value.is_finite()));
            prop_assert!(scan.info().affine.iter().flatten().all(|value| value.is_finite()));
            disyre_volume::to_ras(&scan.volume);
        }
    }

    #[test]
    fn random_and_damaged_gzip_does_not_panic(
        noise in prop::collection::vec(any::<u8>(), 0..700),
        damage in prop::collection::vec((0usize..1000, any::<u8>()), 1..6),
    ) {
        let _ = read_bytes(&noise);
        let mut packed = fs::read(fixture("oblique.nii.gz")).unwrap();
        for (at, mask) in damage {
            let at = at % packed.len();
            packed[at] ^= mask;
        }
        let _ = read_bytes(&packed);
    }
}
