//! Fits against other software: Lloyd's iterations (NumPy, scikit-learn), expectation maximisation (scikit-learn) and
//! nearest-centre labels (the published code).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use disyre_core::ndarray::Array2;
use disyre_core::{Key, TissueModel};
use disyre_tissue::{Codebook, KMeansConfig, MixtureConfig, PUBLISHED_CENTRES};
use safetensors::SafeTensors;

/// The golden file, which is part of the repository.
fn golden() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/golden/kmeans.safetensors");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn numbers<const N: usize, T>(
    file: &SafeTensors<'_>,
    name: &str,
    read: fn([u8; N]) -> T,
) -> Vec<T> {
    file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&bytes| read(bytes)).collect()
}

fn column<T: Clone>(values: &[T]) -> Array2<T> {
    Array2::from_shape_vec((values.len(), 1), values.to_vec()).unwrap()
}

fn assert_close(what: &str, got: f64, expected: f64) {
    assert!((got / expected - 1.0).abs() < 1e-9, "{what}: {got}, expected {expected}");
}

#[test]
fn lloyds_iterations_end_at_the_golden_centres_labels_and_inertia() {
    let bytes = golden();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let slice = numbers(&file, "slice", f32::from_le_bytes);
    let brain: Vec<f32> = slice.iter().copied().filter(|&value| value > 0.0).collect();
    let start = column(&numbers(&file, "init_centres", f64::from_le_bytes));
    let start = Codebook::from_centres(start.view()).unwrap();
    let fit = KMeansConfig::default().refine(column(&brain).view(), &start).unwrap();

    for name in ["final_centres", "sklearn_centres"] {
        let expected = numbers(&file, name, f64::from_le_bytes);
        for (&got, expected) in fit.codebook.centres().iter().zip(expected) {
            assert_close(name, got, expected);
        }
    }
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let inertia: f64 = metadata.metadata().as_ref().unwrap()["inertia"].parse().unwrap();
    assert_close("inertia", fit.inertia, inertia);

    let mut labels = vec![0; slice.len()];
    fit.codebook.hard(column(&slice).view(), &mut labels).unwrap();
    let expected = numbers(&file, "labels_nonzero_else_minus1", i32::from_le_bytes);
    for ((&value, &label), expected) in slice.iter().zip(&labels).zip(expected) {
        assert_eq!(if value > 0.0 { i32::from(label) } else { -1 }, expected);
    }
}

#[test]
fn the_exact_fit_is_no_worse_than_the_golden_one() {
    let bytes = golden();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let slice = numbers(&file, "slice", f32::from_le_bytes);
    let brain: Vec<f32> = slice.into_iter().filter(|&value| value > 0.0).collect();
    let fit = KMeansConfig::default().fit(column(&brain).view(), Key::new(1)).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let golden: f64 = metadata.metadata().as_ref().unwrap()["sklearn_inertia"].parse().unwrap();
    assert!(fit.inertia <= golden * (1.0 + 1e-12), "{} above {golden}", fit.inertia);
}

#[test]
fn the_published_codebook_labels_every_voxel_as_the_published_code() {
    let bytes = golden();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(numbers(&file, "codebook", f64::from_le_bytes), PUBLISHED_CENTRES);
    let slice = numbers(&file, "slice", f32::from_le_bytes);
    let mut labels = vec![0; slice.len()];
    Codebook::published().hard(column(&slice).view(), &mut labels).unwrap();
    let labels: Vec<i32> = labels.into_iter().map(i32::from).collect();
    assert_eq!(labels, numbers(&file, "vq_labels_all_voxels", i32::from_le_bytes));
}

/// Brain pixels of the golden slice; with two channels, each beside its right neighbour where both are brain.
fn brain_pixels(file: &SafeTensors<'_>, channels: usize) -> Array2<f32> {
    let slice = numbers(file, "slice", f32::from_le_bytes);
    let width = file.tensor("slice").unwrap().shape()[1];
    let rows: Vec<&[f32]> = slice
        .chunks_exact(width)
        .flat_map(|row| row.windows(channels))
        .filter(|voxel| voxel.iter().all(|&value| value > 0.0))
        .collect();
    Array2::from_shape_fn((rows.len(), channels), |(row, channel)| rows[row][channel])
}

#[test]
fn expectation_maximisation_ends_at_the_mixtures_of_scikit_learn() {
    let bytes = golden();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("fixtures/mixture.json")).unwrap();
    for (name, channels) in [("one", 1), ("two", 2)] {
        let case = &cases[name];
        let read = |what: &str| -> Vec<f64> {
            let values = flat(&case[what]);
            assert!(!values.is_empty(), "{what}");
            values
        };
        let centres = read("centres");
        let classes = centres.len() / channels;
        let start = Array2::from_shape_vec((classes, channels), centres).unwrap();
        let config = MixtureConfig {
            max_iterations: case["iterations"].as_u64().unwrap() as usize,
            tolerance: 0.0,
            ..MixtureConfig::default()
        };
        let samples = brain_pixels(&file, channels);
        let start = Codebook::from_centres(start.view()).unwrap();
        let fit = config.refine(samples.view(), &start).unwrap();
        let mixture = &fit.mixture;
        let mut memberships = Array2::zeros((samples.nrows(), classes));
        mixture.soft(samples.view(), memberships.view_mut()).unwrap();
        let memberships = memberships.iter().take(50 * classes).map(|&m| f64::from(m)).collect();
        for (what, got) in [
            ("weights", mixture.weights().to_vec()),
            ("means", mixture.means().iter().copied().collect()),
            ("covariances", mixture.covariances().iter().copied().collect()),
            ("log_likelihood", vec![fit.log_likelihood]),
            ("memberships", memberships),
        ] {
            let expected = read(what);
            assert_eq!(got.len(), expected.len(), "{what}");
            for (got, expected) in got.iter().zip(expected) {
                assert!((got - expected).abs() < 1e-6, "{name} {what}: {got}, expected {expected}");
            }
        }
    }
}

/// The numbers of nested lists, in order.
fn flat(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}
