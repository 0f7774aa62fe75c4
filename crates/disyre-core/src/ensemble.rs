//! Distance and outputs of [`Restorer::restore_summed`](crate::Restorer::restore_summed), by which `disyre-score` asks a
//! restorer for a whole ensemble at once.

use ndarray::ArrayViewMut5;

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
