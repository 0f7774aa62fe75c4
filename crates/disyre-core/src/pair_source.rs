//! The trait between corruptions and training: `disyre-diffusion` calls it, `disyre` implements it with DAG.

use std::error::Error;

use ndarray::ArrayViewMut4;

use crate::{Severity, ShapeError};

/// Pairs of corrupted and clean images, by index.
///
/// Pair `i` is a function of `i` alone, so pairs can be made in any order and on any thread.
///
/// ```
/// use disyre_core::ndarray::{Array4, ArrayViewMut4};
/// use disyre_core::{Key, PairError, PairSource, Severity, rand::RngExt};
/// /// Grey images, corrupted by darkening.
/// struct Darkened(Key);
/// impl PairSource for Darkened {
///     fn pair(
///         &self, index: u64, mut corrupted: ArrayViewMut4<f32>, mut clean: ArrayViewMut4<f32>,
///     ) -> Result<Severity, PairError> {
///         let severity: f32 = self.0.child(index).rng().random_range(0.0..=1.0);
///         clean.fill(0.5);
///         corrupted.fill(0.5 * (1.0 - severity));
///         Severity::new(severity).map_err(|error| PairError::Source { index, source: error.into() })
///     }
/// }
/// let [mut corrupted, mut clean] = [(); 2].map(|()| Array4::zeros((1, 1, 8, 8))); // (c, z, y, x)
/// let pairs = Darkened(Key::new(1).child("pairs"));
/// let severity = pairs.pair(7, corrupted.view_mut(), clean.view_mut())?;
/// assert_eq!(severity, pairs.pair(7, corrupted.view_mut(), clean.view_mut())?);
/// # Ok::<(), PairError>(())
/// ```
pub trait PairSource: Send + Sync {
    /// Writes pair `index` and returns the severity that its corruption realised.
    ///
    /// # Shapes and units
    /// Both outputs are `(c, z, y, x)` of the shape that the caller trains on; intensities in `[0, 1]`.
    ///
    /// # Errors
    /// [`PairError`]; the outputs then hold nothing of meaning.
    fn pair(
        &self,
        index: u64,
        corrupted: ArrayViewMut4<'_, f32>,
        clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError>;
}

/// Failure to make a pair.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// The outputs do not have the shape of the source.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The source failed.
    #[error("pair {index} could not be made")]
    Source {
        /// Index of the pair.
        index: u64,
        /// Cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
