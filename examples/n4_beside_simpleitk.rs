//! Compares bias fields with SimpleITK's N4: `n4_beside_simpleitk [OUT [DATA]]`.
//!
//! SimpleITK's fields are stored beside the tests of `disyre-n4`, with the script that made them. Without DATA the shaded
//! brain that lies there is compared; DATA is the folder of the real scans, which are not part of this repository. Writes
//! the table that it prints to OUT/fields.tsv. Fails if a field is further from SimpleITK's than the limits below.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use disyre_core::ndarray::Array3;
use disyre_examples::output_folder;
use disyre_n4::{N4Config, N4Correction};
use disyre_volume::{Scan, nonzero_mask};
use serde::Deserialize;

/// Least correlation of the log fields inside the brain.
const LEAST_CORRELATION: f64 = 0.999;

/// Greatest standard deviation of the difference of the log fields.
const MOST_APART: f64 = 0.001;

/// Greatest relative difference of the coefficient of variation of white matter.
const MOST_CV: f64 = 0.002;

/// SimpleITK's results of one scan.
#[derive(Deserialize)]
struct Reference {
    path: PathBuf,
    /// Distance of the voxels that `log_field` is given at; only those in the brain have a value.
    stride: usize,
    log_field: Vec<f64>,
    white_matter: WhiteMatter,
}

/// Voxels of the corrected image that reach a threshold, and their coefficient of variation.
#[derive(Deserialize)]
struct WhiteMatter {
    threshold: f32,
    cv: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = output_folder("n4_beside_simpleitk")?;
    let data = std::env::args_os().nth(2).map(PathBuf::from);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/disyre-n4/tests/fixtures");
    let references: Vec<Reference> =
        serde_json::from_slice(&fs::read(fixtures.join("scans.json"))?)?;
    let n4 = N4Config::default().build()?;
    let mut table = "scan\tcorrelation\tapart\tcv, relative difference\n".to_owned();
    let mut failures = Vec::new();
    for reference in references {
        let beside = fixtures.join(&reference.path);
        let Some(path) = Some(beside)
            .filter(|beside| beside.exists())
            .or(data.as_ref().map(|data| data.join(&reference.path)))
        else {
            continue;
        };
        let image = Scan::read(path)?.volume.data;
        let correction = n4.correct(image.view(), nonzero_mask(image.view()).view())?;
        let [correlation, apart, cv] = compare(&reference, &image, &correction)?;
        let name = reference.path.display().to_string();
        table += &format!("{name}\t{correlation:.6}\t{apart:.6}\t{cv:.5}\n");
        if !(correlation >= LEAST_CORRELATION && apart <= MOST_APART && cv.abs() <= MOST_CV) {
            failures.push(name);
        }
    }
    print!("{table}");
    fs::write(folder.join("fields.tsv"), table)?;
    match failures[..] {
        [] => Ok(()),
        _ => Err(format!("further from SimpleITK than allowed: {}", failures.join(", ")).into()),
    }
}

/// Correlation of the log fields, standard deviation of their difference, relative difference of white matter's variation.
fn compare(
    reference: &Reference,
    image: &Array3<f32>,
    correction: &N4Correction,
) -> Result<[f64; 3], Box<dyn Error>> {
    let on_grid = |index: usize| index.is_multiple_of(reference.stride);
    let inside = image
        .indexed_iter()
        .filter(|((z, y, x), value)| **value > 0.0 && on_grid(*z) && on_grid(*y) && on_grid(*x));
    let ours: Vec<f64> = inside
        .map(|((z, y, x), _)| correction.field.log_at([z, y, x].map(|index| index as f64)))
        .collect();
    let theirs = &reference.log_field;
    if ours.len() != theirs.len() {
        return Err(format!("{}: another scan than SimpleITK's", reference.path.display()).into());
    }
    let products: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a * b).collect();
    let [a, b] = [mean_sd(&ours), mean_sd(theirs)];
    let covariance = mean_sd(&products)[0] - a[0] * b[0];
    let apart: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
    let WhiteMatter { threshold, cv } = reference.white_matter;
    let white = correction.corrected.iter().filter(|value| **value >= threshold);
    let [mean, sd] = mean_sd(&white.map(|&value| f64::from(value)).collect::<Vec<_>>());
    Ok([covariance / (a[1] * b[1]), mean_sd(&apart)[1], sd / mean / cv - 1.0])
}

fn mean_sd(values: &[f64]) -> [f64; 2] {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    [mean, (squares / values.len() as f64).sqrt()]
}
