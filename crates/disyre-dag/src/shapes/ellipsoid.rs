//! [`EllipsoidShapes`]: turned ellipses and ellipsoids.

use disyre_core::{Key, ndarray::ArrayViewMut3, rand::RngExt};
use serde::{Deserialize, Serialize};

use super::{
    rotation::Rotation,
    source::{ShapeSource, UNITS},
    unit_frame::UnitFrame,
};
use crate::{check, error::DagError};

/// Settings of [`EllipsoidShapes`].
///
/// # Source
/// Ours.
///
/// ```
/// use disyre_dag::{Key, ndarray::Array3, shapes::{ShapeSource, EllipsoidConfig}};
///
/// let shapes = EllipsoidConfig::default().build()?;
/// let mut mask = Array3::zeros((1, 64, 64));
/// shapes.fill(Key::new(2), mask.view_mut())?;
/// assert!((60.0..1600.0).contains(&mask.sum())); // diameters of 10 to 44
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EllipsoidConfig {
    /// Least and greatest diameter in 64ths of the window, in `(0, 64]`; each axis of the ellipsoid draws its own.
    pub diameter: [f64; 2],
    /// Greatest rotation to either side, in degrees, in `[0, 180]`.
    pub rotation_degrees: f64,
}

impl Default for EllipsoidConfig {
    fn default() -> Self {
        Self { diameter: [10.0, 44.0], rotation_degrees: 180.0 }
    }
}

impl EllipsoidConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<EllipsoidShapes, DagError> {
        let expected = "0.01 ≤ least ≤ greatest ≤ 64";
        check::interval("diameter", self.diameter, [0.01, UNITS], expected)?;
        let expected = "an angle in [0, 180]";
        check::in_range("rotation_degrees", self.rotation_degrees, [0.0, 180.0], expected)?;
        Ok(EllipsoidShapes { config: self })
    }
}

/// Random ellipses in 2D, ellipsoids in 3D, turned at random, that lie in the window whole. Values are 0 or 1.
#[derive(Debug, Clone, Default)]
pub struct EllipsoidShapes {
    config: EllipsoidConfig,
}

impl ShapeSource for EllipsoidShapes {
    fn fill(&self, key: Key, shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        let mut rng = key.rng();
        let window: [usize; 3] = shape.dim().into();
        let [least, greatest] = self.config.diameter;
        let radii: [f64; 3] = std::array::from_fn(|axis| {
            let diameter = least + (greatest - least) * rng.random::<f64>();
            0.5 * diameter * window[axis] as f64 / UNITS
        });
        let rotation = Rotation::draw(&mut rng, self.config.rotation_degrees, window).matrix();
        let centre: [f64; 3] = std::array::from_fn(|axis| {
            // The half extent of a turned ellipsoid along an axis of the window.
            let reach = (0..3).map(|own| (radii[own] * rotation[own][axis]).powi(2)).sum::<f64>();
            let reach = reach.sqrt().min(window[axis] as f64 / 2.0);
            let free = window[axis] as f64 - 2.0 * reach;
            match window[axis] {
                1 => 0.0,
                _ => reach - 0.5 + free * rng.random::<f64>(),
            }
        });
        UnitFrame::new(rotation, centre, radii).fill_ball(shape);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    #[test]
    fn an_ellipsoid_has_its_volume_whatever_its_rotation() {
        let config = EllipsoidConfig { diameter: [20.0, 20.0], ..Default::default() };
        let source = config.build().unwrap();
        for (window, expected) in [([1, 64, 64], 314.2), ([64, 64, 64], 4188.8)] {
            let mut mask = Array3::zeros(window);
            for index in 0..20u64 {
                source.fill(Key::new(1).child(index), mask.view_mut()).unwrap();
                assert!((mask.sum() / expected - 1.0f32).abs() < 0.05, "{}", mask.sum());
            }
        }
    }

    #[test]
    fn ellipses_are_long_in_all_directions() {
        let config = EllipsoidConfig { diameter: [6.0, 40.0], ..Default::default() };
        let source = config.build().unwrap();
        let mut mask = Array3::zeros((1, 64, 64));
        let mut slanted = 0;
        for index in 0..100u64 {
            source.fill(Key::new(2).child(index), mask.view_mut()).unwrap();
            let voxels: Vec<[f64; 2]> = mask
                .indexed_iter()
                .filter(|(_, m)| **m > 0.0)
                .map(|((_, y, x), _)| [y as f64, x as f64])
                .collect();
            let mean =
                |axis: usize| voxels.iter().map(|v| v[axis]).sum::<f64>() / voxels.len() as f64;
            let centre = [mean(0), mean(1)];
            let mixed: f64 = voxels.iter().map(|v| (v[0] - centre[0]) * (v[1] - centre[1])).sum();
            slanted += usize::from(mixed.abs() / voxels.len() as f64 > 10.0);
        }
        assert!(slanted > 30, "{slanted}");
    }
}
