//! A map goes back with the header of its input, byte for byte.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;

use common::{fixture, read};
use disyre_core::ndarray::Array3;
use disyre_volume::{
    Grid, ReadOptions, Scan, Volume, VolumeError, read_mask, write_labels, write_map, write_mask,
    write_volume,
};
use flate2::read::MultiGzDecoder;

fn raw(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut raw = Vec::new();
    MultiGzDecoder::new(&bytes[..]).read_to_end(&mut raw).unwrap();
    raw
}

/// The bytes before the first voxel without those that describe voxels: intent, type, bits, scaling, display range.
fn inherited(raw: &[u8], first_voxel: usize) -> Vec<u8> {
    let mut head = raw[..first_voxel].to_vec();
    let two = head[..4] == 540i32.to_le_bytes() || head[..4] == 540i32.to_be_bytes();
    let own = match two {
        true => [12..16, 80..104, 176..192, 192..208, 504..508],
        false => [56..70, 70..74, 112..120, 124..132, 0..4],
    };
    own.into_iter().for_each(|range| head[range].fill(0));
    head
}

/// Writes the scan's own intensities as a map, and a mask, and compares headers and voxels.
fn check_round_trip(input: &Path, folder: &Path) {
    let scan = read(input);
    let (before, info) = (raw(input), scan.info());
    let first_voxel = if info.nifti_version == 1 { 352 } else { 544 } + info.extension_bytes;
    let name = input.file_name().unwrap().to_string_lossy().into_owned();
    let map = folder.join(format!("map_{name}"));
    write_map(&map, &scan, scan.volume.data.view()).unwrap();
    assert_eq!(
        inherited(&raw(&map), first_voxel),
        inherited(&before, first_voxel),
        "{name}: the header of a map"
    );
    let again = read(&map);
    assert_eq!(again.volume, scan.volume, "{name}: voxels and affine of a map");
    assert_eq!((again.info().datatype, again.info().slope), ("float32", 1.0));
    assert_eq!(again.info().dims, info.dims);
    let labels = scan.volume.data.mapv(|value| u8::from(value > 50.0) * 3);
    let mask = folder.join(format!("mask_{name}"));
    write_mask(&mask, &scan, labels.view()).unwrap();
    assert_eq!(inherited(&raw(&mask), first_voxel), inherited(&before, first_voxel), "{name}");
    assert_eq!(read(&mask).info().datatype, "uint8");
    assert_eq!(read_mask(&mask, &scan).unwrap(), labels.mapv(|label| label / 3), "{name}");
}

#[test]
fn maps_of_every_kind_of_file_keep_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for entry in fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_string_lossy().into_owned();
        if name.contains(".nii") && !name.contains("series") {
            check_round_trip(&path, folder.path());
            count += 1;
        }
    }
    assert_eq!(count, 22);
}

/// Header fields of a NIfTI-1 file in little-endian order: position and new bytes.
type Patch<'a> = (usize, &'a [u8]);

const UNITS: usize = 123;
const QFORM_CODE: usize = 252;
const SFORM_CODE: usize = 254;

/// A fixture with other header fields, and `extension` bytes between header and voxels.
fn patched(name: &str, patches: &[Patch<'_>], extension: usize) -> Vec<u8> {
    let mut bytes = raw(&fixture(name));
    for (at, new) in patches {
        bytes[*at..at + new.len()].copy_from_slice(new);
    }
    if extension > 0 {
        let mut block = vec![b'x'; extension];
        block[..4].copy_from_slice(&(extension as i32).to_le_bytes());
        block[4..8].copy_from_slice(&6i32.to_le_bytes()); // a comment
        bytes[348] = 1;
        bytes[108..112].copy_from_slice(&(352.0 + extension as f32).to_le_bytes());
        bytes.splice(352..352, block);
    }
    bytes
}

#[test]
fn maps_keep_headers_as_common_programs_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &str, &[Patch<'_>], usize); 6] = [
        ("sform_alone", "oblique.nii.gz", &[(QFORM_CODE, &[0, 0]), (SFORM_CODE, &[2, 0])], 0),
        ("both_scanner", "oblique.nii.gz", &[(QFORM_CODE, &[1, 0]), (SFORM_CODE, &[1, 0])], 0),
        ("no_unit", "oblique.nii.gz", &[(UNITS, &[0]), (38, &[0])], 0),
        ("mirrored", "left_handed_qform.nii.gz", &[(SFORM_CODE, &[0, 0]), (UNITS, &[10])], 0),
        ("long_extension", "oblique.nii.gz", &[(38, b"r")], 2528),
        ("slope", "left_handed.nii", &[(112, &(1.0f32 / 256.0).to_le_bytes()), (116, &[0; 4])], 0),
    ];
    for (name, of, patches, extension) in cases {
        let path = folder.path().join(name.to_owned() + ".nii");
        fs::write(&path, patched(of, patches, extension)).unwrap();
        check_round_trip(&path, folder.path());
        assert_eq!(read(&path).info().extension_bytes, extension, "{name}");
    }
}

#[test]
fn a_map_of_one_volume_of_a_series_is_a_single_volume() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions { volume_index: Some(1) };
    let scan = Scan::read_with(fixture("series.nii.gz"), &options).unwrap();
    let path = folder.path().join("map.nii");
    write_map(&path, &scan, scan.volume.data.view()).unwrap();
    let map = read(&path);
    assert_eq!(map.info().dims, [4, 3, 2]);
    assert_eq!(map.volume, scan.volume);
}

#[test]
fn equal_maps_give_equal_bytes_and_no_temporary_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let scan = read(&fixture("oblique.nii.gz"));
    let paths = ["a.nii.gz", "b.nii.gz"].map(|name| folder.path().join(name));
    for path in &paths {
        write_map(path, &scan, scan.volume.data.view()).unwrap();
    }
    assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn new_files_are_read_alike_by_the_nifti_crate() {
    use nifti::{IntoNdArray, NiftiObject, ReaderOptions};
    let folder = tempfile::tempdir().unwrap();
    let mut grid = Grid::from_spacing([3, 4, 5], [3.0, 2.0, 1.5]);
    grid.affine[0] = [-1.5, 0.25, 0.0, 12.5];
    let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| (z * 100 + y * 10 + x) as f32);
    let volume = Volume::new(data, grid).unwrap();
    let path = folder.path().join("volume.nii.gz");
    write_volume(&path, &volume).unwrap();
    assert_eq!(read(&path).volume, volume);
    let other = ReaderOptions::new().read_file(&path).unwrap();
    assert_eq!(other.header().srow_x, [-1.5, 0.25, 0.0, 12.5]);
    let voxels = other.into_volume().into_ndarray::<f32>().unwrap();
    assert_eq!(voxels.shape(), [5, 4, 3]);
    assert_eq!(voxels[[4, 3, 2]], 234.0);
    let labels = folder.path().join("labels.nii");
    write_labels(&labels, volume.data.mapv(|value| value as u8 % 4).view(), &grid).unwrap();
    assert_eq!(read(&labels).info().datatype, "uint8");
}

#[test]
fn a_mask_of_another_grid_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let image = read(&fixture("oblique.nii.gz"));
    let refuse = |grid: Grid| {
        let path = folder.path().join("mask.nii");
        write_labels(&path, Array3::ones(grid.shape).view(), &grid).unwrap();
        read_mask(&path, &image).unwrap_err()
    };
    let mut moved = image.volume.grid;
    moved.affine[1][3] += 0.5;
    let error = refuse(moved);
    assert!(matches!(error, VolumeError::MaskAffine { .. }));
    let text = error.to_string();
    assert!(text.contains("mask.nii lies up to 0.500 mm from image"), "{text}");
    assert!(text.contains("oblique.nii.gz"));
    let mut longer = image.volume.grid;
    longer.shape[0] += 1;
    assert!(matches!(refuse(longer), VolumeError::MaskShape { .. }));
}

#[test]
fn what_cannot_be_written_is_said_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let scan = read(&fixture("oblique.nii.gz"));
    let map = &scan.volume.data;
    let error = write_map(&folder.path().join("map.txt"), &scan, map.view()).unwrap_err();
    assert!(error.to_string().ends_with("its name must end in .nii or .nii.gz"));
    let path = folder.path().join("map.nii.gz");
    let small = Array3::zeros((1, 1, 1));
    let error = write_map(&path, &scan, small.view()).unwrap_err();
    assert_eq!(error.to_string(), "map has shape [1, 1, 1], expected [3, 4, 5]");
    let mut bad = map.clone();
    bad[[0, 0, 0]] = f32::NAN;
    assert!(matches!(write_map(&path, &scan, bad.view()), Err(VolumeError::Shape(_))));
    let nowhere = folder.path().join("missing/map.nii.gz");
    assert!(matches!(write_map(&nowhere, &scan, map.view()), Err(VolumeError::Write { .. })));
    let long = Volume::zeros(Grid::from_spacing([1, 1, 40_000], [1.0; 3]));
    assert!(matches!(write_volume(&path, &long), Err(VolumeError::TooLong { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
