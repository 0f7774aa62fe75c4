//! The trait between scores and models: `disyre-score` calls it, a model implements it.

use std::error::Error;

use ndarray::{ArrayView5, ArrayViewMut5};

use crate::{Severity, ShapeError};

/// Restores images: removes the anomaly of a given severity.
///
/// `disyre-diffusion` implements it with a network; a median filter or a mean image is a restorer too.
///
/// ```
/// use disyre_core::ndarray::{Array5, ArrayView5, ArrayViewMut5};
/// use disyre_core::{RestoreError, Restorer, Severity};
/// /// Believes no tissue is brighter than 0.5.
/// struct Half;
/// impl Restorer for Half {
///     fn restore(&self, x: ArrayView5<f32>, _: &[Severity], mut out: ArrayViewMut5<f32>) -> Result<(), RestoreError> {
///         out.assign(&x.mapv(|value| value.min(0.5)));
///         Ok(())
///     }
/// }
/// let batch = Array5::from_elem((2, 1, 1, 4, 4), 0.8); // (n, c, z, y, x)
/// let mut restored = Array5::zeros(batch.dim());
/// Half.restore(batch.view(), &[Severity::FULL; 2], restored.view_mut())?;
/// assert_eq!(restored, Array5::from_elem(batch.dim(), 0.5));
/// # Ok::<(), RestoreError>(())
/// ```
pub trait Restorer: Send + Sync {
    /// Restores every item of a batch under its own assumed severity.
    ///
    /// The result for one item must not depend on the others of its batch.
    ///
    /// # Shapes and units
    /// `batch` and `restored` are `(n, c, z, y, x)`, intensities in `[0, 1]`, background 0; `severities` has n
    /// entries. The restoration need not be clamped to `[0, 1]`.
    ///
    /// # Errors
    /// [`RestoreError`]; `restored` then holds nothing of meaning.
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError>;

    /// Restores as [`restore`](Self::restore) does and, where the restorer also predicts where its input is corrupted,
    /// writes that prediction. Returns true if it did. The default predicts nothing: it leaves `map` alone and returns
    /// false.
    ///
    /// # Shapes and units
    /// As [`restore`](Self::restore); `map` is `(n, 1, z, y, x)`: 0 where nothing is corrupted, 1 where the corruption is
    /// fully visible. It need not be clamped to `[0, 1]`.
    ///
    /// # Errors
    /// As [`restore`](Self::restore); `map` then holds nothing of meaning.
    fn restore_and_map(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
        map: ArrayViewMut5<'_, f32>,
    ) -> Result<bool, RestoreError> {
        let _ = map;
        self.restore(batch, severities, restored)?;
        Ok(false)
    }

    /// Restores the whole batch under each of several severities and writes the sums over these restorations, added up
    /// from 0 in the order of the severities. Returns true if it did.
    ///
    /// Only for speed: a restorer on a GPU then copies two sums to the host instead of every restoration. The default does
    /// nothing and returns false; the caller then calls [`restore`](Self::restore) for each severity.
    ///
    /// # Shapes and units
    /// `batch` and both sums are `(n, c, z, y, x)`; `severities` are those of the ensemble, at least one, each for all
    /// items.
    ///
    /// # Errors
    /// As [`restore`](Self::restore); the sums then hold nothing of meaning.
    fn restore_summed(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        distance: Distance,
        sums: EnsembleSums<'_>,
    ) -> Result<bool, RestoreError> {
        let _ = (batch, severities, distance, sums);
        Ok(false)
    }
}

/// Failure of a [`Restorer`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The batch, the severities and the output do not fit each other or the model.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The model, or the device that it runs on, failed.
    #[error("the restorer failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

/// Distance of two intensities x and y, by name, so that a restorer on a GPU can compute it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// `|x − y|`.
    Absolute,
    /// `(x − y)²`.
    Squared,
}

/// Sums over the restorations of an ensemble, `(n, c, z, y, x)` each; written by the restorer.
#[derive(Debug)]
pub struct EnsembleSums<'a> {
    /// Sum of the distances between the batch and each restoration.
    pub residuals: ArrayViewMut5<'a, f32>,
    /// Sum of the restorations.
    pub restorations: ArrayViewMut5<'a, f32>,
}
