//! [`DiscShapes`]: discs and balls.

use disyre_core::{Key, ndarray::ArrayViewMut3, rand::RngExt};
use serde::{Deserialize, Serialize};

use super::{
    source::{ShapeSource, UNITS},
    unit_frame::UnitFrame,
};
use crate::{check, error::DagError};

/// Settings of [`DiscShapes`].
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635) and its published code: kind "sphere".
///
/// ```
/// use disyre_dag::{Key, ndarray::Array3, shapes::{ShapeSource, DiscConfig}};
///
/// let shapes = DiscConfig::default().build()?;
/// let mut mask = Array3::zeros((1, 64, 64));
/// shapes.fill(Key::new(2), mask.view_mut())?;
/// assert!((60.0..1600.0).contains(&mask.sum())); // a diameter of 10 to 44
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscConfig {
    /// Least and greatest diameter in 64ths of the window, 1 to 64. The radius is half of it, rounded down.
    pub diameter: [u32; 2],
    /// Least distance between the disc and the window's border in 64ths of the window;
    /// `2 (diameter / 2 + margin)` must not exceed 64.
    pub margin: u32,
}

impl Default for DiscConfig {
    fn default() -> Self {
        Self { diameter: [10, 44], margin: 10 }
    }
}

impl DiscConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<DiscShapes, DagError> {
        let diameters = self.diameter.map(f64::from);
        check::interval("diameter", diameters, [1.0, UNITS], "1 ≤ least ≤ greatest ≤ 64")?;
        let room = UNITS / 2.0 - f64::from(self.diameter[1] / 2);
        let expected = "at most 32 minus the greatest radius";
        check::in_range("margin", f64::from(self.margin), [0.0, room], expected)?;
        Ok(DiscShapes { config: self })
    }
}

/// Random discs in 2D, balls in 3D; ellipses where the window's extents differ. Values are 0 or 1.
#[derive(Debug, Clone, Default)]
pub struct DiscShapes {
    config: DiscConfig,
}

impl ShapeSource for DiscShapes {
    fn fill(&self, key: Key, shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        let DiscConfig { diameter: [least, greatest], margin } = self.config;
        let mut rng = key.rng();
        let radius = rng.random_range(least..=greatest) / 2;
        let near = radius + margin;
        let centre: [f64; 3] =
            std::array::from_fn(|_| f64::from(rng.random_range(near..=UNITS as u32 - near)));
        let window: [usize; 3] = shape.dim().into();
        // The published grid is linspace(0, 64, 64): its first and last voxels lie on the window's border.
        let frame = |axis: usize| match window[axis] {
            1 => (0.0, 0.0),
            extent => (UNITS / (extent as f64 - 1.0), -centre[axis]),
        };
        // A disc of diameter 1 has radius 0: its centre alone.
        let scale = 1.0 / f64::from(radius.max(1));
        let mut matrix = [[0.0; 3]; 3];
        let mut offset = [0.0; 3];
        for axis in 0..3 {
            let (step, shift) = frame(axis);
            (matrix[axis][axis], offset[axis]) = (step * scale, shift * scale);
        }
        UnitFrame { matrix, offset }.fill_ball(shape);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    #[test]
    fn a_disc_keeps_its_distance_from_the_border() {
        let source = DiscShapes::default();
        let mut mask = Array3::zeros((1, 64, 64));
        for index in 0..100u64 {
            source.fill(Key::new(2).child(index), mask.view_mut()).unwrap();
            for ((_, y, x), &value) in mask.indexed_iter() {
                assert!(value == 0.0 || ((9..=54).contains(&y) && (9..=54).contains(&x)));
            }
        }
    }

    #[test]
    fn the_area_is_that_of_a_circle_and_the_volume_that_of_a_ball() {
        let source = DiscConfig { diameter: [40, 40], margin: 10 }.build().unwrap();
        let (mut flat, mut deep) = (Array3::zeros((1, 64, 64)), Array3::zeros((64, 64, 64)));
        source.fill(Key::new(5), flat.view_mut()).unwrap();
        source.fill(Key::new(5), deep.view_mut()).unwrap();
        let radius = 20.0 * 63.0 / 64.0f32; // voxels
        let area = std::f32::consts::PI * radius.powi(2);
        let volume = area * radius * 4.0 / 3.0;
        assert!((flat.sum() / area - 1.0).abs() < 0.02);
        assert!((deep.sum() / volume - 1.0).abs() < 0.02);
    }

    #[test]
    fn a_margin_that_leaves_no_room_is_refused() {
        assert!(DiscConfig { diameter: [10, 44], margin: 11 }.build().is_err());
    }
}
