//! Images and the position of their voxels in the world.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::ShapeError;

/// A 4×4 matrix from voxel indices `(i, j, k, 1)` = `(x, y, z, 1)` to world millimetres (RAS+), row-major.
///
/// The index order is NIfTI's, the reverse of the array's `(z, y, x)`.
pub type Affine = [[f64; 4]; 4];

/// Shape and affine of a [`Volume`].
///
/// ```
/// use disyre_core::Grid;
/// let grid = Grid::from_spacing([10, 20, 30], [3.0, 1.0, 0.5]); // (z, y, x)
/// assert_eq!(grid.affine[0], [0.5, 0.0, 0.0, 0.0]); // x first, as in NIfTI
/// assert_eq!((grid.spacing_mm(), grid.voxel_mm3(), grid.len()), ([3.0, 1.0, 0.5], 1.5, 6000));
/// ```
///
/// # Shapes and units
/// `shape` is `(z, y, x)`; `affine` maps `(x, y, z)` indices of voxel centres to millimetres in RAS+ world space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Number of voxels along `(z, y, x)`.
    pub shape: [usize; 3],
    /// Voxel indices `(x, y, z)` → world millimetres.
    pub affine: Affine,
}

impl Grid {
    /// An axis-aligned RAS+ grid with the given spacing and voxel (0, 0, 0) at the world's origin.
    ///
    /// # Shapes and units
    /// Both arguments are in `(z, y, x)` order; `spacing_mm` in millimetres.
    pub fn from_spacing(shape: [usize; 3], spacing_mm: [f64; 3]) -> Self {
        let [dz, dy, dx] = spacing_mm;
        let affine =
            [[dx, 0.0, 0.0, 0.0], [0.0, dy, 0.0, 0.0], [0.0, 0.0, dz, 0.0], [0.0, 0.0, 0.0, 1.0]];
        Self { shape, affine }
    }

    /// Distance between neighbouring voxel centres along `(z, y, x)`, in millimetres: the norms of the affine's columns.
    pub fn spacing_mm(&self) -> [f64; 3] {
        [2, 1, 0]
            .map(|column| (0..3).map(|row| self.affine[row][column].powi(2)).sum::<f64>().sqrt())
    }

    /// Volume of one voxel in cubic millimetres: |det| of the affine's 3×3 part.
    pub fn voxel_mm3(&self) -> f64 {
        let a = &self.affine;
        let minor = |r: usize, s: usize, i: usize, j: usize| a[r][i] * a[s][j] - a[r][j] * a[s][i];
        (a[0][0] * minor(1, 2, 1, 2) - a[0][1] * minor(1, 2, 0, 2) + a[0][2] * minor(1, 2, 0, 1))
            .abs()
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if the grid has no voxel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One image on its grid: contiguous `f32`, axes `(z, y, x)`, x fastest; a 2D image has z = 1.
///
/// ```
/// use disyre_core::{Grid, Volume, ndarray::Array3};
/// let grid = Grid::from_spacing([1, 64, 48], [5.0, 1.0, 1.0]);
/// let volume = Volume::new(Array3::ones((1, 64, 48)), grid)?;
/// assert_eq!(volume.data.dim(), (1, 64, 48));
/// assert!(Volume::new(Array3::ones((1, 48, 64)), grid).is_err()); // x and y swapped
/// # Ok::<(), disyre_core::ShapeError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Intensities; the shape equals `grid.shape`.
    pub data: Array3<f32>,
    /// Shape and affine.
    pub grid: Grid,
}

impl Volume {
    /// Puts `data` on a grid.
    ///
    /// # Errors
    /// [`ShapeError`] if the array's shape is not the grid's.
    pub fn new(data: Array3<f32>, grid: Grid) -> Result<Self, ShapeError> {
        if data.shape() != grid.shape {
            return Err(ShapeError::new("volume data", &grid.shape, data.shape()));
        }
        let contiguous = data.is_standard_layout();
        Ok(Self {
            data: if contiguous { data } else { data.as_standard_layout().into_owned() },
            grid,
        })
    }

    /// A volume of zeros.
    pub fn zeros(grid: Grid) -> Self {
        Self { data: Array3::zeros(grid.shape), grid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_is_the_norm_of_the_affine_columns() {
        // x steps 2 mm along -y, y steps 3 mm along z, z steps 4 mm along x.
        let affine = [[0., 0., 4., 9.], [-2., 0., 0., 9.], [0., 3., 0., 9.], [0., 0., 0., 1.]];
        let grid = Grid { shape: [5, 6, 7], affine };
        assert_eq!(grid.spacing_mm(), [4.0, 3.0, 2.0]);
        assert_eq!(grid.voxel_mm3(), 24.0);
        assert_eq!(grid.len(), 210);
    }

    #[test]
    fn a_volume_of_another_shape_is_an_error() {
        let grid = Grid::from_spacing([2, 3, 4], [1.0; 3]);
        let error = Volume::new(Array3::zeros((2, 3, 5)), grid).unwrap_err();
        assert_eq!(error.to_string(), "volume data has shape [2, 3, 5], expected [2, 3, 4]");
    }

    #[test]
    fn a_transposed_array_is_made_contiguous() {
        let data = Array3::from_shape_fn((4, 3, 2), |(i, j, k)| (i * 6 + j * 2 + k) as f32);
        let grid = Grid::from_spacing([2, 3, 4], [1.0; 3]);
        let volume = Volume::new(data.reversed_axes(), grid).unwrap();
        assert!(volume.data.is_standard_layout());
        assert_eq!(volume.data[[1, 2, 3]], 23.0);
    }
}
