//! [`RectangleShapes`]: rectangles and cuboids of the published generator.

use disyre_core::{Key, ndarray::ArrayViewMut3, rand::RngExt};
use serde::{Deserialize, Serialize};

use super::{
    rotation::Rotation,
    source::{ShapeSource, UNITS},
    unit_frame::UnitFrame,
};
use crate::{check, error::DagError};

/// Settings of [`RectangleShapes`].
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635) and its published code: kind "square".
///
/// ```
/// use disyre_dag::{Key, ndarray::Array3, shapes::{ShapeSource, RectangleConfig}};
///
/// let shapes = RectangleConfig::default().build()?;
/// let mut mask = Array3::zeros((1, 64, 64));
/// shapes.fill(Key::new(2), mask.view_mut())?;
/// assert!((90.0..2000.0).contains(&mask.sum())); // sides of 10 to 44
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RectangleConfig {
    /// Least and greatest side in 64ths of the window, 1 to 64; each axis draws its own. An odd side loses one.
    pub side: [u32; 2],
    /// Probability of a rotation, in `[0, 1]`.
    pub rotation_probability: f64,
    /// Greatest rotation to either side, in degrees, in `[0, 180]`.
    pub rotation_degrees: f64,
}

impl Default for RectangleConfig {
    fn default() -> Self {
        Self { side: [10, 44], rotation_probability: 0.5, rotation_degrees: 15.0 }
    }
}

impl RectangleConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<RectangleShapes, DagError> {
        let sides = self.side.map(f64::from);
        check::interval("side", sides, [1.0, UNITS], "1 ≤ least ≤ greatest ≤ 64")?;
        check::probability("rotation_probability", self.rotation_probability)?;
        let expected = "an angle in [0, 180]";
        check::in_range("rotation_degrees", self.rotation_degrees, [0.0, 180.0], expected)?;
        Ok(RectangleShapes { config: self })
    }
}

/// Random boxes, some rotated: rectangles in 2D, cuboids in 3D. Values are 0 or 1.
///
/// Ours: a rotated box is rasterised exactly, where the published code resamples the unrotated one by splines and
/// binarises; they differ in single voxels of the outline.
#[derive(Debug, Clone, Default)]
pub struct RectangleShapes {
    config: RectangleConfig,
}

impl ShapeSource for RectangleShapes {
    fn fill(&self, key: Key, shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        let RectangleConfig { side: [least, greatest], .. } = self.config;
        let window: [usize; 3] = shape.dim().into();
        let mut rng = key.rng();
        // Edges in 64ths of the window.
        let edges: [[f64; 2]; 3] = std::array::from_fn(|_| {
            let half = rng.random_range(least..=greatest) / 2;
            let centre = rng.random_range(half..=UNITS as u32 - half);
            [f64::from(centre - half), f64::from(centre + half)]
        });
        let turned = rng.random_bool(self.config.rotation_probability);
        let rotation = match turned {
            true => Rotation::draw(&mut rng, self.config.rotation_degrees, window),
            false => Rotation::none(window),
        };
        let bounds = std::array::from_fn(|axis| {
            let extent = window[axis] as f64;
            let inside = |voxel: f64| {
                let unit = (voxel + 0.5) * UNITS / extent;
                edges[axis][0] <= unit && unit < edges[axis][1]
            };
            // The border voxel continues outside the window, as in the published resampling.
            let [first, end] = edges[axis].map(|edge| edge * extent / UNITS - 0.5);
            let low = if window[axis] == 1 || inside(0.0) { f64::NEG_INFINITY } else { first };
            let high = if window[axis] == 1 || inside(extent - 1.0) { f64::INFINITY } else { end };
            [low - rotation.centre()[axis], high - rotation.centre()[axis]]
        });
        UnitFrame::new(rotation.matrix(), rotation.centre(), [1.0; 3]).fill_box(shape, bounds);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    #[test]
    fn an_unrotated_rectangle_has_even_sides_within_the_limits() {
        let config = RectangleConfig { rotation_probability: 0.0, ..Default::default() };
        let source = config.build().unwrap();
        let mut mask = Array3::zeros((1, 64, 64));
        for index in 0..50u64 {
            source.fill(Key::new(1).child(index), mask.view_mut()).unwrap();
            let rows = mask.rows().into_iter().filter(|row| row.sum() > 0.0).count();
            let columns = mask.sum() as usize / rows;
            assert_eq!(rows * columns, mask.sum() as usize);
            for side in [rows, columns] {
                assert!(side % 2 == 0 && (10..=44).contains(&side), "{side}");
            }
        }
    }

    #[test]
    fn a_rotation_moves_the_outline_but_keeps_the_area() {
        let fixed = |probability| RectangleConfig {
            side: [30, 30],
            rotation_probability: probability,
            ..Default::default()
        };
        let (straight, turned) = (fixed(0.0).build().unwrap(), fixed(1.0).build().unwrap());
        let (mut a, mut b) = (Array3::zeros((1, 64, 64)), Array3::zeros((1, 64, 64)));
        straight.fill(Key::new(4), a.view_mut()).unwrap();
        turned.fill(Key::new(4), b.view_mut()).unwrap();
        assert_ne!(a, b);
        assert!((a.sum() - b.sum()).abs() < 40.0, "{} {}", a.sum(), b.sum());
    }

    #[test]
    fn sides_out_of_range_are_refused() {
        for side in [[0, 10], [20, 10], [10, 65]] {
            assert!(RectangleConfig { side, ..Default::default() }.build().is_err());
        }
    }
}
