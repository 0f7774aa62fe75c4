//! [`SizedShapes`]: shapes of a size in millimetres.

use std::{fmt, sync::Arc};

use disyre_core::{Key, ndarray::ArrayViewMut3, rand::RngExt};
use serde::{Deserialize, Serialize};

use super::source::ShapeSource;
use crate::{check, error::DagError, region::Region};

/// Settings of [`SizedShapes`]: a size in millimetres.
///
/// ```
/// use disyre_dag::shapes::{ShapeSource, SizeConfig, EllipsoidShapes};
/// use disyre_dag::{Key, ndarray::Array3};
///
/// let size = SizeConfig { size_mm: [10.0, 20.0], spacing_mm: [4.0, 1.0, 1.0] };
/// let mut mask = Array3::zeros((9, 32, 32));
/// size.build(EllipsoidShapes::default())?.fill(Key::new(2), mask.view_mut())?;
/// assert_eq!(mask[[4, 2, 16]], 0.0); // beyond 20 mm around the middle
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeConfig {
    /// Least and greatest extent along every axis, in millimetres, above 0.
    pub size_mm: [f64; 2],
    /// Distance of neighbouring voxels of the images, `(z, y, x)`, in millimetres, above 0.
    pub spacing_mm: [f64; 3],
}

impl SizeConfig {
    /// Checks the values and takes the shapes.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self, shapes: impl ShapeSource + 'static) -> Result<SizedShapes, DagError> {
        let lengths = [1e-3, 1e6];
        check::interval("size_mm", self.size_mm, lengths, "0.001 ≤ least ≤ greatest ≤ 1e6 mm")?;
        for spacing in self.spacing_mm {
            check::in_range("spacing_mm", spacing, lengths, "0.001 to 1e6 mm")?;
        }
        Ok(SizedShapes { config: self, shapes: Arc::new(shapes) })
    }
}

/// Shapes of another source in a box of a size drawn in millimetres, in the middle of the window and no larger than it.
#[derive(Clone)]
pub struct SizedShapes {
    config: SizeConfig,
    shapes: Arc<dyn ShapeSource>,
}

impl fmt::Debug for SizedShapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SizedShapes").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ShapeSource for SizedShapes {
    fn fill(&self, key: Key, mut shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        let [least, greatest] = self.config.size_mm;
        let size_mm = least + (greatest - least) * key.rng().random::<f64>();
        let window: [usize; 3] = shape.dim().into();
        let extents: [usize; 3] = std::array::from_fn(|axis| {
            let voxels = (size_mm / self.config.spacing_mm[axis]).round() as usize;
            voxels.clamp(1, window[axis].max(1))
        });
        if shape.is_empty() {
            return Ok(());
        }
        let start = std::array::from_fn(|axis| (window[axis] - extents[axis]) / 2);
        shape.fill(0.0);
        self.shapes.fill(key.child("shape"), Region::at(start, extents).of(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::EllipsoidConfig;
    use disyre_core::ndarray::Array3;

    #[test]
    fn a_ball_in_millimetres_is_flat_where_voxels_are_thick() {
        let whole = EllipsoidConfig { diameter: [64.0; 2], rotation_degrees: 0.0 };
        let size = SizeConfig { size_mm: [20.0; 2], spacing_mm: [4.0, 1.0, 0.5] };
        let shapes = size.build(whole.build().unwrap()).unwrap();
        let mut mask = Array3::zeros((9, 32, 64));
        shapes.fill(Key::new(1), mask.view_mut()).unwrap();
        let extent = |axis: usize| {
            let lines = mask.axis_iter(disyre_core::ndarray::Axis(axis));
            lines.filter(|line| line.iter().any(|&m| m > 0.0)).count()
        };
        assert_eq!([extent(0), extent(1), extent(2)], [5, 20, 40]);
    }
}
