//! The bias field: a lattice of control points over the box of an image.
use disyre_core::ndarray::{Array3, ArrayView3, ArrayViewMut2, Axis};
use disyre_core::{ShapeError, ensure_same_shape};
use rayon::prelude::*;

use crate::basis::Taps;
use crate::error::N4Error;
use crate::fit::{line, plane};

/// The multiplicative field of an image: e to the power of a cubic B-spline over the image's box.
///
/// It is small (a few thousand numbers) and is evaluated where it is needed, one axis after another.
///
/// # Shapes and units
/// The lattice runs from the centre of the first voxel to that of the last, along `(z, y, x)`. The field has no unit; it
/// is above 0.
///
/// # Source
/// SimpleITK's `GetLogBiasFieldAsImage`, placement included: the estimate spans the lattice between the first and the last
/// *sampled* voxel, here it is stretched to those of the image, by less than `shrink` voxels at either end.
///
/// ```
/// use disyre_core::ndarray::Array3;
/// use disyre_n4::N4Config;
///
/// let image = Array3::from_shape_fn((8, 16, 16), |(z, y, x)| 1.0 + ((x + y + z) % 3) as f32);
/// let config = N4Config { shrink: 1, ..N4Config::default() };
/// let correction = config.build()?.correct(image.view(), Array3::ones((8, 16, 16)).view())?;
///
/// let field = correction.field.evaluate();
/// assert_eq!(correction.corrected, &image / &field);
/// assert_eq!(correction.field.evaluate_in([4, 2, 9], [5, 3, 10])[[0, 0, 0]], field[[4, 2, 9]]);
/// assert!((correction.field.log_at([4.0, 2.0, 9.0]) - f64::from(field[[4, 2, 9]]).ln()).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BiasField {
    /// Log field at the control points; n spans of the box have n + 3 along each axis, the second at its start.
    control_points: Array3<f64>,
    /// Shape of the image, `(z, y, x)`.
    shape: [usize; 3],
    /// Axes along which the field can't vary, for want of samples.
    constant: [bool; 3],
}

impl BiasField {
    pub(crate) fn new(control_points: Array3<f64>, shape: [usize; 3], constant: [bool; 3]) -> Self {
        Self { control_points, shape, constant }
    }

    /// Control points of the log field, `(z, y, x)`.
    pub fn control_points(&self) -> ArrayView3<'_, f64> {
        self.control_points.view()
    }

    /// Shape of the image, `(z, y, x)`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Log of the field at voxel coordinates `(z, y, x)`; outside the box, at the nearest point of it.
    pub fn log_at(&self, voxel: [f64; 3]) -> f64 {
        let [z, y, x] = [0, 1, 2].map(|axis| self.taps(axis, voxel[axis]));
        x.dot(&line(&plane(&self.control_points, &z), &y))
    }

    /// The field on every voxel of the image, above 0.
    pub fn evaluate(&self) -> Array3<f32> {
        self.evaluate_by(|log, _| log.exp())
    }

    /// The field on the voxels of a box, above 0: those of [`evaluate`](Self::evaluate), without the rest.
    ///
    /// # Shapes and units
    /// `start` and `end` are voxels `(z, y, x)` of the image, `end` exclusive; the result has `end - start` voxels.
    pub fn evaluate_in(&self, start: [usize; 3], end: [usize; 3]) -> Array3<f32> {
        self.evaluate_box_by(start, end, |log, _| log.exp())
    }

    /// The natural logarithm of the field on every voxel of the image.
    pub fn evaluate_log(&self) -> Array3<f32> {
        self.evaluate_by(|log, _| log)
    }

    /// `image` divided by the field, on every voxel: also of another contrast of the same grid.
    ///
    /// # Errors
    /// [`N4Error::Shape`] if the image has another shape than the one that the field was estimated on.
    pub fn correct(&self, image: ArrayView3<'_, f32>) -> Result<Array3<f32>, N4Error> {
        ensure_same_shape("image", &self.shape, image.shape())?;
        let image = image.as_standard_layout();
        let values = image.as_slice().ok_or(ShapeError::Empty { array: "image" })?;
        Ok(self.evaluate_by(|log, index| values[index] / log.exp()))
    }

    /// The array of `value(log of the field, index of the voxel)`, slice by slice in parallel.
    fn evaluate_by(&self, value: impl Fn(f32, usize) -> f32 + Sync) -> Array3<f32> {
        self.evaluate_box_by([0; 3], self.shape, value)
    }

    /// [`evaluate_by`](Self::evaluate_by) in a box, whose voxels are counted by themselves.
    fn evaluate_box_by(
        &self,
        start: [usize; 3],
        end: [usize; 3],
        value: impl Fn(f32, usize) -> f32 + Sync,
    ) -> Array3<f32> {
        let shape = [0, 1, 2].map(|axis| end[axis].saturating_sub(start[axis]));
        let [_, ny, nx] = shape;
        let mut out = Array3::zeros(shape);
        let taps = |axis: usize| -> Vec<Taps> {
            (start[axis]..end[axis]).map(|index| self.taps(axis, index as f64)).collect()
        };
        let (y, x) = (taps(1), taps(2));
        let fill_slice = |(z, mut slice): (usize, ArrayViewMut2<'_, f32>)| {
            let plane = plane(&self.control_points, &self.taps(0, (start[0] + z) as f64));
            for ((index, y), mut row) in y.iter().enumerate().zip(slice.rows_mut()) {
                let line = line(&plane, y);
                let first = (z * ny + index) * nx;
                for ((index, x), out) in x.iter().enumerate().zip(&mut row) {
                    *out = value(x.dot(&line) as f32, first + index);
                }
            }
        };
        let slices: Vec<_> = out.axis_iter_mut(Axis(0)).enumerate().collect();
        slices.into_par_iter().for_each(fill_slice);
        out
    }

    /// B-spline weights at a voxel coordinate along an axis.
    fn taps(&self, axis: usize, voxel: f64) -> Taps {
        let position = match self.constant[axis] {
            true => 0.0,
            false => (voxel / (self.shape[axis] - 1) as f64).clamp(0.0, 1.0),
        };
        Taps::at(position, self.control_points.len_of(Axis(axis)))
    }
}
