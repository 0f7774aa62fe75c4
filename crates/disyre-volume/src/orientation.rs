//! Orientation of a volume's axes, and the copy to RAS+.
use std::fmt;

use disyre_core::ndarray::{Array3, ArrayView3, Axis};
use disyre_core::{Affine, Grid, Volume};

use crate::VoxelBox;
use crate::affine::rescaled;

/// Permutation and flips that bring a volume's axes closest to RAS+.
///
/// ```
/// use disyre_volume::{Grid, Orientation};
/// let grid = Grid::from_spacing([2, 2, 2], [1.0; 3]);
/// assert_eq!(Orientation::of(&grid.affine).to_string(), "RAS");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation {
    /// Voxel axis (0 = x, 1 = y, 2 = z) that runs along each world axis (R, A, S).
    source: [usize; 3],
    /// For each world axis, whether that voxel axis runs against it.
    flipped: [bool; 3],
}

impl Orientation {
    /// Orientation of an affine: the assignment of voxel axes to world axes with the greatest sum of |cosines|.
    ///
    /// # Source
    /// Ours. Where no two axes compete (any scan that is less than 45° oblique) it equals nibabel's `io_orientation`.
    pub fn of(affine: &Affine) -> Self {
        const PERMUTATIONS: [[usize; 3]; 6] =
            [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let norm = |axis: usize| (0..3).map(|w| affine[w][axis].powi(2)).sum::<f64>().sqrt();
        let norms = [0, 1, 2].map(norm);
        let fit = |p: &[usize; 3]| (0..3).map(|w| (affine[w][p[w]] / norms[p[w]]).abs()).sum();
        let mut source = PERMUTATIONS[0];
        let mut best: f64 = fit(&source);
        for candidate in &PERMUTATIONS[1..] {
            let value: f64 = fit(candidate);
            if value > best + 1e-9 {
                (source, best) = (*candidate, value);
            }
        }
        let flipped = [0, 1, 2].map(|world| affine[world][source[world]] < 0.0);
        Self { source, flipped }
    }

    /// Copies native voxels in RAS+ order.
    ///
    /// # Shapes and units
    /// Input `(z, y, x)` of the native grid, output `(z, y, x)` with x to the right, y forwards, z upwards.
    pub fn to_ras<T: Clone>(self, native: ArrayView3<'_, T>) -> Array3<T> {
        self.ras_view(native).as_standard_layout().into_owned()
    }

    /// Native voxels in RAS+ order, not copied.
    ///
    /// # Shapes and units
    /// As [`Orientation::to_ras`].
    pub fn ras_view<T>(self, native: ArrayView3<'_, T>) -> ArrayView3<'_, T> {
        // World axis w is array axis 2 - w.
        let axes = [2, 1, 0].map(|world: usize| 2 - self.source[world]);
        let mut view = native.permuted_axes(axes);
        for world in (0..3).filter(|&world| self.flipped[world]) {
            view.invert_axis(Axis(2 - world));
        }
        view
    }

    /// The box of native voxels that a box of [`ras_view`](Self::ras_view) shows.
    ///
    /// # Shapes and units
    /// `native` is the native shape `(z, y, x)`.
    pub fn native_box(self, ras: VoxelBox, native: [usize; 3]) -> VoxelBox {
        let mut region = VoxelBox { start: [0; 3], end: [0; 3] };
        for world in 0..3 {
            let axis = 2 - self.source[world];
            let (start, end) = (ras.start[2 - world], ras.end[2 - world]);
            let mirrored = (native[axis] - end, native[axis] - start);
            (region.start[axis], region.end[axis]) =
                if self.flipped[world] { mirrored } else { (start, end) };
        }
        region
    }

    /// Copies RAS+ voxels back to the native order: the inverse of [`Orientation::to_ras`].
    ///
    /// # Shapes and units
    /// As [`Orientation::to_ras`], the other way round.
    pub fn from_ras<T: Clone>(self, ras: ArrayView3<'_, T>) -> Array3<T> {
        let mut view = ras;
        for world in (0..3).filter(|&world| self.flipped[world]) {
            view.invert_axis(Axis(2 - world));
        }
        let mut axes = [0; 3];
        for world in 0..3 {
            axes[2 - self.source[world]] = 2 - world;
        }
        view.permuted_axes(axes).as_standard_layout().into_owned()
    }

    /// The grid of [`ras_view`](Self::ras_view): every voxel keeps its position in the world.
    pub fn ras_grid(self, native: &Grid) -> Grid {
        let mut start = [0.0; 3];
        let mut step = [1.0; 3];
        for (world, &axis) in self.source.iter().enumerate() {
            if self.flipped[world] {
                start[axis] = native.shape[2 - axis].saturating_sub(1) as f64;
                step[axis] = -1.0;
            }
        }
        let flipped = rescaled(&native.affine, start, step);
        let mut affine = flipped;
        for (new, old) in affine.iter_mut().zip(&flipped) {
            for world in 0..3 {
                new[world] = old[self.source[world]];
            }
        }
        let shape = [2, 1, 0].map(|world: usize| native.shape[2 - self.source[world]]);
        Grid { shape, affine }
    }
}

impl fmt::Display for Orientation {
    /// Directions of x, y and z, such as `LPS`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CODES: [[&str; 2]; 3] = [["R", "L"], ["A", "P"], ["S", "I"]];
        for axis in 0..3 {
            let world = self.source.iter().position(|&source| source == axis).unwrap_or(axis);
            f.write_str(CODES[world][usize::from(self.flipped[world])])?;
        }
        Ok(())
    }
}

/// Greatest angle between an axis of an affine and the nearest axis of the world, in degrees: 0 to about 55.
///
/// # Source
/// nibabel's `affines.obliquity`, its maximum.
///
/// ```
/// use disyre_volume::obliquity_degrees;
/// let (sin, cos) = 20f64.to_radians().sin_cos();
/// let turned = [[2.0 * cos, -sin, 0., 5.], [2.0 * sin, cos, 0., 6.], [0., 0., 3., 7.], [0., 0., 0., 1.]];
/// assert!((obliquity_degrees(&turned) - 20.0).abs() < 1e-9);
/// ```
pub fn obliquity_degrees(affine: &Affine) -> f64 {
    let angle = |axis: usize| {
        let column = [0, 1, 2].map(|world: usize| affine[world][axis].abs());
        let norm = column.iter().map(|value| value * value).sum::<f64>().sqrt();
        let cosine = column.into_iter().fold(0.0, f64::max) / norm;
        cosine.clamp(0.0, 1.0).acos().to_degrees()
    };
    (0..3).map(angle).fold(0.0, f64::max)
}

/// Permutes and flips the axes so that x runs to the right, y forwards and z upwards, as nearly as possible.
///
/// Every voxel keeps its value and its position in world coordinates; an oblique volume stays oblique.
/// [`Orientation::from_ras`] is the inverse.
pub fn to_ras(volume: &Volume) -> Volume {
    let orientation = Orientation::of(&volume.grid.affine);
    Volume {
        data: orientation.to_ras(volume.data.view()),
        grid: orientation.ras_grid(&volume.grid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affine::transform;
    use proptest::prelude::*;

    #[test]
    fn codes_say_where_the_axes_point() {
        // x runs backwards (P), y up (S), z to the right (R).
        let affine = [[0., 0., 2., 0.], [-1., 0., 0., 0.], [0., 3., 0., 0.], [0., 0., 0., 1.]];
        assert_eq!(Orientation::of(&affine).to_string(), "PSR");
    }

    fn axis_aligned(permutation: usize, signs: [bool; 3]) -> Affine {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let mut affine = [[0.05; 4]; 4];
        affine[3] = [0.0, 0.0, 0.0, 1.0];
        for (axis, &world) in orders[permutation].iter().enumerate() {
            affine[world][axis] = (axis + 1) as f64 * if signs[axis] { -1.0 } else { 1.0 };
        }
        affine
    }

    proptest! {
        #[test]
        fn every_voxel_keeps_its_world_coordinates(permutation in 0usize..6, signs: [bool; 3]) {
            let grid = Grid { shape: [2, 3, 4], affine: axis_aligned(permutation, signs) };
            let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| (z * 100 + y * 10 + x) as f32);
            let native = Volume::new(data, grid).unwrap();
            let ras = to_ras(&native);
            prop_assert_eq!(Orientation::of(&ras.grid.affine).to_string(), "RAS");
            for ((z, y, x), value) in ras.data.indexed_iter() {
                let code = *value as usize;
                let there = transform(&grid.affine, [(code % 10) as f64, (code / 10 % 10) as f64, (code / 100) as f64]);
                let here = transform(&ras.grid.affine, [x as f64, y as f64, z as f64]);
                for d in 0..3 {
                    prop_assert!((there[d] - here[d]).abs() < 1e-12);
                }
            }
            let orientation = Orientation::of(&grid.affine);
            prop_assert_eq!(orientation.from_ras(ras.data.view()), &native.data);
            let [z, y, x] = ras.grid.shape;
            let part = VoxelBox { start: [0, 1, 1], end: [z - 1, y, x] };
            let there = orientation.native_box(part, grid.shape).view_of(native.data.view());
            prop_assert_eq!(orientation.ras_view(there), part.view_of(ras.data.view()));
        }
    }
}
