//! Scans whose axes are oblique to those of the world, and the axes that they are prepared along.

use std::fmt;

use disyre_core::{Affine, Grid};
use disyre_register::Registration;
use disyre_volume::{Orientation, obliquity_degrees};
use serde::Serialize;

use super::TemplateSpace;

/// Axes that a scan with oblique axes is prepared along, where the settings ask for the scan's own axes.
///
/// A header that is oblique means one of two things: the slices were tilted to the head, which then lies straight on its
/// voxels, or the voxels lie straight in the scanner and the head on them askew. Registration to the template tells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ObliqueScan {
    /// Greatest angle between an axis of the scan and the nearest axis of the world, in degrees.
    pub degrees: f64,
    /// Axes of the working grid.
    pub axes: ObliqueAxes,
}

/// Axes of the working grid of an [`ObliqueScan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObliqueAxes {
    /// The scan's own: the head lies on them at least as straight as on those of the world.
    Scan,
    /// Those of the world: the head lies straighter on them.
    World,
    /// Those of the template: the head is askew on the scan's and on the world's.
    Template,
    /// The scan's own, because the registration to the template is doubtful.
    ScanUnregistered,
}

/// From this angle on a scan is an [`ObliqueScan`], in degrees.
///
/// # Source
/// Ours, by measurement: maps of heads on grids turned by 8° correlate with those of the straight grid nearly as well as
/// maps of grids that are only shifted (`docs/REPRODUCING.md`).
pub const OBLIQUE_DEGREES: f64 = 10.0;

/// Beyond this angle to the template a head is askew, in degrees: nearly all heads lie within it in a scanner.
const ASKEW_DEGREES: f64 = 25.0;

/// Fewest voxels along each axis of a scan that can be resampled onto turned axes: a few thick slices cannot.
const LEAST_VOXELS: usize = 8;

/// The obliquity of a grid that must not be taken as straight, in degrees.
pub(super) fn oblique_degrees(grid: &Grid) -> Option<f64> {
    let degrees = obliquity_degrees(&grid.affine);
    let deep = grid.shape.iter().all(|&voxels| voxels >= LEAST_VOXELS);
    (deep && degrees > OBLIQUE_DEGREES).then_some(degrees)
}

impl ObliqueScan {
    /// Chooses the axes by a registration.
    pub(super) fn choose(
        degrees: f64,
        grid: &Grid,
        found: &Registration,
        space: &TemplateSpace,
    ) -> Self {
        let turn = space.turn(found);
        let world = angle_degrees(&turn, &IDENTITY);
        let own = angle_degrees(&turn, &Orientation::of(&grid.affine).ras_grid(grid).affine);
        let axes = match found.verdict.is_good() {
            false => ObliqueAxes::ScanUnregistered,
            true if own.min(world) > ASKEW_DEGREES => ObliqueAxes::Template,
            true if own <= world => ObliqueAxes::Scan,
            true => ObliqueAxes::World,
        };
        Self { degrees, axes }
    }

    /// The turn from straight axes to those of the working grid, in the world of the scan; `None`: the scan's own axes.
    pub(super) fn turn(self, found: &Registration, space: &TemplateSpace) -> Option<Affine> {
        match self.axes {
            ObliqueAxes::World => Some(IDENTITY),
            ObliqueAxes::Template => Some(space.turn(found)),
            ObliqueAxes::Scan | ObliqueAxes::ScanUnregistered => None,
        }
    }
}

impl fmt::Display for ObliqueScan {
    /// As a clause: "its axes are oblique by 20.0° and …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its axes are oblique by {:.1}° and ", self.degrees)?;
        f.write_str(match self.axes {
            ObliqueAxes::Scan => "the head lies straight on them: they are kept",
            ObliqueAxes::World => "the head lies straighter on those of the world: it was resampled onto these",
            ObliqueAxes::Template => "the head is askew: it was resampled onto the axes of the template",
            ObliqueAxes::ScanUnregistered => {
                "the registration to the template is doubtful: they are kept, and the map may be off"
            }
        })
    }
}

const IDENTITY: Affine = [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]];

/// Angle between the axes of two affines, each RAS+ and nearly orthogonal, in degrees.
fn angle_degrees(a: &Affine, b: &Affine) -> f64 {
    let norm = |m: &Affine, axis: usize| (0..3).map(|w| m[w][axis].powi(2)).sum::<f64>().sqrt();
    let cosine = |axis: usize| {
        (0..3).map(|w| a[w][axis] * b[w][axis]).sum::<f64>() / (norm(a, axis) * norm(b, axis))
    };
    // The trace of the rotation from one to the other.
    let trace: f64 = (0..3).map(cosine).sum();
    ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_angle_between_axes_is_that_of_the_rotation() {
        let (sin, cos) = 30f64.to_radians().sin_cos();
        let turned =
            [[2.0 * cos, -sin, 0., 5.], [2.0 * sin, cos, 0., 6.], [0., 0., 3., 7.], IDENTITY[3]];
        assert!((angle_degrees(&turned, &IDENTITY) - 30.0).abs() < 1e-9);
        assert!(angle_degrees(&turned, &turned).abs() < 1e-5);
    }

    #[test]
    fn a_few_slices_or_a_small_angle_are_left_alone() {
        let (sin, cos) = 20f64.to_radians().sin_cos();
        let affine = [[cos, -sin, 0., 5.], [sin, cos, 0., 6.], [0., 0., 3., 7.], IDENTITY[3]];
        let degrees = oblique_degrees(&Grid { shape: [8, 64, 64], affine }).unwrap();
        assert!((degrees - 20.0).abs() < 1e-9, "{degrees}");
        assert_eq!(oblique_degrees(&Grid { shape: [7, 64, 64], affine }), None);
        let straight = Grid::from_spacing([64; 3], [1.0; 3]);
        assert_eq!(oblique_degrees(&straight), None);
    }
}
