//! The trait between tissue classes and anomalies.

use ndarray::{
    Array2, ArrayView2, ArrayView4, ArrayViewMut2, ArrayViewMut3, ArrayViewMut4, CowArray, Ix2,
};

use crate::{ShapeError, ensure_same_shape};

/// Membership of voxels in each of K tissue classes.
///
/// `disyre-tissue` implements it by clustering and by a label map; `disyre-dag` calls it for anomalies that affect some
/// tissues only.
///
/// ```
/// use disyre_core::ndarray::{ArrayView2, ArrayViewMut2, array};
/// use disyre_core::{ShapeError, TissueModel};
/// /// Dark and bright, by linear interpolation.
/// struct TwoTissues;
/// impl TissueModel for TwoTissues {
///     fn classes(&self) -> usize {
///         2
///     }
///     fn soft(&self, x: ArrayView2<f32>, mut memberships: ArrayViewMut2<f32>) -> Result<(), ShapeError> {
///         memberships.column_mut(0).assign(&x.column(0).mapv(|value| 1.0 - value));
///         memberships.column_mut(1).assign(&x.column(0));
///         Ok(())
///     }
/// }
/// let mut labels = [9; 3];
/// TwoTissues.hard(array![[0.1], [0.9], [0.5]].view(), &mut labels)?; // (n, channels)
/// assert_eq!(labels, [0, 1, 0]);
/// # Ok::<(), ShapeError>(())
/// ```
pub trait TissueModel: Send + Sync {
    /// Number of classes K.
    fn classes(&self) -> usize;

    /// Memberships of N voxels: non-negative, adding up to 1 for each voxel.
    ///
    /// # Shapes and units
    /// `intensities` is `(n, channels)` in `[0, 1]`; `memberships` is `(n, k)`.
    ///
    /// # Errors
    /// [`ShapeError`] if the arrays do not fit each other or the model's channels.
    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError>;

    /// The class of each voxel: the one with the greatest membership, the lowest index among equals.
    ///
    /// # Shapes and units
    /// `intensities` is `(n, channels)` in `[0, 1]`; `labels` has n entries.
    ///
    /// # Errors
    /// [`ShapeError`] if the arrays do not fit each other or the model's channels.
    fn hard(&self, intensities: ArrayView2<'_, f32>, labels: &mut [u8]) -> Result<(), ShapeError> {
        ensure_same_shape("tissue labels", &[intensities.nrows()], &[labels.len()])?;
        let mut memberships = Array2::zeros((intensities.nrows(), self.classes()));
        self.soft(intensities, memberships.view_mut())?;
        for (label, row) in labels.iter_mut().zip(memberships.rows()) {
            let best = (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
            *label = best.unwrap_or_default() as u8;
        }
        Ok(())
    }

    /// Memberships of the voxels of a part of an image.
    ///
    /// By default they depend on intensities alone, as [`soft`](Self::soft) says. A segmentation looks them up by position.
    ///
    /// # Shapes and units
    /// `part` is `(c, z, y, x)`, intensities in `[0, 1]`; `origin` is its first voxel in the image, `(z, y, x)`;
    /// `memberships` is `(k, z, y, x)`.
    ///
    /// # Errors
    /// [`ShapeError`] if the arrays do not fit each other, the model's channels or its image.
    fn soft_at(
        &self,
        origin: [usize; 3],
        part: ArrayView4<'_, f32>,
        mut memberships: ArrayViewMut4<'_, f32>,
    ) -> Result<(), ShapeError> {
        let _ = origin;
        let (_, z, y, x) = part.dim();
        let expected = [self.classes(), z, y, x];
        ensure_same_shape("tissue memberships", &expected, memberships.shape())?;
        let mut rows = Array2::zeros((z * y * x, self.classes()));
        self.soft(voxels(&part)?.view(), rows.view_mut())?;
        for (mut class, column) in memberships.outer_iter_mut().zip(rows.columns()) {
            class.iter_mut().zip(column).for_each(|(to, &from)| *to = from);
        }
        Ok(())
    }

    /// The class of each voxel of a part of an image: [`hard`](Self::hard) for [`soft_at`](Self::soft_at).
    ///
    /// # Shapes and units
    /// As [`soft_at`](Self::soft_at); `labels` is `(z, y, x)`.
    ///
    /// # Errors
    /// As [`soft_at`](Self::soft_at).
    fn hard_at(
        &self,
        origin: [usize; 3],
        part: ArrayView4<'_, f32>,
        mut labels: ArrayViewMut3<'_, u8>,
    ) -> Result<(), ShapeError> {
        let _ = origin;
        ensure_same_shape("tissue labels", &part.shape()[1..], labels.shape())?;
        let voxels = voxels(&part)?;
        if let Some(labels) = labels.as_slice_mut() {
            return self.hard(voxels.view(), labels);
        }
        let mut row = vec![0; labels.len()];
        self.hard(voxels.view(), &mut row)?;
        labels.iter_mut().zip(row).for_each(|(to, from)| *to = from);
        Ok(())
    }
}

/// The voxels of an image in memory order, `(c, z, y, x)` → `(n, c)`; a copy only for other layouts.
fn voxels<'a>(image: &'a ArrayView4<'_, f32>) -> Result<CowArray<'a, f32, Ix2>, ShapeError> {
    let (channels, z, y, x) = image.dim();
    let flat = image.to_shape((channels, z * y * x));
    let wrong = |_| ShapeError::new("an image", &[channels, z, y, x], image.shape());
    Ok(flat.map_err(wrong)?.reversed_axes())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Copies;

    impl TissueModel for Copies {
        fn classes(&self) -> usize {
            3
        }

        fn soft(
            &self,
            intensities: ArrayView2<'_, f32>,
            mut memberships: ArrayViewMut2<'_, f32>,
        ) -> Result<(), ShapeError> {
            memberships.assign(&intensities);
            Ok(())
        }
    }

    #[test]
    fn the_hard_label_is_the_first_of_the_greatest_memberships() {
        let rows = ndarray::array![[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.0, 0.0, 1.0]];
        let mut labels = [9; 3];
        Copies.hard(rows.view(), &mut labels).unwrap();
        assert_eq!(labels, [1, 0, 2]);
        assert!(Copies.hard(rows.view(), &mut [0; 2]).is_err());
    }

    #[test]
    fn the_voxels_of_a_part_are_classified_by_their_intensities() {
        // Three channels of 1 × 1 × 2 voxels: the first voxel is (0.2, 0.5, 0.3), the second (0.4, 0.2, 0.4).
        let part = ndarray::array![[[[0.2, 0.4]]], [[[0.5, 0.2]]], [[[0.3, 0.4]]]];
        let mut memberships = ndarray::Array4::zeros(part.dim());
        Copies.soft_at([7, 0, 0], part.view(), memberships.view_mut()).unwrap();
        assert_eq!(memberships, part);
        let mut labels = ndarray::Array3::from_elem((1, 1, 2), 9);
        Copies.hard_at([7, 0, 0], part.view(), labels.view_mut()).unwrap();
        assert_eq!(labels, ndarray::array![[[1, 0]]]);
        let mut short = ndarray::Array3::zeros((1, 1, 1));
        assert!(Copies.hard_at([0; 3], part.view(), short.view_mut()).is_err());
        let few = ndarray::Array4::zeros((2, 1, 1, 2));
        assert!(Copies.soft_at([0; 3], part.view(), few.clone().view_mut()).is_err());
    }
}
