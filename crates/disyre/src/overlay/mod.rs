//! The pictures beside an anomaly map. `mosaic` has axial slices of the scan, its restoration and its score; `tiles` has
//! what the page shows of the preparation and the severities. [`Findings`](crate::Findings) saves them.

mod mosaic;
mod palette;
mod picture;
mod slices;
mod tiles;

use std::path::Path;

use disyre_core::ndarray::ArrayView3;

use crate::write_files::write_bytes;
use crate::{Detection, Error};
use mosaic::Mosaic;
pub(crate) use picture::Picture;
pub(crate) use tiles::{Tile, TileKind, TileSource, draw_tiles, tissue_centres};

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
    write_picture(path, &mosaic.draw(scale_end))
}

/// Writes a picture into a PNG file.
///
/// # Errors
/// [`Error::Picture`] and [`Error::Io`], naming the file.
pub(crate) fn write_picture(path: &Path, picture: &Picture) -> Result<(), Error> {
    let encoded = picture.encode();
    let failed = |source| Error::Picture { path: path.to_owned(), source: Box::new(source) };
    write_bytes(path, &encoded.map_err(failed)?)
}
