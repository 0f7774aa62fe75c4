//! Average precision as a server that ranks a map per request, so that it can be timed in turn with scikit-learn's:
//! `cargo xtask bench-peers score` is the client.
//!
//! With `--write FOLDER` it makes the maps instead: files of scores (`f32`, little-endian) and then as many labels (a
//! byte each). With `--value FILE` it prints the average precision.
#![forbid(unsafe_code)]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;

use disyre_benches::{report, scan_argument, serve, voxels};
use disyre_score::average_precision;

/// Voxels of a brain at 1 mm with its background.
const VOXELS: usize = 8_000_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    report(match &words[..] {
        [flag, folder] if flag == "--write" => write(Path::new(folder)),
        [flag, file] if flag == "--value" => print(Path::new(file)),
        _ => run(),
    })
}

/// Ranks the voxels of a file, from scores and labels in memory to the average precision.
fn run() -> Result<(), Box<dyn Error>> {
    let (scores, labels) = read(&scan_argument()?)?;
    serve(|| {
        black_box(average_precision(black_box(&scores), black_box(&labels))?);
        Ok(())
    })
}

/// Prints the average precision of a file, to be compared with that of others.
fn print(file: &Path) -> Result<(), Box<dyn Error>> {
    let (scores, labels) = read(file)?;
    println!("{}", average_precision(&scores, &labels)?);
    Ok(())
}

/// Three maps: one of distinct scores, one with background, and one with so much lesion (15 %) that all is sorted.
fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let maps = [("distinct", 0.0, 0.02), ("background", 0.8, 0.02), ("lesions", 0.0, 0.15)];
    for (name, background, lesion) in maps {
        let (scores, mut labels) = voxels(VOXELS, background, lesion);
        let mut bytes: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        bytes.append(&mut labels);
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<(Vec<f32>, Vec<u8>), Box<dyn Error>> {
    let bytes = std::fs::read(file)?;
    let (scores, labels) = bytes.split_at(bytes.len() / 5 * 4);
    let scores = scores.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
    Ok((scores, labels.to_vec()))
}
