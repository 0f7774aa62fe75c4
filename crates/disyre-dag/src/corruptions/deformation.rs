//! [`Deformation`]: tissue pushed outwards or inwards.

use disyre_core::{
    Key, Severity,
    ndarray::{Array3, Array4, ArrayView4, Axis},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use super::{
    corruption::Corruption,
    params::{CorruptionParams, DEFORMATION, DeformationDirection, DeformationParams},
    strength::{check_strength, draw_present},
};
use crate::{
    canvas::{Canvas, severity_of},
    error::DagError,
};

/// Settings of [`Deformation`].
///
/// # Source
/// The "source" and "sink" deformations of Baugh et al., "Many tasks make light work" (MICCAI 2023, arXiv 2307.00899);
/// the profile of the displacement is ours: it has no fold and fades out with its slope.
///
/// ```
/// use disyre_dag::{Key, PlacedMask, corruptions::{Corruption, DeformationConfig}};
/// use disyre_dag::ndarray::{Array3, Array4};
///
/// let clean = Array4::from_shape_fn((1, 1, 24, 24), |(_, _, y, x)| ((y + x) % 5 + 1) as f32 / 6.0);
/// let mask = PlacedMask { origin: [0, 4, 4], values: Array3::ones((1, 16, 16)) };
/// let mut out = Array4::zeros(clean.dim());
/// let deformation = DeformationConfig::default().build()?;
/// let severity = deformation.corrupt(Key::new(1), clean.view(), &mask, out.view_mut())?;
/// assert!(severity.get() > 0.0 && out != clean);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeformationConfig {
    /// Probability that an anomaly has a deformation, in `[0, 1]`.
    pub probability: f64,
    /// Least and greatest strength, in `[0, 1]`; at 1 the middle is enlarged without bound, or shrunk by half.
    pub severity: [f32; 2],
}

impl Default for DeformationConfig {
    fn default() -> Self {
        Self { probability: 1.0, severity: [0.0, 1.0] }
    }
}

impl DeformationConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<Deformation, DagError> {
        check_strength(self.probability, self.severity)?;
        Ok(Deformation { config: self })
    }
}

/// Moves the tissue inside a mask away from its centre or towards it.
///
/// A voxel at distance r from the mask's centre of mass, 1 at the ellipsoid around its box, shows what was at
/// `r (1 ∓ s (1 − r²)²)`, interpolated linearly, beyond the window too. Its severity is the greatest
/// change of any voxel.
#[derive(Debug, Clone)]
pub struct Deformation {
    config: DeformationConfig,
}

fn deform(params: &DeformationParams, canvas: &mut Canvas<'_>) -> Severity {
    let Some(ellipsoid) = Ellipsoid::around(&canvas.mask().values) else { return Severity::CLEAN };
    let strength = match params.direction {
        DeformationDirection::Bulge => -f64::from(params.severity.get()),
        DeformationDirection::Shrink => f64::from(params.severity.get()),
    };
    let current = CurrentImage {
        clean: canvas.clean(),
        window: canvas.window(),
        origin: canvas.mask().origin,
    };
    let mut target: Array4<f32> = current.window.to_owned();
    for ((z, y, x), _) in canvas.mask().values.indexed_iter().filter(|(_, m)| **m > 0.0) {
        let from = ellipsoid.source([z, y, x], strength);
        for channel in 0..target.len_of(Axis(0)) {
            target[[channel, z, y, x]] = current.interpolate(channel, from);
        }
    }
    severity_of(canvas.blend_towards(target.view(), 1.0))
}

/// The ellipsoid in which tissue moves.
#[derive(Debug)]
struct Ellipsoid {
    centre: [f64; 3],
    radii: [f64; 3],
}

impl Ellipsoid {
    /// Around the centre of mass of a mask, reaching its farthest voxel along each axis; `None` for an empty one.
    fn around(mask: &Array3<f32>) -> Option<Self> {
        let (mut mass, mut moments) = (0.0, [0.0; 3]);
        let (mut first, mut last) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for ((z, y, x), &m) in mask.indexed_iter().filter(|(_, m)| **m > 0.0) {
            mass += f64::from(m);
            for (axis, at) in [z, y, x].map(|index| index as f64).into_iter().enumerate() {
                moments[axis] += f64::from(m) * at;
                first[axis] = at.min(first[axis]);
                last[axis] = at.max(last[axis]);
            }
        }
        let centre = moments.map(|moment| moment / mass);
        let radii = std::array::from_fn(|axis| {
            (last[axis] - centre[axis]).max(centre[axis] - first[axis]) + 0.5
        });
        (mass > 0.0).then_some(Self { centre, radii })
    }

    /// Position of the tissue that a voxel shows.
    fn source(&self, voxel: [usize; 3], strength: f64) -> [f64; 3] {
        let off: [f64; 3] = std::array::from_fn(|axis| voxel[axis] as f64 - self.centre[axis]);
        let square: f64 = (0..3).map(|axis| (off[axis] / self.radii[axis]).powi(2)).sum();
        let factor = 1.0 + strength * (1.0 - square).max(0.0).powi(2);
        std::array::from_fn(|axis| self.centre[axis] + factor * off[axis])
    }
}

/// The image as it is now: earlier corruptions have changed the window alone.
#[derive(Debug)]
struct CurrentImage<'a> {
    clean: ArrayView4<'a, f32>,
    window: ArrayView4<'a, f32>,
    origin: [usize; 3],
}

impl CurrentImage<'_> {
    /// At a voxel of the image.
    fn at(&self, channel: usize, voxel: [usize; 3]) -> f32 {
        // What lies before the window wraps to beyond it.
        let [z, y, x] = std::array::from_fn(|axis| voxel[axis].wrapping_sub(self.origin[axis]));
        match self.window.get([channel, z, y, x]) {
            Some(value) => *value,
            None => self.clean[[channel, voxel[0], voxel[1], voxel[2]]],
        }
    }

    /// Linear between voxels, at a position in the window or beyond; outside the image, the nearest voxel's value.
    fn interpolate(&self, channel: usize, position: [f64; 3]) -> f32 {
        let place = |axis: usize| {
            let last = self.clean.len_of(Axis(axis + 1)) - 1;
            let position = (self.origin[axis] as f64 + position[axis]).clamp(0.0, last as f64);
            let (lower, rest) = (position as usize, position.fract());
            [(lower, 1.0 - rest), ((lower + 1).min(last), rest)]
        };
        let mut sum = 0.0;
        for (z, a) in place(0) {
            for (y, b) in place(1) {
                for (x, c) in place(2) {
                    sum += a * b * c * f64::from(self.at(channel, [z, y, x]));
                }
            }
        }
        sum as f32
    }
}

impl Corruption for Deformation {
    fn name(&self) -> &'static str {
        DEFORMATION
    }

    /// Draws a strength and a direction.
    fn draw(&self, key: Key) -> CorruptionParams {
        let mut rng = key.rng();
        let severity = draw_present(&mut rng, self.config.probability, self.config.severity);
        let bulge = rng.random_bool(0.5);
        let direction =
            if bulge { DeformationDirection::Bulge } else { DeformationDirection::Shrink };
        CorruptionParams::Deformation(DeformationParams { severity, direction })
    }

    fn realise(
        &self,
        params: &CorruptionParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError> {
        match params {
            CorruptionParams::Deformation(params) => Ok(deform(params, canvas)),
            other => Err(other.unlike(self.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{placed_mask::PlacedMask, region::Region};

    #[test]
    fn a_tighter_window_around_the_same_mask_changes_nothing() {
        let clean = Array4::from_shape_fn((1, 1, 40, 40), |(_, _, y, x)| {
            0.1 + ((y * 7 + x * 5) % 13) as f32 / 15.0
        });
        // A block and an arm: the ellipsoid around both reaches far beyond the block's side.
        let values =
            Array3::from_shape_fn((1, 20, 20), |(_, y, x)| f32::from(u8::from(x < 8 || y == 10)));
        let mut padded = Array3::zeros((1, 40, 40));
        Region::at([0, 10, 10], [1, 20, 20]).of(padded.view_mut()).assign(&values);
        let deformation = DeformationConfig::default().build().unwrap();
        for direction in [DeformationDirection::Bulge, DeformationDirection::Shrink] {
            let params = CorruptionParams::Deformation(DeformationParams {
                severity: Severity::FULL,
                direction,
            });
            let out = |origin, values: &Array3<f32>| {
                let mask = PlacedMask { origin, values: values.clone() };
                let mut out = Array4::zeros(clean.dim());
                deformation.apply(&params, clean.view(), &mask, out.view_mut()).unwrap();
                out
            };
            let difference = &out([0, 10, 10], &values) - &out([0; 3], &padded);
            assert!(difference.iter().all(|difference| difference.abs() < 1e-5));
        }
    }

    #[test]
    fn a_dot_off_the_centre_moves_outwards_or_inwards() {
        let clean = Array4::from_shape_fn((1, 1, 33, 33), |(_, _, y, x)| {
            0.2 + 0.8 * (-((y as f32 - 16.0).powi(2) + (x as f32 - 22.0).powi(2)) / 4.0).exp()
        });
        let mask = PlacedMask { origin: [0; 3], values: Array3::ones((1, 33, 33)) };
        let deformation = DeformationConfig::default().build().unwrap();
        let centre = |direction| {
            let severity = Severity::new(0.6).unwrap();
            let mut out = Array4::zeros(clean.dim());
            let params = CorruptionParams::Deformation(DeformationParams { severity, direction });
            deformation.apply(&params, clean.view(), &mask, out.view_mut()).unwrap();
            let brightest = out.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            brightest.0.3
        };
        assert!(centre(DeformationDirection::Bulge) > 23);
        assert!(centre(DeformationDirection::Shrink) < 21);
    }
}
