//! Tissue classes of one image from its segmentation.
use std::collections::BTreeSet;

use disyre_core::ndarray::{
    Array3, ArrayView2, ArrayView3, ArrayView4, ArrayViewMut2, ArrayViewMut3, ArrayViewMut4, Axis,
    Slice,
};
use disyre_core::{ShapeError, TissueModel, ensure_same_shape, unravel};

use crate::codebook::ensure_labelled;
use crate::error::TissueError;

/// An anatomical segmentation of one image as a tissue model: the position of a voxel decides its class.
///
/// [`soft_at`](TissueModel::soft_at) and [`hard_at`](TissueModel::hard_at) take any part of the image.
/// [`soft`](TissueModel::soft) and [`hard`](TissueModel::hard) know no position: they take all voxels of the image in
/// memory order. Intensities and channels are ignored.
///
/// # Source
/// Ours: the published code knows intensities only.
///
/// ```
/// use disyre_core::{TissueModel, ndarray::{Array3, Array4, array}};
/// use disyre_tissue::{LabelMap, label_codes};
///
/// let segmentation = array![[[0, 2, 41], [0, 2, 3]]]; // FreeSurfer's codes, (z, y, x)
/// let codes = label_codes([segmentation.view()])?;
/// assert_eq!(codes, [0, 2, 3, 41]);
/// let tissues = LabelMap::new(segmentation.view(), &codes)?;
/// let mut labels = Array3::zeros((1, 1, 2));
/// tissues.hard_at([0, 1, 1], Array4::zeros((1, 1, 1, 2)).view(), labels.view_mut())?;
/// assert_eq!(labels, array![[[1, 2]]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    codes: Vec<i32>,
    /// Index into `codes`, (z, y, x).
    classes: Array3<u8>,
}

/// All codes that occur in some segmentations, ascending: their common classes.
///
/// # Shapes and units
/// Each segmentation is `(z, y, x)`; their shapes may differ.
///
/// # Errors
/// [`TissueError::Classes`] unless there are 1 to 256 codes.
pub fn label_codes<'a>(
    segmentations: impl IntoIterator<Item = ArrayView3<'a, i32>>,
) -> Result<Vec<i32>, TissueError> {
    let mut codes = BTreeSet::new();
    for segmentation in segmentations {
        codes.extend(segmentation.iter().copied());
    }
    ensure_labelled(codes.len())?;
    Ok(codes.into_iter().collect())
}

impl LabelMap {
    /// Takes a segmentation; class k is code `codes[k]`. Models of several images with the same codes share classes.
    ///
    /// # Shapes and units
    /// `segmentation` is `(z, y, x)`, the shape of the image.
    ///
    /// # Errors
    /// [`TissueError::Classes`] unless there are 1 to 256 codes; [`TissueError::UnknownCode`] for a voxel with another.
    pub fn new(segmentation: ArrayView3<'_, i32>, codes: &[i32]) -> Result<Self, TissueError> {
        ensure_labelled(codes.len())?;
        let mut classes = Array3::zeros(segmentation.dim());
        for (index, (class, code)) in classes.iter_mut().zip(&segmentation).enumerate() {
            let known = codes.iter().position(|known| known == code);
            *class = known.ok_or_else(|| TissueError::UnknownCode {
                code: *code,
                voxel: unravel(index, segmentation.shape()),
                classes: codes.len(),
            })? as u8;
        }
        Ok(Self { codes: codes.to_vec(), classes })
    }

    /// Code of each class.
    pub fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// Class of each voxel, `(z, y, x)`: an index into [`codes`](Self::codes).
    pub fn voxels(&self) -> ArrayView3<'_, u8> {
        self.classes.view()
    }

    /// The same classes on another image: one that was cropped, mirrored or deformed from this one.
    ///
    /// # Shapes and units
    /// `voxels` is `(z, y, x)`, each an index into [`codes`](Self::codes).
    ///
    /// # Errors
    /// [`TissueError::UnknownCode`] for a voxel of another class, with its number as the code.
    pub fn with_voxels(&self, voxels: Array3<u8>) -> Result<Self, TissueError> {
        let unknown = voxels.iter().position(|&class| usize::from(class) >= self.codes.len());
        match unknown {
            None => Ok(Self { codes: self.codes.clone(), classes: voxels }),
            Some(index) => Err(TissueError::UnknownCode {
                code: voxels.iter().nth(index).copied().unwrap_or_default().into(),
                voxel: unravel(index, voxels.shape()),
                classes: self.codes.len(),
            }),
        }
    }

    /// Classes of the part of the image with these extents.
    fn part(
        &self,
        origin: [usize; 3],
        extents: &[usize],
    ) -> Result<ArrayView3<'_, u8>, ShapeError> {
        let reach: Vec<usize> =
            (0..3).map(|axis| origin[axis].saturating_add(extents[axis])).collect();
        if reach.iter().zip(self.classes.shape()).any(|(reach, extent)| reach > extent) {
            return Err(ShapeError::new(
                "the segmented image (at least)",
                &reach,
                self.classes.shape(),
            ));
        }
        Ok(self.classes.slice_each_axis(|axis| {
            let axis = axis.axis.index();
            Slice::from(origin[axis]..reach[axis])
        }))
    }
}

impl TissueModel for LabelMap {
    fn classes(&self) -> usize {
        self.codes.len()
    }

    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        mut memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError> {
        let expected = [self.classes.len(), intensities.ncols()];
        ensure_same_shape("tissue intensities", &expected, intensities.shape())?;
        let expected = [self.classes.len(), self.classes()];
        ensure_same_shape("tissue memberships", &expected, memberships.shape())?;
        memberships.fill(0.0);
        for (mut row, &class) in memberships.rows_mut().into_iter().zip(&self.classes) {
            row[usize::from(class)] = 1.0;
        }
        Ok(())
    }

    fn soft_at(
        &self,
        origin: [usize; 3],
        part: ArrayView4<'_, f32>,
        mut memberships: ArrayViewMut4<'_, f32>,
    ) -> Result<(), ShapeError> {
        let classes = self.part(origin, &part.shape()[1..])?;
        let (z, y, x) = classes.dim();
        let expected = [self.classes(), z, y, x];
        ensure_same_shape("tissue memberships", &expected, memberships.shape())?;
        memberships.fill(0.0);
        for (mut voxel, &class) in memberships.lanes_mut(Axis(0)).into_iter().zip(&classes) {
            voxel[usize::from(class)] = 1.0;
        }
        Ok(())
    }

    fn hard_at(
        &self,
        origin: [usize; 3],
        part: ArrayView4<'_, f32>,
        mut labels: ArrayViewMut3<'_, u8>,
    ) -> Result<(), ShapeError> {
        ensure_same_shape("tissue labels", &part.shape()[1..], labels.shape())?;
        labels.assign(&self.part(origin, &part.shape()[1..])?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array2, Array4, array};

    /// Codes 5 and 9 in 2 × 2 × 3 voxels.
    fn segmentation() -> Array3<i32> {
        array![[[5, 5, 9], [9, 5, 5]], [[9, 9, 9], [5, 9, 5]]]
    }

    fn model() -> LabelMap {
        LabelMap::new(segmentation().view(), &[9, 5]).unwrap()
    }

    #[test]
    fn a_part_has_the_classes_of_its_position_and_the_whole_those_of_all() {
        let mut labels = Array3::from_elem((2, 1, 2), 7);
        model().hard_at([0, 1, 1], Array4::zeros((3, 2, 1, 2)).view(), labels.view_mut()).unwrap();
        assert_eq!(labels, array![[[1, 1]], [[0, 1]]]);
        let mut all = [7; 12];
        model().hard(Array2::zeros((12, 1)).view(), &mut all).unwrap();
        assert_eq!(all, [1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 1]);
    }

    #[test]
    fn memberships_are_one_for_the_class_and_zero_for_the_others() {
        let mut memberships = Array4::from_elem((2, 2, 1, 2), 7.0);
        model()
            .soft_at([0, 1, 1], Array4::zeros((1, 2, 1, 2)).view(), memberships.view_mut())
            .unwrap();
        let second = array![[[1.0, 1.0]], [[0.0, 1.0]]];
        assert_eq!(memberships.index_axis(Axis(0), 1), second);
        assert_eq!(memberships.index_axis(Axis(0), 0), 1.0 - second);
    }

    #[test]
    fn a_part_beyond_the_image_and_a_code_that_is_unknown_are_refused() {
        let at = |origin| {
            let mut labels = Array3::zeros((1, 2, 2));
            model().hard_at(origin, Array4::zeros((1, 1, 2, 2)).view(), labels.view_mut())
        };
        at([1, 0, 1]).unwrap();
        let error = at([2, 0, 1]).unwrap_err();
        let expected = "the segmented image (at least) has shape [2, 2, 3], expected [3, 2, 3]";
        assert_eq!(error.to_string(), expected);
        assert!(at([usize::MAX, 0, 0]).is_err());
        assert!(model().hard(Array2::zeros((11, 1)).view(), &mut [0; 11]).is_err());
        let error = LabelMap::new(segmentation().view(), &[5]).unwrap_err();
        assert!(
            matches!(error, TissueError::UnknownCode { code: 9, ref voxel, classes: 1 } if *voxel == [0, 0, 2])
        );
        assert!(matches!(
            LabelMap::new(segmentation().view(), &[]),
            Err(TissueError::Classes { got: 0 })
        ));
    }

    #[test]
    fn a_part_of_an_image_takes_its_classes_along() {
        let whole = model();
        let part = whole.with_voxels(array![[[1, 0, 1]]]).unwrap();
        assert_eq!((part.codes(), part.voxels()), (&[9, 5][..], array![[[1, 0, 1]]].view()));
        let error = whole.with_voxels(array![[[1, 0, 2]]]).unwrap_err();
        assert!(matches!(error, TissueError::UnknownCode { code: 2, classes: 2, .. }), "{error}");
    }

    #[test]
    fn segmentations_share_the_codes_of_all() {
        let more = array![[[300, -1]]];
        assert_eq!(label_codes([segmentation().view(), more.view()]).unwrap(), [-1, 5, 9, 300]);
        let many = Array3::from_shape_fn((1, 1, 257), |(_, _, x)| x as i32);
        assert!(matches!(label_codes([many.view()]), Err(TissueError::Classes { got: 257 })));
        assert!(matches!(label_codes([]), Err(TissueError::Classes { got: 0 })));
    }
}
