//! Interpolation between voxels, and buffers; both `oblique` and `separable` use them.
use serde::{Deserialize, Serialize};

/// Rule for values between voxels.
///
/// A voxel is a box around its centre. Inside the outermost boxes the nearest centres count; outside, values are 0.
///
/// ```
/// use disyre_core::ndarray::{Array3, array};
/// use disyre_volume::{Grid, Interpolation, Volume, resample_to_spacing};
///
/// let line = Array3::from_shape_fn((1, 1, 4), |(_, _, x)| x as f32);
/// let line = Volume::new(line, Grid::from_spacing([1, 1, 4], [1.0; 3]))?;
/// let coarse = resample_to_spacing(&line, [1.0, 1.0, 2.0], Interpolation::Area)?;
/// assert_eq!(coarse.data, array![[[0.5, 2.5]]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The voxel whose centre is nearest: for labels.
    Nearest,
    /// Linear along each axis.
    Linear,
    /// The mean over the new voxel's box along every axis that becomes coarser, linear along the others: no aliasing.
    Area,
}

/// Voxel below a coordinate and the fraction towards the next; `None` outside the outermost voxels' boxes.
///
/// Between the outer face and the centre of the first or last voxel the coordinate counts as that centre.
pub(super) fn bracket(coordinate: f64, voxels: usize) -> Option<(usize, f32)> {
    /// Slack for grids that share a face.
    const ROUNDING: f64 = 1e-6;
    let last = voxels as f64 - 1.0;
    if !(coordinate >= -0.5 - ROUNDING && coordinate <= last + 0.5 + ROUNDING) {
        return None;
    }
    let inside = coordinate.clamp(0.0, last);
    let below = inside.floor();
    Some((below as usize, (inside - below) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_half_voxel_takes_its_centre_and_beyond_is_nothing() {
        assert_eq!(bracket(-0.5, 4), Some((0, 0.0)));
        assert_eq!(bracket(1.25, 4), Some((1, 0.25)));
        assert_eq!(bracket(3.5, 4), Some((3, 0.0)));
        assert_eq!(bracket(3.6, 4), None);
        assert_eq!(bracket(f64::NAN, 4), None);
    }
}
