//! Errors of pages.

use disyre_core::ShapeError;

/// Why a page could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A picture could not be encoded.
    #[error("a picture of the page cannot be encoded")]
    Encode(#[from] png::EncodingError),
    /// A picture could not be decoded.
    #[error("a picture cannot be decoded as PNG; make it anew")]
    Decode(#[from] png::DecodingError),
    /// A picture has other pixels than 8-bit grey or colours.
    #[error("a picture has {got} pixels, expected 8-bit grey or RGB; make it anew")]
    Pixels {
        /// The kind of its pixels.
        got: String,
    },
    /// Two volumes of a page do not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The template could not be filled.
    #[error("the page cannot be filled")]
    Template(#[from] askama::Error),
    /// The data of the viewer have no JSON form.
    #[error("the data of the page have no JSON form")]
    Json(#[from] serde_json::Error),
}
