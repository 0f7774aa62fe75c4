//! Common parts of the examples: the output folder, a synthetic slice, and pictures.
#![forbid(unsafe_code)]

pub mod gallery;

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use disyre_core::Key;
use disyre_core::ndarray::{Array, Array2, Array4, Axis, Dimension, concatenate};
use disyre_core::rand::RngExt;

/// The folder to write into: the first argument, or `target/examples/NAME`. It exists afterwards.
///
/// # Errors
/// If the folder cannot be made.
pub fn output_folder(name: &str) -> io::Result<PathBuf> {
    let default = || Path::new("target/examples").join(name);
    let folder = std::env::args_os().nth(1).map_or_else(default, PathBuf::from);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A synthetic axial slice of a brain in T1: folded cortex, white matter and ventricles, background exactly 0.
///
/// # Shapes and units
/// `(1, 1, y, x)`, intensities in `[0, 1]`; any size from about 32 × 32.
pub fn brain_slice(key: Key, height: usize, width: usize) -> Array4<f32> {
    let mut rng = key.rng();
    let phase: f32 = rng.random_range(0.0..6.0);
    Array4::from_shape_fn((1, 1, height, width), |(_, _, row, column)| {
        let y = (row as f32 + 0.5) / height as f32 * 2.0 - 1.0;
        let x = (column as f32 + 0.5) / width as f32 * 2.0 - 1.0;
        let tissue = tissue(y / 0.92, x / 0.76, phase);
        if tissue == 0.0 { 0.0 } else { tissue + rng.random_range(-0.03..0.03) }
    })
}

/// Intensity by position in a unit disc: outside 0, then cortex, white matter and a pair of ventricles.
fn tissue(y: f32, x: f32, phase: f32) -> f32 {
    let (radius, angle) = (y.hypot(x), y.atan2(x));
    let folds = 0.08 * (11.0 * angle + phase).sin() + 0.05 * (23.0 * angle - phase).sin();
    let ventricle = ((x.abs() - 0.17) / 0.11).hypot((y + 0.6 * x.abs()) / 0.4);
    match radius {
        r if r > 1.0 => 0.0,
        r if r > 0.95 || ventricle < 1.0 || (x.abs() < 0.02 && y.abs() > 0.5) => 0.18,
        r if r > 0.76 + folds => 0.5,
        _ => 0.8,
    }
}

/// The last two axes `(y, x)` of an array, at index 0 of the others.
///
/// # Panics
/// If the array has fewer than two axes, or one of the others is empty.
pub fn picture<D: Dimension>(array: &Array<f32, D>) -> Array2<f32> {
    let mut view = array.view().into_dyn();
    while view.ndim() > 2 {
        view = view.index_axis_move(Axis(0), 0);
    }
    view.to_owned().into_dimensionality().expect("two axes are left")
}

/// Joins pictures of one size into rows of a picture, with a white line between neighbours.
///
/// # Panics
/// If the pictures differ in size or the rows in length.
pub fn montage(rows: &[Vec<Array2<f32>>]) -> Array2<f32> {
    let lines: Vec<Array2<f32>> = rows.iter().map(|row| join(Axis(1), row)).collect();
    join(Axis(0), &lines)
}

fn join(axis: Axis, pictures: &[Array2<f32>]) -> Array2<f32> {
    let mut size = pictures[0].raw_dim();
    size[axis.index()] = 2;
    let line = Array2::ones(size);
    let mut parts = vec![line.view(); 2 * pictures.len() - 1];
    for (part, picture) in parts.iter_mut().step_by(2).zip(pictures) {
        *part = picture.view();
    }
    concatenate(axis, &parts).expect("pictures of one size")
}

/// The picture at twice its size.
pub fn enlarged(picture: &Array2<f32>) -> Array2<f32> {
    let size = (2 * picture.nrows(), 2 * picture.ncols());
    Array2::from_shape_fn(size, |(row, column)| picture[[row / 2, column / 2]])
}

/// Writes a grey PNG, every voxel 2 × 2 pixels: 0 black, 1 white, beyond clipped.
///
/// # Errors
/// If the file cannot be written.
pub fn write_png(path: &Path, picture: &Array2<f32>) -> io::Result<()> {
    let enlarged = enlarged(picture);
    let (height, width) = enlarged.dim();
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let bytes: Vec<u8> = enlarged.iter().map(|value| (value * 255.0).round() as u8).collect();
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(())
}
