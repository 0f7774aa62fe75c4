//! Weights of the voxels of a window in a [`Blender`](crate::Blender).

use disyre_core::ndarray::{Array3, ArrayView3};

use crate::PatchError;
use crate::plan::is_addressable;

/// Standard deviation of the Gaussian weights as a fraction of the window's length along each axis.
///
/// # Source
/// The published code: 16 voxels for a window of 128.
const SIGMA_FRACTION: f64 = 0.125;

/// Least weight of a Gaussian window, so that no voxel's denominator vanishes.
///
/// # Source
/// The published code.
const LEAST_WEIGHT: f32 = 1e-3;

/// Weight of each voxel of a window in the blend, in `(0, 1]`.
///
/// ```
/// let weights = disyre_patch::WindowWeights::gaussian([1, 9, 9])?;
/// assert_eq!(weights.values()[[0, 4, 4]], 1.0); // the centre
/// assert_eq!(weights.values()[[0, 0, 0]], 1e-3); // the corner
/// # Ok::<(), disyre_patch::PatchError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WindowWeights {
    values: Array3<f32>,
}

impl WindowWeights {
    /// Weights that fall off from the window's centre: the outer product over the axes of `exp(−x² / 2σ²)`,
    /// x the distance from the centre, σ = 0.125 of the axis, clamped from below at `max(its minimum, 0.001)`.
    ///
    /// An axis of length 1 contributes the factor 1, so a 2D window has 2D weights.
    ///
    /// # Shapes and units
    /// `window` in voxels, `(z, y, x)`.
    ///
    /// # Errors
    /// [`PatchError::ZeroAxis`] or [`PatchError::TooLarge`].
    ///
    /// # Source
    /// The published code's importance map, with any number of axes.
    pub fn gaussian(window: [usize; 3]) -> Result<Self, PatchError> {
        ensure_window(window)?;
        let [z, y, x] = window.map(gaussian_profile);
        let mut values = Array3::from_shape_fn(window, |(i, j, k)| (z[i] * y[j] * x[k]) as f32);
        let floor = values.fold(f32::INFINITY, |least, &value| least.min(value)).max(LEAST_WEIGHT);
        values.mapv_inplace(|value| value.max(floor));
        Ok(Self { values })
    }

    /// The same weight for every voxel.
    ///
    /// # Shapes and units
    /// `window` in voxels, `(z, y, x)`.
    ///
    /// # Errors
    /// [`PatchError::ZeroAxis`] or [`PatchError::TooLarge`].
    pub fn uniform(window: [usize; 3]) -> Result<Self, PatchError> {
        ensure_window(window)?;
        Ok(Self { values: Array3::ones(window) })
    }

    /// The weights, `(z, y, x)`, in `(0, 1]`.
    pub fn values(&self) -> ArrayView3<'_, f32> {
        self.values.view()
    }
}

fn ensure_window(window: [usize; 3]) -> Result<(), PatchError> {
    if window.contains(&0) {
        return Err(PatchError::ZeroAxis { what: "window", got: window });
    }
    if !is_addressable(window) {
        return Err(PatchError::TooLarge { what: "a window", shape: window });
    }
    Ok(())
}

/// `exp(−x² / 2σ²)` at the voxels of one axis, x measured from the axis' centre.
fn gaussian_profile(length: usize) -> Vec<f64> {
    let centre = (length as f64 - 1.0) / 2.0;
    let sigma = SIGMA_FRACTION * length as f64;
    (0..length).map(|i| (-0.5 * ((i as f64 - centre) / sigma).powi(2)).exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_the_formula_and_stop_at_the_floor() {
        let weights = WindowWeights::gaussian([1, 1, 8]).unwrap(); // sigma 1, x = -3.5, -2.5, ...
        for (k, x) in [(0, 3.5_f32), (1, 2.5), (3, 0.5), (4, 0.5), (7, 3.5)] {
            let expected = (-x * x / 2.0).exp();
            assert!((weights.values()[[0, 0, k]] - expected).abs() < 1e-7, "x = {x}");
        }
        let square = WindowWeights::gaussian([1, 8, 8]).unwrap();
        assert_eq!(square.values()[[0, 0, 0]], LEAST_WEIGHT); // exp(-12.25) = 5e-6
    }

    #[test]
    fn an_axis_of_one_voxel_does_not_change_the_weights() {
        let flat = WindowWeights::gaussian([1, 6, 9]).unwrap();
        let upright = WindowWeights::gaussian([6, 1, 9]).unwrap();
        assert!(flat.values().iter().eq(upright.values().iter()));
        assert_eq!(
            WindowWeights::gaussian([1; 3]).unwrap(),
            WindowWeights::uniform([1; 3]).unwrap()
        );
    }

    #[test]
    fn an_empty_window_has_no_weights() {
        for error in [WindowWeights::gaussian([1, 0, 1]), WindowWeights::uniform([0, 1, 1])] {
            assert!(matches!(error, Err(PatchError::ZeroAxis { what: "window", .. })));
        }
        assert!(matches!(
            WindowWeights::uniform([usize::MAX, 2, 2]),
            Err(PatchError::TooLarge { .. })
        ));
    }
}
