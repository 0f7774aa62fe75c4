//! [`PlacedMask`]: a soft mask at its place in an image.

use disyre_core::ndarray::{Array3, ArrayView4, Axis, Zip};

use crate::{check, error::DagError, region::Region};

/// A soft mask over a window of an image: where an anomaly lies, and how strongly.
///
/// # Shapes and units
/// `origin` is the window's first voxel in the image, `(z, y, x)`; `values` are in `[0, 1]`.
///
/// ```
/// use disyre_dag::{PlacedMask, ndarray::{Array3, Array4}};
///
/// let mut clean = Array4::from_elem((1, 1, 8, 8), 0.5);
/// clean[[0, 0, 2, 2]] = 0.0; // background
/// let mask = PlacedMask::on_foreground([0, 2, 2], Array3::ones((1, 4, 4)), clean.view())?;
/// assert_eq!(mask.voxels_above(0.0), 15);
/// assert_eq!(mask.to_image([1, 8, 8])?.sum(), 15.0);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedMask {
    /// First voxel of the window inside the image.
    pub origin: [usize; 3],
    /// The mask inside the window; it is 0 outside.
    pub values: Array3<f32>,
}

impl PlacedMask {
    /// Places a mask and clears it where the image is background: all channels exactly 0.
    ///
    /// # Shapes and units
    /// `clean` is `(c, z, y, x)`.
    ///
    /// # Errors
    /// [`DagError::MaskOutside`] if the window reaches out of the image; [`DagError::OutOfRange`] for mask values
    /// outside `[0, 1]`.
    ///
    /// # Source
    /// DISYRE v2 (arXiv 2407.06635), anomaly shape: no anomaly in the background.
    pub fn on_foreground(
        origin: [usize; 3],
        values: Array3<f32>,
        clean: ArrayView4<'_, f32>,
    ) -> Result<Self, DagError> {
        let mut mask = Self { origin, values };
        mask.check(&clean)?;
        let inside = mask.region().of(clean);
        match inside.len_of(Axis(0)) {
            1 => Zip::from(&mut mask.values)
                .and(inside.index_axis(Axis(0), 0))
                .for_each(|m, &value| *m = if value == 0.0 { 0.0 } else { *m }),
            _ => Zip::from(&mut mask.values).and(inside.lanes(Axis(0))).for_each(|m, voxel| {
                *m = if voxel.iter().all(|&value| value == 0.0) { 0.0 } else { *m };
            }),
        }
        Ok(mask)
    }

    /// Number of voxels above a level: the area of the mask.
    pub fn voxels_above(&self, level: f32) -> usize {
        self.values.iter().filter(|&&value| value > level).count()
    }

    /// The mask on the grid of a whole image, 0 outside the window.
    ///
    /// # Errors
    /// [`DagError::MaskOutside`] if the window reaches out of an image of this shape.
    pub fn to_image(&self, shape: [usize; 3]) -> Result<Array3<f32>, DagError> {
        self.check_fits(shape)?;
        let mut image = Array3::zeros(shape);
        self.region().of(image.view_mut()).assign(&self.values);
        Ok(image)
    }

    /// The window in the image.
    pub(crate) fn region(&self) -> Region {
        Region::at(self.origin, self.values.dim().into())
    }

    /// That the window lies in the image and the values are a mask.
    pub(crate) fn check(&self, image: &ArrayView4<'_, f32>) -> Result<(), DagError> {
        let (_, z, y, x) = image.dim();
        self.check_fits([z, y, x])?;
        check::unit_interval("mask", &self.values.view())
    }

    fn check_fits(&self, image: [usize; 3]) -> Result<(), DagError> {
        let extents: [usize; 3] = self.values.dim().into();
        let fits = |axis: usize| {
            image[axis].checked_sub(self.origin[axis]).is_some_and(|room| extents[axis] <= room)
        };
        if (0..3).all(fits) {
            return Ok(());
        }
        Err(DagError::MaskOutside { origin: self.origin, mask: extents, image })
    }
}
