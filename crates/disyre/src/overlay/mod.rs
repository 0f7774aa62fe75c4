//! The picture beside an anomaly map: axial slices of the scan, its restoration and its score. [`Findings`](crate::Findings)
//! saves it.

mod mosaic;
mod palette;
mod picture;
mod slices;

use std::path::Path;

use disyre_core::ndarray::ArrayView3;

use crate::write_files::write_bytes;
use crate::{Detection, Error};
use mosaic::Mosaic;

/// Draws a detection on its working grid into a PNG file; the colours end at the score `scale_end`.
///
/// # Errors
/// [`Error::Picture`] and [`Error::Io`], naming the file.
pub(crate) fn write_overlay(
    path: &Path,
    title: &str,
    found: &Detection,
    lesion: Option<ArrayView3<'_, u8>>,
    scale_end: f32,
) -> Result<(), Error> {
    let mosaic = Mosaic {
        title,
        image: &found.prepared.volume,
        brain: found.prepared.mask.view(),
        restored: found.working_restored.view(),
        score: found.working_score.view(),
        lesion,
    };
    let encoded = mosaic.draw(scale_end).encode();
    let bytes = encoded
        .map_err(|source| Error::Picture { path: path.to_owned(), source: Box::new(source) })?;
    write_bytes(path, &bytes)
}
