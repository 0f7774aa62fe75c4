//! Unusual headers, gzip streams and extensions, each against what nibabel reads (`fixtures/make_special.py`).
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{fixture, read};
use disyre_volume::{ReadOptions, Scan, ScanHeader, read_values};
use serde_json::Value;

fn special(name: &str) -> PathBuf {
    fixture("special").join(name)
}

/// nibabel's affine and voxels of a file.
fn nibabel(name: &str) -> (Vec<f64>, Vec<f64>) {
    let text = fs::read_to_string(fixture("special.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let facts = &document["files"][name];
    let floats = |value: &Value| serde_json::from_value::<Vec<f64>>(value.clone()).unwrap();
    let rows =
        facts["affine"].as_array().unwrap_or_else(|| panic!("nibabel refuses {name}: {facts}"));
    (rows.iter().flat_map(floats).collect(), floats(&facts["voxels"]))
}

fn assert_affine(name: &str, header: &ScanHeader, expected: &[f64]) {
    for (got, expected) in header.grid().affine.iter().flatten().zip(expected) {
        // Lengths of up to 40 mm, and of 40 000 µm, in the header's 32-bit floats.
        assert!((got - expected).abs() < 1e-5, "{name}: {got} is not {expected}");
    }
}

/// A file has nibabel's affine, and nibabel's voxels to the last bit in `f64`.
fn reads_as_nibabel(name: &str) {
    let (affine, voxels) = nibabel(name);
    let (header, values) = read_values::<f64>(special(name), &ReadOptions::default()).unwrap();
    assert_affine(name, &header, &affine);
    assert_eq!(values.into_raw_vec_and_offset().0, voxels, "{name}");
    let narrow = voxels.iter().map(|&value| value as f32);
    assert!(read(&special(name)).volume.data.into_iter().eq(narrow), "{name}");
}

/// A file that nibabel refuses or reads wrongly holds what the plain file holds.
fn reads_as_plain(name: &str) {
    let (affine, voxels) = nibabel("padded.nii");
    let (header, values) = read_values::<f64>(special(name), &ReadOptions::default()).unwrap();
    assert_affine(name, &header, &affine);
    assert_eq!(values.into_raw_vec_and_offset().0, voxels, "{name}");
}

fn is_refused(name: &str, reason: &str) {
    let text = Scan::read(special(name)).unwrap_err().to_string();
    assert!(text.contains(name) && text.contains(reason), "{text}");
}

/// One test for each peculiarity: its name is the file's.
macro_rules! tests {
    ($($check:ident($($argument:literal),+) $test:ident;)+) => {
        $(#[test] fn $test() { $check($($argument),+) })+
        const NAMES: &[&str] = &[$(first(&[$($argument),+])),+];
    };
}

const fn first(arguments: &[&'static str]) -> &'static str {
    arguments[0]
}

tests! {
    reads_as_nibabel("padded.nii.gz") zeros_behind_a_gzip_stream_are_padding;
    reads_as_nibabel("padded_between.nii.gz") zeros_between_gzip_members_are_padding;
    reads_as_nibabel("members.nii.gz") several_gzip_members_are_one_file;
    reads_as_nibabel("empty_last_member.nii.gz") the_last_gzip_member_may_be_empty;
    reads_as_nibabel("all_gzip_fields.nii.gz") a_gzip_header_may_have_all_its_fields;
    reads_as_nibabel("padded_inside.nii.gz") bytes_behind_the_last_voxel_of_a_compressed_file_do_not_count;
    reads_as_nibabel("padded.nii") bytes_behind_the_last_voxel_do_not_count;
    // gzip and zlib end at bytes that are no member, with a warning or without one; nibabel finds no data.
    reads_as_plain("bytes_behind.nii.gz") other_bytes_behind_a_gzip_stream_do_not_count;
    reads_as_plain("not_compressed.nii.gz") compression_is_recognised_by_content_where_a_name_promises_it;
    reads_as_plain("compressed.nii") compression_is_recognised_by_content_where_a_name_does_not_promise_it;
    reads_as_nibabel("sizeof_hdr_zero.nii") the_magic_counts_where_the_length_of_the_header_is_wrong;
    // nifti1_io takes it as 1; nibabel finds no voxel.
    reads_as_plain("volumes_zero.nii") a_size_of_zero_after_the_third_is_one;
    is_refused("slices_zero.nii", "has dim [3, 5, 4, 0") a_size_of_zero_of_the_first_three_is_refused;
    reads_as_nibabel("seven_dimensions.nii") sizes_of_one_after_the_third_do_not_count;
    reads_as_nibabel("sizes_beyond_rank.nii") sizes_beyond_the_rank_do_not_count;
    reads_as_nibabel("one_dimension.nii") a_line_is_an_image;
    reads_as_nibabel("one_slice.nii") a_single_slice_without_thickness_is_1_mm_thick;
    reads_as_nibabel("qfac_zero.nii") a_qfac_of_zero_is_one;
    reads_as_nibabel("qfac_minus.nii") a_qfac_of_minus_one_mirrors_z;
    reads_as_nibabel("pixdim_negative.nii") a_negative_pixdim_counts_by_its_magnitude;
    // nibabel and nifti1_io take 1 mm for it.
    is_refused("pixdim_zero.nii", "needs pixdim[1..3] to be finite and not 0") a_pixdim_of_zero_is_refused;
    reads_as_nibabel("pixdim_unused.nii") a_bad_pixdim_does_not_count_beside_an_sform;
    reads_as_nibabel("quaternion_long.nii") a_quaternion_longer_than_one_is_scaled;
    is_refused("quaternion_nan.nii", "the qform of") a_quaternion_that_is_not_finite_is_refused;
    reads_as_nibabel("both_forms.nii") the_sform_comes_before_the_qform;
    reads_as_nibabel("no_form.nii") without_a_form_x_runs_to_the_left;
    reads_as_nibabel("code_five.nii") every_positive_code_counts;
    is_refused("sform_of_zeros.nii", "plane, a line or a point") an_sform_of_zeros_is_refused;
    reads_as_nibabel("no_unit.nii") without_a_unit_lengths_are_millimetres;
    reads_as_nibabel("unit_seven.nii") an_unknown_unit_is_millimetres;
    reads_as_nibabel("time_unit.nii") a_unit_of_time_does_not_count;
    reads_as_nibabel("metres.nii") metres_become_millimetres;
    reads_as_nibabel("micrometres.nii") micrometres_become_millimetres;
    reads_as_nibabel("slope_zero.nii") a_slope_of_zero_means_unscaled;
    reads_as_nibabel("slope_nan.nii") a_slope_that_is_nan_means_unscaled;
    reads_as_nibabel("slope_infinite.nii") an_infinite_slope_means_unscaled;
    reads_as_nibabel("slope_negative.nii") a_negative_slope_turns_the_scale_round;
    is_refused("offset_nan.nii", "set scl_inter to a finite value") an_offset_that_is_nan_is_refused;
    reads_as_nibabel("slope_of_floats.nii") a_slope_counts_for_floats_too;
    reads_as_nibabel("bitpix_wrong.nii") the_type_counts_where_bitpix_differs;
    reads_as_nibabel("intent_vector.nii") an_intent_does_not_change_what_is_read;
    // nibabel reads the header's own bytes as voxels.
    reads_as_plain("vox_offset_zero.nii") a_vox_offset_of_zero_means_right_behind_the_header;
    is_refused("vox_offset_low.nii", "voxels start at byte 340") a_vox_offset_inside_the_header_is_refused;
    reads_as_nibabel("vox_offset_odd.nii") a_vox_offset_need_be_no_multiple_of_16;
    reads_as_nibabel("extension.nii") an_extension_is_passed_over;
    // nibabel takes the zeros for a second extension.
    reads_as_plain("extension_padded.nii") zeros_behind_an_extension_are_padding;
    reads_as_nibabel("big_endian.nii") a_big_endian_file_is_read;
    reads_as_nibabel("two.nii") nifti_2_is_read;
    reads_as_nibabel("two_big_endian.nii") big_endian_nifti_2_is_read;
    reads_as_nibabel("int64.nii") integers_beyond_24_bits_are_exact_in_64_bits;
    reads_as_nibabel("float64.nii") floats_of_64_bits_are_exact_in_64_bits;
}

#[test]
fn every_file_has_its_test() {
    let files = fs::read_dir(fixture("special")).unwrap();
    let mut files: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let mut names = NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(names, files);
}

#[test]
fn a_map_of_a_repaired_header_is_a_plain_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["sizeof_hdr_zero.nii", "volumes_zero.nii", "intent_vector.nii"] {
        let scan = read(&special(name));
        let map = folder.path().join(name);
        disyre_volume::write_map(&map, &scan, scan.volume.data.view()).unwrap();
        let (bytes, again) = (fs::read(&map).unwrap(), read(&map));
        assert_eq!(bytes[..4], 348i32.to_le_bytes(), "{name}");
        assert_eq!((again.info().dims, again.info().intent_code), (vec![5, 4, 3], 0), "{name}");
        assert_eq!(again.volume, scan.volume, "{name}");
    }
}

#[test]
fn doubts_about_a_header_are_told() {
    let warnings = |name: &str| read(&special(name)).info().warnings;
    assert!(warnings("no_form.nii")[0].contains("neither sform nor qform"));
    assert!(warnings("both_forms.nii")[0].contains("sform and qform differ by up to"));
    assert_eq!(warnings("extension.nii"), [""; 0]);
}

#[test]
fn files_of_other_formats_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |content: &[u8]| {
        let path = folder.path().join("scan.nii");
        fs::write(&path, content).unwrap();
        Scan::read(&path).unwrap_err().to_string()
    };
    let two = fs::read(special("two.nii")).unwrap();
    let as_text = [&two[..9], &two[10..]].concat(); // a carriage return is gone
    for (content, reason) in [
        (&b"BZh91AY&SY"[..], "bzip2"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (b"PK\x03\x04\x14\0", "zip archive"),
        (b"NRRD0004\n", "NRRD"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--0.nii.gz\n", "datalad get"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (&as_text, "transfer as text"),
        (&[9; 400], "neither 348 nor 540"),
    ] {
        let text = refused(content);
        assert!(text.contains(reason), "{text}");
    }
}
