//! The picture beside an anomaly map: axial slices of the scan, its restoration and its score, for people.

mod canvas;
mod mosaic;
mod palette;
mod slices;

use std::path::Path;

use disyre::Detection;
use disyre::core::ndarray::ArrayView3;

use crate::error::CliError;
use crate::output::write_whole;

pub(crate) use mosaic::Picture;

/// Draws a detection on its working grid into a PNG file and returns the score that the scale ends at.
///
/// # Errors
/// [`CliError::Png`] and [`CliError::File`], naming the file.
pub(crate) fn write_overlay(
    path: &Path,
    title: &str,
    found: &Detection,
    lesion: Option<ArrayView3<'_, u8>>,
) -> Result<f32, CliError> {
    let picture = Picture {
        title,
        image: &found.prepared.volume,
        brain: found.prepared.mask.view(),
        restored: found.working_restored.view(),
        score: found.working_score.view(),
        lesion,
    };
    let scale_end = picture.scale_end();
    let encoded = picture.draw(scale_end).encode();
    let bytes = encoded.map_err(|source| CliError::Png { path: path.to_owned(), source })?;
    write_whole(path, &bytes)?;
    Ok(scale_end)
}
