//! [`ShapeSource`]: the trait of all shapes, and the unit of their sizes.

use std::sync::Arc;

use disyre_core::{Key, ndarray::ArrayViewMut3};

use crate::error::DagError;

/// A source of random masks.
///
/// ```
/// use disyre_dag::{DagError, Key, ndarray::{Array3, ArrayViewMut3}, shapes::ShapeSource};
///
/// /// The whole window.
/// struct Full;
/// impl ShapeSource for Full {
///     fn fill(&self, _: Key, mut shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
///         shape.fill(1.0);
///         Ok(())
///     }
/// }
///
/// let mut shape = Array3::zeros((1, 8, 8));
/// Full.fill(Key::new(1), shape.view_mut())?;
/// assert_eq!(shape.sum(), 64.0);
/// # Ok::<(), DagError>(())
/// ```
pub trait ShapeSource: Send + Sync {
    /// Fills a window with the mask of this key; equal keys and windows give equal masks.
    ///
    /// The mask may be empty. Sizes are relative to the window, so any window will do.
    ///
    /// # Shapes and units
    /// `shape` is `(z, y, x)`, of any extents; all of it is written, with values in `[0, 1]`.
    ///
    /// # Errors
    /// [`DagError`] if the source cannot fill this window; `shape` then holds nothing of meaning.
    fn fill(&self, key: Key, shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError>;
}

impl<S: ShapeSource + ?Sized> ShapeSource for Arc<S> {
    fn fill(&self, key: Key, shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        (**self).fill(key, shape)
    }
}

/// The units of shape sizes: 64ths of the window along each axis, voxels of the published window.
pub(super) const UNITS: f64 = 64.0;
