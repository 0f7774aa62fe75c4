//! What happens inside a mask.

mod bias;
mod normalisation;
mod texture;

pub use bias::{BiasConfig, BiasDirection, BiasParams, TissueBias};
pub use normalisation::Normalisation;
pub use texture::{TextureBlend, TextureConfig, TextureParams};

use disyre_core::{
    Key, Severity, ensure_same_shape,
    ndarray::{ArrayView4, ArrayViewMut4},
};

use crate::{DagError, PlacedMask, check};

/// A change of intensities under a mask.
///
/// Every corruption of this crate also has `draw`, which turns a key into serialisable parameters, and `apply`, which
/// is deterministic; this trait does both.
pub trait Corruption: Send + Sync {
    /// Corrupts an image and returns the severity that was realised: 0 exactly where nothing changed.
    ///
    /// Nothing changes where the mask is 0. Equal arguments give equal results.
    ///
    /// # Shapes and units
    /// `clean` and `out` are `(c, z, y, x)`, intensities in `[0, 1]`; all of `out` is written.
    ///
    /// # Errors
    /// [`DagError`] if the arrays, the mask and the corruption do not fit each other, before `out` is written.
    fn corrupt(
        &self,
        key: Key,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError>;
}

/// What every `apply` demands of its arrays.
pub(crate) fn check_images(
    clean: &ArrayView4<'_, f32>,
    out: &ArrayViewMut4<'_, f32>,
) -> Result<(), DagError> {
    ensure_same_shape("the corrupted image", clean.shape(), out.shape())?;
    check::unit_interval("the clean image", clean)
}

/// A severity from a configured interval.
fn draw_severity([least, greatest]: [f32; 2], fraction: f32) -> Severity {
    let value = (least + (greatest - least) * fraction).clamp(0.0, 1.0);
    Severity::new(value).unwrap_or(Severity::CLEAN)
}

/// Checks a configured interval of severities.
fn check_severities(severity: [f32; 2]) -> Result<(), DagError> {
    check::interval("severity", severity.map(f64::from), [0.0, 1.0], "0 ≤ least ≤ greatest ≤ 1")
}
