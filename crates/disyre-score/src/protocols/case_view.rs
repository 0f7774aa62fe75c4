//! Arrays of a case, as protocols count them.

use disyre_core::ndarray::{Array3, ArrayView3, Axis, Zip};
use disyre_core::{ShapeError, ensure_finite, ensure_same_shape};

use crate::{Reduction, ScoreError};

/// The map of a scan, its label and, where there is one, its brain mask.
///
/// # Shapes and units
/// All are `(z, y, x)` of one shape; slices are axial, along z. Any finite score, greater = more abnormal. Non-zero =
/// lesion, and non-zero = brain.
#[derive(Debug, Clone, Copy)]
pub struct CaseView<'a> {
    scores: ArrayView3<'a, f32>,
    labels: ArrayView3<'a, u8>,
    brain: Option<ArrayView3<'a, u8>>,
    /// Score outside the brain in protocols that count it.
    outside: f32,
}

impl<'a> CaseView<'a> {
    /// Joins the arrays of a case.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the shapes differ, there is no voxel, or a score is not finite.
    pub fn new(
        scores: ArrayView3<'a, f32>,
        labels: ArrayView3<'a, u8>,
        brain: Option<ArrayView3<'a, u8>>,
    ) -> Result<Self, ScoreError> {
        ensure_same_shape("labels", scores.shape(), labels.shape())?;
        if let Some(brain) = brain {
            ensure_same_shape("brain", scores.shape(), brain.shape())?;
        }
        if scores.is_empty() {
            return Err(ShapeError::Empty { array: "scores" }.into());
        }
        ensure_finite("scores", &scores)?;
        let own = Self { scores, labels, brain, outside: 0.0 };
        // Maps of distances are 0 there. One with negative scores must not be greatest where nobody looks.
        let outside = own.brain_scores().fold(0.0, f32::min);
        Ok(Self { outside, ..own })
    }

    /// The same case with another map of the same shape.
    pub(super) fn with_scores<'b>(&self, scores: ArrayView3<'b, f32>) -> CaseView<'b>
    where
        'a: 'b,
    {
        CaseView { scores, ..*self }
    }

    /// Whether any voxel is lesion.
    pub fn has_lesion(&self) -> bool {
        self.labels.iter().any(|&label| label != 0)
    }

    /// Scores in the brain, or of all voxels without a mask.
    fn brain_scores(&self) -> impl Iterator<Item = f32> {
        let brain = self.brain.into_iter().flatten().map(|&inside| inside != 0);
        let inside = brain.chain(std::iter::repeat(self.brain.is_none()));
        self.scores.into_iter().zip(inside).filter(|(_, inside)| *inside).map(|(&score, _)| score)
    }

    /// Scores and labels of the voxels in the brain, or of all without a mask, in the order of the array.
    pub fn brain_voxels(&self) -> (Vec<f32>, Vec<u8>) {
        let voxels = self.scores.iter().copied().zip(self.labels.iter().copied());
        match self.brain {
            None => voxels.unzip(),
            Some(brain) => {
                let inside = voxels.zip(brain).filter(|(_, inside)| **inside != 0);
                inside.map(|(voxel, _)| voxel).unzip()
            }
        }
    }

    /// The map with 0 outside the brain, or with the least score of the brain where that is below 0.
    pub(super) fn masked_scores(&self) -> Array3<f32> {
        let mut scores = self.scores.to_owned();
        if let Some(brain) = self.brain {
            Zip::from(&mut scores).and(brain).for_each(|score, &inside| {
                if inside == 0 {
                    *score = self.outside;
                }
            });
        }
        scores
    }

    /// All labels, in the order of the array.
    pub(super) fn all_labels(&self) -> impl Iterator<Item = u8> {
        self.labels.into_iter().copied()
    }

    /// The slices that hold brain, from the first up; all without a mask.
    pub(super) fn slices(&self) -> impl Iterator<Item = Self> {
        let slice = |z| {
            let cut = |z: usize| disyre_core::ndarray::Slice::from(z..=z);
            Self {
                scores: self.scores.slice_axis_move(Axis(0), cut(z)),
                labels: self.labels.slice_axis_move(Axis(0), cut(z)),
                brain: self.brain.map(|brain| brain.slice_axis_move(Axis(0), cut(z))),
                outside: self.outside,
            }
        };
        let holds_brain = |slice: &Self| slice.brain.is_none_or(|b| b.iter().any(|&v| v != 0));
        (0..self.scores.dim().0).map(slice).filter(holds_brain)
    }

    /// One number for the voxels in the brain, or for all without a mask.
    pub(super) fn reduce_brain(&self, reduction: Reduction) -> Option<f32> {
        reduction.reduce(self.brain_voxels().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    #[test]
    fn outside_the_brain_a_map_is_0_or_the_least_score_of_the_brain() {
        let (labels, brain) = (array![[[0, 1, 0]], [[0, 0, 0]]], array![[[0, 1, 1]], [[0, 1, 0]]]);
        let masked = |scores: &Array3<f32>| -> Vec<Array3<f32>> {
            let case = CaseView::new(scores.view(), labels.view(), Some(brain.view())).unwrap();
            case.slices().map(|slice| slice.masked_scores()).collect()
        };
        let distances = array![[[9.0, 0.5, 0.2]], [[9.0, 0.1, 9.0]]];
        assert_eq!(masked(&distances), [array![[[0.0, 0.5, 0.2]]], array![[[0.0, 0.1, 0.0]]]]);
        let darkness = array![[[9.0, -0.5, -0.2]], [[9.0, -0.1, -9.0]]];
        assert_eq!(masked(&darkness), [array![[[-0.5, -0.5, -0.2]]], array![[[-0.5, -0.1, -0.5]]]]);
    }
}
