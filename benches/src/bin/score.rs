//! Average precision as a server that ranks a map per request, so that it can be timed in turn with scikit-learn's:
//! `cargo xtask bench-peers score` is the client.
//!
//! With `--write FOLDER` it makes the maps instead: files of scores (`f32`, little-endian) and then as many labels (a
//! byte each).
#![forbid(unsafe_code)]

use std::error::Error;
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
        _ => run(),
    })
}

/// Ranks the voxels of a file, from scores and labels in memory to the average precision.
fn run() -> Result<(), Box<dyn Error>> {
    let (scores, labels) = read(&scan_argument()?)?;
    serve(|| {
        average_precision(&scores, &labels)?;
        Ok(())
    })
}

/// Two maps: one of distinct scores, and one with background.
fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    for (name, background) in [("distinct", 0.0), ("background", 0.8)] {
        let (scores, mut labels) = voxels(VOXELS, background);
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
