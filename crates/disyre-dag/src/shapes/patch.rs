//! [`PatchShapes`]: the rectangles of FPI, PII, CutPaste and NSA.

use disyre_core::{Key, KeyRng, ndarray::ArrayViewMut3, rand::RngExt};
use serde::{Deserialize, Serialize};

use super::{
    rotation::Rotation,
    source::{ShapeSource, UNITS},
    unit_frame::UnitFrame,
};
use crate::{check, error::DagError};

/// Sides of a patch, drawn uniformly in each interval; lengths in 64ths of the window, at most 64.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PatchSides {
    /// One length for all sides.
    Square {
        /// Least and greatest.
        side: [f64; 2],
    },
    /// A length of its own for each side.
    Box {
        /// Least and greatest.
        side: [f64; 2],
    },
    /// A fraction of the window's area, and the ratio of height to width, or of width to height with p = ½; the depth
    /// is the geometric mean of both. A side longer than the window is cut.
    Area {
        /// Least and greatest, in `(0, 1]`.
        area: [f64; 2],
        /// Least and greatest, in `(0, 1]`.
        aspect: [f64; 2],
    },
    /// Thin and long.
    Scar {
        /// Least and greatest of height and depth.
        width: [f64; 2],
        /// Least and greatest of the length, before rotation along x.
        length: [f64; 2],
    },
}

/// Settings of [`PatchShapes`].
///
/// ```
/// use disyre_dag::{Key, ndarray::Array3, shapes::{PatchConfig, ShapeSource}};
///
/// let patches = PatchConfig::cut_paste_scar().build()?;
/// let mut mask = Array3::zeros((1, 64, 64));
/// patches.fill(Key::new(2), mask.view_mut())?;
/// assert!((1.0..120.0).contains(&mask.sum())); // thin: 1 to 8 by 5 to 12.5
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatchConfig {
    /// Its sides.
    pub sides: PatchSides,
    /// Greatest rotation to either side, in degrees, in `[0, 180]`.
    pub rotation_degrees: f64,
}

impl Default for PatchConfig {
    fn default() -> Self {
        Self::fpi()
    }
}

impl PatchConfig {
    /// The squares of FPI and PII: sides of 10 % to 40 % of an image whose half is the window.
    ///
    /// # Source
    /// Tan et al., "Detecting outliers with foreign patch interpolation" (2020, arXiv 2011.04197).
    pub fn fpi() -> Self {
        Self { sides: PatchSides::Square { side: [12.8, 51.2] }, rotation_degrees: 0.0 }
    }

    /// The patches of CutPaste: 2 % to 15 % of an image whose half is the window, ratio of sides 0.3 to 1.
    ///
    /// # Source
    /// Li et al., "CutPaste" (CVPR 2021, arXiv 2104.04015).
    pub fn cut_paste() -> Self {
        let sides = PatchSides::Area { area: [0.08, 0.6], aspect: [0.3, 1.0] };
        Self { sides, rotation_degrees: 0.0 }
    }

    /// The patches of NSA: each side 10 % to 40 % of an image whose half is the window.
    ///
    /// # Source
    /// Schlüter et al., "Natural synthetic anomalies" (ECCV 2022, arXiv 2109.15222): half sides of 5 % to 20 %, the
    /// default of its published code.
    pub fn nsa() -> Self {
        Self { sides: PatchSides::Box { side: [12.8, 51.2] }, rotation_degrees: 0.0 }
    }

    /// The scars of CutPaste: 2 to 16 by 10 to 25 pixels of an image of 256, whose half is the window.
    ///
    /// # Source
    /// Li et al., "CutPaste" (CVPR 2021, arXiv 2104.04015).
    pub fn cut_paste_scar() -> Self {
        let sides = PatchSides::Scar { width: [1.0, 8.0], length: [5.0, 12.5] };
        Self { sides, rotation_degrees: 45.0 }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<PatchShapes, DagError> {
        let length = |name, interval| {
            check::interval(name, interval, [0.01, UNITS], "0.01 ≤ least ≤ greatest ≤ 64")
        };
        let fraction = |name, interval| {
            check::interval(name, interval, [1e-4, 1.0], "0.0001 ≤ least ≤ greatest ≤ 1")
        };
        match self.sides {
            PatchSides::Square { side } | PatchSides::Box { side } => length("side", side)?,
            PatchSides::Area { area, aspect } => {
                fraction("area", area)?;
                fraction("aspect", aspect)?;
            }
            PatchSides::Scar { width, length: long } => {
                length("width", width)?;
                length("length", long)?;
            }
        }
        let expected = "an angle in [0, 180]";
        check::in_range("rotation_degrees", self.rotation_degrees, [0.0, 180.0], expected)?;
        Ok(PatchShapes { config: self })
    }
}

/// Random rectangles in 2D, cuboids in 3D, with their centre anywhere such that they lie in the window before they are
/// turned. Values are 0 or 1.
#[derive(Debug, Clone, Default)]
pub struct PatchShapes {
    config: PatchConfig,
}

impl PatchShapes {
    /// Sides `(z, y, x)` in 64ths of the window.
    fn sides(&self, rng: &mut KeyRng) -> [f64; 3] {
        let mut between =
            |[least, greatest]: [f64; 2]| least + (greatest - least) * rng.random::<f64>();
        let sides = match self.config.sides {
            PatchSides::Square { side } => [between(side); 3],
            PatchSides::Box { side } => [between(side), between(side), between(side)],
            PatchSides::Area { area, aspect } => {
                let (side, ratio) = (UNITS * between(area).sqrt(), between(aspect).sqrt());
                let tall = between([0.0, 1.0]) < 0.5;
                if tall {
                    [side, side / ratio, side * ratio]
                } else {
                    [side, side * ratio, side / ratio]
                }
            }
            PatchSides::Scar { width, length } => [between(width), between(width), between(length)],
        };
        sides.map(|side| side.min(UNITS))
    }
}

impl ShapeSource for PatchShapes {
    fn fill(&self, key: Key, shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        let mut rng = key.rng();
        let window: [usize; 3] = shape.dim().into();
        let sides = self.sides(&mut rng);
        let lengths: [f64; 3] = std::array::from_fn(|axis| {
            // At least one voxel.
            (sides[axis] * window[axis] as f64 / UNITS).max(1.0)
        });
        let centre = std::array::from_fn(|axis| {
            (lengths[axis] - 1.0) / 2.0
                + (window[axis] as f64 - lengths[axis]) * rng.random::<f64>()
        });
        let rotation = Rotation::draw(&mut rng, self.config.rotation_degrees, window);
        let bounds = window.map(|extent| match extent {
            1 => [f64::NEG_INFINITY, f64::INFINITY],
            _ => [-0.5, 0.5],
        });
        UnitFrame::new(rotation.matrix(), centre, lengths).fill_box(shape, bounds);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    fn areas(config: PatchConfig) -> (f32, f32) {
        let source = config.build().unwrap();
        let mut mask = Array3::zeros((1, 64, 64));
        let mut range = (f32::INFINITY, 0f32);
        for index in 0..500u64 {
            source.fill(Key::new(6).child(index), mask.view_mut()).unwrap();
            range = (range.0.min(mask.sum()), range.1.max(mask.sum()));
        }
        range
    }

    #[test]
    fn areas_span_the_published_intervals() {
        let (least, greatest) = areas(PatchConfig::fpi());
        assert!((144.0..250.0).contains(&least) && (2400.0..2705.0).contains(&greatest));
        let (least, greatest) = areas(PatchConfig::nsa());
        assert!((144.0..250.0).contains(&least) && (2200.0..2705.0).contains(&greatest));
        let (least, greatest) = areas(PatchConfig::cut_paste());
        assert!((280.0..430.0).contains(&least) && (1900.0..2600.0).contains(&greatest));
        let (least, greatest) = areas(PatchConfig::cut_paste_scar());
        assert!((1.0..20.0).contains(&least) && (60.0..120.0).contains(&greatest));
    }
}
