//! What one request to a restorer for a whole ensemble is about.

use ndarray::ArrayViewMut5;

/// How far two intensities x and y are from each other, as far as the crates know it by name: a restorer on another
/// machine can then compute it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// `|x − y|`.
    Absolute,
    /// `(x − y)²`.
    Squared,
}

/// Sums over the restorations of an ensemble, `(n, c, z, y, x)` each; a restorer writes them.
#[derive(Debug)]
pub struct EnsembleSums<'a> {
    /// Of the distances between the batch and each restoration.
    pub residuals: ArrayViewMut5<'a, f32>,
    /// Of the restorations.
    pub restorations: ArrayViewMut5<'a, f32>,
}
