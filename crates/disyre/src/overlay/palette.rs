//! Colours of intensities and scores: those of pages.

use disyre_report::ColourMap;

use super::picture::Rgb;

/// Shade of an intensity in `[0, 1]`.
pub(super) fn grey(value: f32) -> Rgb {
    ColourMap::Grey.colour(value)
}

/// Colour of a share of the scale of a score, in `[0, 1]`.
pub(super) fn heat(value: f32) -> Rgb {
    ColourMap::Heat.colour(value)
}

/// Colour of a value with a sign, in `[-1, 1]`.
pub(super) fn signed(value: f32) -> Rgb {
    ColourMap::Signed.colour(0.5 + 0.5 * value)
}
