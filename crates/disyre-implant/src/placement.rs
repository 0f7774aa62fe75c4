//! Shapes at their place in a host.

use disyre_core::ndarray::Array3;
use disyre_core::{Affine, Grid, Volume};
use disyre_volume::affine::{compose, invert, transform};
use disyre_volume::{Interpolation, VoxelBox, resample_to_grid};
use serde::{Deserialize, Serialize};

use crate::ImplantError;
use crate::shapes::REACH_MM;

/// How a shape is moved in MNI space before it goes to the host: turned and scaled about the centre of its box, shifted, and
/// mirrored at the plane x = 0 last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Whether left and right are exchanged.
    pub mirrored: bool,
    /// Rotations about the axes x, y and z in degrees, in this order.
    pub rotation_degrees: [f64; 3],
    /// Factor of size.
    pub scale: f64,
    /// Shift along x, y and z in millimetres.
    pub shift_mm: [f64; 3],
}

/// The distance map of a shape in a box of a host.
pub(crate) struct Placed {
    /// Box in the host.
    pub(crate) region: VoxelBox,
    /// Distance from the border in the host's millimetres, above 0 inside.
    pub(crate) signed_mm: Array3<f32>,
}

impl Placement {
    /// The map from the shape's millimetres to those of the template.
    fn affine(&self, centre: [f64; 3]) -> Affine {
        let [x, y, z] = self.rotation_degrees.map(f64::to_radians).map(f64::sin_cos);
        let about_x = [[1., 0., 0.], [0., x.1, -x.0], [0., x.0, x.1]];
        let about_y = [[y.1, 0., y.0], [0., 1., 0.], [-y.0, 0., y.1]];
        let about_z = [[z.1, -z.0, 0.], [z.0, z.1, 0.], [0., 0., 1.]];
        let widen = |m: [[f64; 3]; 3]| -> Affine {
            let row = |r: [f64; 3]| [r[0], r[1], r[2], 0.0];
            [row(m[0]), row(m[1]), row(m[2]), [0.0, 0.0, 0.0, 1.0]]
        };
        let mut map = compose(&widen(about_z), &compose(&widen(about_y), &widen(about_x)));
        map[..3].iter_mut().flatten().for_each(|value| *value *= self.scale);
        let moved = transform(&map, centre);
        for axis in 0..3 {
            map[axis][3] = centre[axis] + self.shift_mm[axis] - moved[axis];
        }
        if self.mirrored {
            map[0] = map[0].map(|value| -value);
        }
        map
    }

    /// Puts a distance map, blurred or not, into a host; `None` if its box misses the host.
    pub(crate) fn place(
        &self,
        shape: &Volume,
        host: &Grid,
        scan_from_template: &Affine,
    ) -> Result<Option<Placed>, ImplantError> {
        let to_host = compose(scan_from_template, &self.affine(centre_mm(&shape.grid)));
        let (Some(from_host), Some(host_voxels)) = (invert(&to_host), invert(&host.affine)) else {
            return Ok(None);
        };
        let to_voxels = compose(&host_voxels, &compose(&to_host, &shape.grid.affine));
        let Some(region) = covered(&to_voxels, shape.grid.shape, host.shape) else {
            return Ok(None);
        };
        let part = region.grid_of(host);
        let onto = Grid { affine: compose(&from_host, &part.affine), ..part };
        // What lies outside of the map becomes 0: as far outside of the shape as the map reaches.
        let reach = REACH_MM as f32;
        let raised = Volume { data: &shape.data + reach, grid: shape.grid };
        let stretch = Grid { affine: to_host, shape: [1; 3] }.voxel_mm3().cbrt() as f32;
        let mut signed_mm = resample_to_grid(&raised, &onto, Interpolation::Linear)?.data;
        signed_mm.mapv_inplace(|value| (value - reach) * stretch);
        Ok(Some(Placed { region, signed_mm }))
    }
}

/// Middle of a grid in its world.
pub(crate) fn centre_mm(grid: &Grid) -> [f64; 3] {
    let middle = |axis: usize| (grid.shape[axis] as f64 - 1.0) / 2.0;
    transform(&grid.affine, [middle(2), middle(1), middle(0)])
}

/// The box of the host's voxels that a grid's corners span.
fn covered(to_voxels: &Affine, shape: [usize; 3], host: [usize; 3]) -> Option<VoxelBox> {
    let corners = (0..8).map(|corner: usize| {
        let end =
            |axis: usize| if corner >> axis & 1 == 1 { shape[axis] as f64 - 1.0 } else { 0.0 };
        let [x, y, z] = transform(to_voxels, [end(2), end(1), end(0)]);
        [z, y, x]
    });
    let corners: Vec<[f64; 3]> = corners.collect();
    let ends = [0, 1, 2].map(|axis| {
        let values = corners.iter().map(|corner| corner[axis]);
        let low = values.clone().fold(f64::INFINITY, f64::min).floor().max(0.0);
        let high = values.fold(f64::NEG_INFINITY, f64::max).ceil() + 1.0;
        // A box beyond the host has its end before its start.
        (low as usize, high.clamp(0.0, host[axis] as f64) as usize)
    });
    let region = VoxelBox { start: ends.map(|end| end.0), end: ends.map(|end| end.1) };
    (0..3).all(|axis| region.start[axis] < region.end[axis]).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ball of 8 mm about a point, as a distance map on a grid of 2 mm.
    fn ball(centre: [f64; 3]) -> Volume {
        let mut grid = Grid::from_spacing([23; 3], [2.0; 3]);
        (0..3).for_each(|axis| grid.affine[axis][3] = centre[axis] - 22.0);
        let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| {
            let from = |index: usize| 2.0 * index as f64 - 22.0;
            (8.0 - (from(x).powi(2) + from(y).powi(2) + from(z).powi(2)).sqrt()) as f32
        });
        Volume { data, grid }
    }

    fn deepest(placed: &Placed, host: &Grid) -> ([f64; 3], f32) {
        let deepest = placed.signed_mm.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        let grid = placed.region.grid_of(host);
        let (z, y, x) = deepest.0;
        (transform(&grid.affine, [x as f64, y as f64, z as f64]), *deepest.1)
    }

    #[test]
    fn a_shape_comes_to_its_place_mirrored_scaled_and_shifted() {
        let mut host = Grid::from_spacing([60; 3], [1.0; 3]);
        (0..3).for_each(|axis| host.affine[axis][3] = -30.0);
        let template = Grid::from_spacing([1; 3], [1.0; 3]).affine;
        let placement = Placement {
            mirrored: true,
            rotation_degrees: [10.0, -20.0, 30.0],
            scale: 1.25,
            shift_mm: [2.0, 3.0, -4.0],
        };
        let shape = ball([10.0, -6.0, 2.0]);
        let placed = placement.place(&shape, &host, &template).unwrap().unwrap();
        let (place, depth) = deepest(&placed, &host);
        assert!(
            (0..3).all(|axis| (place[axis] - [-12.0, -3.0, -2.0][axis]).abs() <= 1.0),
            "{place:?}"
        );
        assert!((depth - 10.0).abs() < 1.0, "{depth}");
        let voxels = placed.signed_mm.iter().filter(|&&signed| signed > 0.0).count() as f64;
        assert!((voxels / 4188.8 - 1.0).abs() < 0.05, "{voxels}");
    }

    #[test]
    fn a_shape_beside_the_host_is_nowhere() {
        let host = Grid::from_spacing([20; 3], [1.0; 3]);
        let still = Placement {
            mirrored: false,
            rotation_degrees: [0.0; 3],
            scale: 1.0,
            shift_mm: [500.0, 0.0, 0.0],
        };
        let template = Grid::from_spacing([1; 3], [1.0; 3]).affine;
        assert!(still.place(&ball([0.0; 3]), &host, &template).unwrap().is_none());
    }
}
