//! Corrects the bias field at one to four fitting levels, and shows what each does to a lesion.
//!
//! More levels make tissues more even, and then begin to take a large lesion for shading. Stripped scans with their
//! lesion masks may follow the folder: `bias_field FOLDER SCAN MASK SCAN MASK ...`. Without them it takes a slice with a
//! bright lesion. Writes the image, and the corrected ones, as pictures of the middle slice.

use std::error::Error;
use std::path::Path;

use disyre_core::Key;
use disyre_core::ndarray::{Array2, Array3, Axis};
use disyre_examples::{brain_slice, montage, output_folder, write_png};
use disyre_n4::N4Config;
use disyre_score::average_precision;
use disyre_volume::{Scan, nonzero_mask, read_mask};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = output_folder("bias_field")?;
    let paths: Vec<String> = std::env::args().skip(2).collect();
    println!("image, levels: log contrast of the lesion, average precision of brightness");
    if paths.is_empty() {
        let (image, lesion) = shaded_slice();
        return compare("slice", &image, &lesion, &folder);
    }
    for pair in paths.chunks_exact(2) {
        let scan = Scan::read(&pair[0])?;
        let lesion = read_mask(Path::new(&pair[1]), &scan)?;
        let name = Path::new(&pair[0]).file_name().unwrap_or_default().to_string_lossy();
        compare(&name, &scan.volume.data, &lesion, &folder)?;
    }
    Ok(())
}

/// A slice that gets darker from left to right, with a bright lesion.
fn shaded_slice() -> (Array3<f32>, Array3<u8>) {
    let mut data = brain_slice(Key::new(5), 160, 128).index_axis_move(Axis(0), 0);
    let is_lesion = |y: usize, x: usize| (y as f32 - 60.0).hypot(x as f32 - 40.0) < 15.0;
    let lesion = Array3::from_shape_fn(data.dim(), |(_, y, x)| u8::from(is_lesion(y, x)));
    for ((z, y, x), value) in data.indexed_iter_mut() {
        *value *= (0.5 - x as f32 / 128.0).exp() * (1.0 + 0.5 * f32::from(lesion[[z, y, x]]));
    }
    (data, lesion)
}

/// Prints a line for each number of levels, 0 for the image as it is.
fn compare(
    name: &str,
    image: &Array3<f32>,
    lesion: &Array3<u8>,
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    let brain = nonzero_mask(image.view());
    let mut pictures = Vec::new();
    for levels in 0..=4 {
        let config = N4Config { iterations: vec![50; levels], ..N4Config::default() };
        let shown = match levels {
            0 => image.clone(),
            _ => config.build()?.correct(image.view(), brain.view())?.corrected,
        };
        let (mut values, mut labels, mut lesion_logs, mut rest) = (vec![], vec![], vec![], vec![]);
        for ((&value, &label), _) in shown.iter().zip(lesion).zip(&brain).filter(|(_, b)| **b > 0) {
            values.push(value);
            labels.push(label);
            if label > 0 { lesion_logs.push(value.ln()) } else { rest.push(value) }
        }
        let contrast =
            lesion_logs.iter().sum::<f32>() / lesion_logs.len() as f32 - median(&mut rest).ln();
        println!("{name}, {levels}: {contrast:.3}, {:.3}", average_precision(&values, &labels)?);
        pictures.push(middle_slice(&shown));
    }
    write_png(&folder.join(format!("{name}.png")), &montage(&[pictures]))?;
    Ok(())
}

fn median(values: &mut [f32]) -> f32 {
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

/// Brightness from 0 to the brightest percent.
fn middle_slice(data: &Array3<f32>) -> Array2<f32> {
    let slice = data.index_axis(Axis(0), data.len_of(Axis(0)) / 2);
    let mut sorted = slice.iter().copied().collect::<Vec<_>>();
    sorted.sort_by(f32::total_cmp);
    let bright = sorted[sorted.len() * 99 / 100].max(f32::MIN_POSITIVE);
    slice.mapv(|value| (value / bright).min(1.0))
}
