//! Dissimilarity of a scan and its restoration, voxel by voxel: the summand of [`Ensemble`](crate::Ensemble).

use disyre_core::Distance;

/// Dissimilarity of input and restoration, voxel by voxel: ≥ 0, and 0 where they are equal.
///
/// ```
/// use disyre_score::Residual;
/// /// Counts only voxels that became darker.
/// struct Darkened;
/// impl Residual for Darkened {
///     fn residual(&self, input: &[f32], restored: &[f32], out: &mut [f32]) {
///         for ((out, a), b) in out.iter_mut().zip(input).zip(restored) {
///             *out = (a - b).max(0.0);
///         }
///     }
/// }
/// let mut out = [0.0; 2];
/// Darkened.residual(&[0.5, 0.5], &[0.25, 1.0], &mut out);
/// assert_eq!(out, [0.25, 0.0]);
/// ```
pub trait Residual: Send + Sync {
    /// Writes the dissimilarity of every voxel.
    ///
    /// # Shapes and units
    /// Three slices of one length, voxels in the same order; intensities in `[0, 1]`, though a restoration need not
    /// be clamped to it.
    fn residual(&self, input: &[f32], restored: &[f32], out: &mut [f32]);

    /// The [`Distance`] that equals this residual exactly, if there is one: a restorer on a GPU can then compute it
    /// there. Default: none.
    fn distance(&self) -> Option<Distance> {
        None
    }
}

/// `|input − restored|`.
///
/// # Source
/// DISYRE (arXiv 2311.15453) and DISYRE v2 (arXiv 2407.06635), anomaly score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AbsoluteResidual;

impl Residual for AbsoluteResidual {
    fn residual(&self, input: &[f32], restored: &[f32], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(input).zip(restored) {
            *out = (a - b).abs();
        }
    }

    fn distance(&self) -> Option<Distance> {
        Some(Distance::Absolute)
    }
}

/// `(input − restored)²`: weighs a few large differences more than many small ones.
///
/// # Source
/// Ours: the training loss as a score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SquaredResidual;

impl Residual for SquaredResidual {
    fn residual(&self, input: &[f32], restored: &[f32], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(input).zip(restored) {
            *out = (a - b) * (a - b);
        }
    }

    fn distance(&self) -> Option<Distance> {
        Some(Distance::Squared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_of_a_hand_made_pair() {
        let (input, restored) = ([0.5, 0.25, 1.0], [0.25, 0.25, 1.5]);
        let mut out = [9.0; 3];
        AbsoluteResidual.residual(&input, &restored, &mut out);
        assert_eq!(out, [0.25, 0.0, 0.5]);
        SquaredResidual.residual(&input, &restored, &mut out);
        assert_eq!(out, [0.0625, 0.0, 0.25]);
    }
}
