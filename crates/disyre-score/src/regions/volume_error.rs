//! Predicted volume against the volume of the lesions.

use disyre_core::ndarray::ArrayView3;
use serde::{Deserialize, Serialize};

use super::Lesions;
use crate::ScoreError;

/// Volume of a prediction beside the volume of the lesions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeError {
    /// Volume predicted, in mm³.
    pub predicted_mm3: f64,
    /// Volume of the lesions, in mm³.
    pub lesions_mm3: f64,
}

impl VolumeError {
    /// Predicted minus lesions, in mm³: above 0 where too much is predicted.
    pub fn signed_mm3(&self) -> f64 {
        self.predicted_mm3 - self.lesions_mm3
    }

    /// Signed error as a share of the volume of the lesions, at least −1; none without a lesion.
    pub fn relative(&self) -> Option<f64> {
        (self.lesions_mm3 > 0.0).then(|| self.signed_mm3() / self.lesions_mm3)
    }
}

/// Volume error of a prediction, inside the brain.
///
/// # Shapes and units
/// `prediction` is `(z, y, x)` on the grid of the lesions, non-zero = predicted.
///
/// # Errors
/// [`ScoreError::Shape`] if the shapes differ.
///
/// ```
/// use disyre_score::{ndarray::array, regions::{Lesions, volume_error}};
/// let lesions = Lesions::new(array![[[1, 1, 0]]].view(), None, [2.0, 1.0, 1.0])?;
/// let error = volume_error(&lesions, array![[[1, 1, 1]]].view())?;
/// assert_eq!((error.signed_mm3(), error.relative()), (2.0, Some(0.5)));
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn volume_error(
    lesions: &Lesions<'_>,
    prediction: ArrayView3<'_, u8>,
) -> Result<VolumeError, ScoreError> {
    let predicted: u64 = lesions.findings(prediction)?.iter().map(|finding| finding.voxels).sum();
    let [predicted_mm3, lesions_mm3] =
        [predicted, lesions.voxels()].map(|voxels| voxels as f64 * lesions.voxel_mm3());
    Ok(VolumeError { predicted_mm3, lesions_mm3 })
}
