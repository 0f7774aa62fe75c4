//! Anomaly maps read to be ranked.

use std::path::Path;

use disyre_core::ensure_same_shape;
use disyre_core::ndarray::{Array3, Zip};
use disyre_volume::{ReadOptions, Scan, ScanHeader, read_values};

use crate::Error;
use crate::inside_brain::inside_brain;

/// Share of the voxels that count that may tie by 32 bits alone: measures then differ in the third digit at most.
const MOST_TIED: f64 = 1e-3;

/// Reads a map of scores. Outside the brain it may hold anything: what is not finite there is 0 in the result.
///
/// Scores are ranked in 32 bits. Where the file holds more, those that become equal are counted; few are logged as a warning.
///
/// # Errors
/// [`Error::Volume`] for files that cannot be read, and for scores inside the brain that are not finite;
/// [`Error::NarrowScores`] if more than one voxel of a thousand ties; [`Error::Shape`] for a brain of another shape.
pub fn read_scores(path: &Path, brain: Option<&Array3<u8>>) -> Result<Scan, Error> {
    let (options, header) = (ReadOptions::default(), ScanHeader::read(path)?);
    if let Some(brain) = brain {
        ensure_same_shape("brain mask", &header.grid().shape, brain.shape())?;
    }
    let (header, mut scores) = match header.fits_32_bits() {
        true => read_values::<f32>(path, &options)?,
        false => {
            let (header, scores) = read_values::<f64>(path, &options)?;
            ensure_ranked_alike(path, &scores, brain)?;
            (header, scores.mapv(|score| score as f32))
        }
    };
    if let Some(brain) = brain {
        Zip::from(&mut scores).and(brain).par_for_each(|score, &inside| {
            if inside == 0 && !score.is_finite() {
                *score = 0.0;
            }
        });
    }
    Ok(Scan::new(header, scores)?)
}

/// Counts the voxels whose scores differ in 64 bits and tie in 32.
fn ensure_ranked_alike(
    path: &Path,
    scores: &Array3<f64>,
    brain: Option<&Array3<u8>>,
) -> Result<(), Error> {
    let mut inside: Vec<f64> = match brain {
        None => scores.iter().copied().collect(),
        Some(brain) => inside_brain(scores.view(), brain.view()),
    };
    inside.sort_unstable_by(f64::total_cmp);
    let ties = |pair: &&[f64]| pair[0] != pair[1] && pair[0] as f32 == pair[1] as f32;
    let (tied, voxels) = (inside.windows(2).filter(ties).count(), inside.len());
    let path = path.to_owned();
    if tied as f64 > MOST_TIED * voxels as f64 {
        return Err(Error::NarrowScores { path, tied, voxels });
    }
    if tied > 0 {
        let path = path.display();
        log::warn!(
            "{path}: {tied} of {voxels} scores tie in 32 bits with others that differ in 64"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    #[test]
    fn scores_that_differ_beyond_32_bits_are_refused() {
        let path = Path::new("map.nii");
        let far = array![[[1e8, 1e8 + 1.0, 1e8 + 2.0, 0.5]]];
        let error = ensure_ranked_alike(path, &far, None).unwrap_err();
        assert!(error.to_string().contains("2 of 4"), "{error}");
        let brain = array![[[1, 0, 0, 1]]];
        assert!(ensure_ranked_alike(path, &far, Some(&brain)).is_ok());
        assert!(ensure_ranked_alike(path, &array![[[0.1, 0.2, 0.2]]], None).is_ok());
    }
}
