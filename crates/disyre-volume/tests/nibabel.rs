//! Affines, orientations and voxels of small files against what nibabel reads (`fixtures/make.py`).
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::collections::BTreeMap;

use common::{fixture, read};
use disyre_volume::{LengthUnit, ReadOptions, Scan, VolumeError};
use serde_json::Value;

fn truth() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(fixture("truth.json")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(document["files"].take()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Values agree to the rounding of 32-bit floats.
fn assert_voxels(name: &str, got: &Scan, expected: &[f64]) {
    assert_eq!(got.volume.data.len(), expected.len(), "{name}");
    for (index, (got, expected)) in got.volume.data.iter().zip(expected).enumerate() {
        let distance = (f64::from(*got) - expected).abs();
        assert!(distance <= 1e-7 * expected.abs(), "{name}, voxel {index}: {got}, {expected}");
    }
}

#[test]
fn affines_orientations_and_voxels_are_nibabels() {
    let truth = truth();
    assert_eq!(truth.len(), 23);
    for (name, facts) in truth.iter().filter(|(name, _)| *name != "series.nii.gz") {
        let scan = read(&fixture(name));
        let info = scan.info();
        for (row, expected) in facts["affine"].as_array().unwrap().iter().enumerate() {
            for (column, expected) in floats(expected).into_iter().enumerate() {
                let got = info.affine[row][column];
                assert!((got - expected).abs() < 1e-6, "{name}: {got} is not {expected}");
            }
        }
        assert_eq!(info.orientation, facts["codes"].as_str().unwrap(), "{name}");
        let shape: Vec<usize> = floats(&facts["shape"]).into_iter().map(|n| n as usize).collect();
        assert_eq!(info.dims, shape, "{name}");
        assert_voxels(name, &scan, &floats(&facts["voxels"]));
    }
}

#[test]
fn the_facts_of_a_header_are_told() {
    let info = read(&fixture("nifti2_big_endian.nii.gz")).info();
    assert_eq!((info.nifti_version, info.byte_order, info.datatype), (2, "big", "int32"));
    assert_eq!((info.space_unit, info.extension_bytes), (LengthUnit::Millimetre, 32));
    assert_eq!(info.intent_code, 1001);
    assert_eq!(info.descrip, "fixture of disyre-volume");
    let scaled = read(&fixture("int16_slope.nii.gz")).info();
    assert_eq!((scaled.nifti_version, scaled.slope, scaled.inter), (1, 0.0625, -12.5));
    let forms = ["oblique.nii.gz", "qform_only.nii.gz", "pixdim_only.nii.gz"]
        .map(|name| read(&fixture(name)).info().affine_source.to_string());
    assert_eq!(forms, ["sform", "qform", "pixdim"]);
    assert!(serde_json::to_string(&scaled).unwrap().contains(r#""affine_source":"sform""#));
}

#[test]
fn a_flat_image_has_one_slice() {
    assert_eq!(read(&fixture("flat_2d.nii.gz")).volume.grid.shape, [1, 8, 9]);
}

#[test]
fn a_series_needs_a_volume_index() {
    let path = fixture("series.nii.gz");
    let error = Scan::read(&path).unwrap_err();
    assert!(error.to_string().contains("holds 3 volumes, expected one"));
    let expected = floats(&truth()["series.nii.gz"]["voxels"]);
    for (index, voxels) in expected.chunks(24).enumerate() {
        let scan = Scan::read_with(&path, &ReadOptions { volume_index: Some(index) }).unwrap();
        assert_voxels("series", &scan, voxels);
    }
    let beyond = Scan::read_with(&path, &ReadOptions { volume_index: Some(3) }).unwrap_err();
    assert!(matches!(beyond, VolumeError::VolumeIndex { index: 3, count: 3, .. }));
}
