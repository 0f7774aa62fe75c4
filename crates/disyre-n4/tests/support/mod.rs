//! Fixtures and measures of fields that the tests of this crate share.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_n4::{N4Config, N4Correction};
use disyre_volume::Scan;
use serde::Deserialize;

/// SimpleITK's results on one image.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    /// Iterations of the last level.
    pub(crate) last_level: usize,
    /// Log field, on a coarse grid of voxels.
    pub(crate) log_field: Vec<f64>,
    pub(crate) white_matter: WhiteMatter,
}

/// White matter of the corrected image: what exceeds a threshold.
#[derive(Debug, Deserialize)]
pub(crate) struct WhiteMatter {
    pub(crate) threshold: f32,
    pub(crate) cv: f64,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn read(path: &Path) -> Array3<f32> {
    Scan::read(path).unwrap().volume.data
}

pub(crate) fn json<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// The voxels above 0.
pub(crate) fn brain_mask(image: &Array3<f32>) -> Array3<u8> {
    image.mapv(|value| u8::from(value > 0.0))
}

pub(crate) fn correct(config: &N4Config, image: &Array3<f32>) -> N4Correction {
    config.build().unwrap().correct(image.view(), brain_mask(image).view()).unwrap()
}

/// The values where the mask is set.
pub(crate) fn masked(values: ArrayView3<'_, f32>, mask: &Array3<u8>) -> Vec<f64> {
    let inside = values.iter().zip(mask).filter(|(_, inside)| **inside != 0);
    inside.map(|(&value, _)| f64::from(value)).collect()
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub(crate) fn standard_deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: Vec<f64> = values.iter().map(|value| (value - mean).powi(2)).collect();
    (squares.iter().sum::<f64>() / values.len() as f64).sqrt()
}

/// Standard deviation over mean.
pub(crate) fn variation(values: &[f64]) -> f64 {
    standard_deviation(values) / mean(values)
}

pub(crate) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).collect();
    mean(&products) / (standard_deviation(a) * standard_deviation(b))
}

/// Standard deviation of the difference.
pub(crate) fn spread_apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let apart: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    standard_deviation(&apart)
}

/// Coefficient of variation of the voxels of a corrected image that exceed the threshold of white matter.
pub(crate) fn white_matter_variation(corrected: &Array3<f32>, threshold: f32) -> f64 {
    let white: Vec<f64> =
        corrected.iter().filter(|v| **v >= threshold).map(|&v| f64::from(v)).collect();
    variation(&white)
}
