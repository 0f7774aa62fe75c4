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
        Ok(Self { scores, labels, brain })
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

    /// The map with 0 outside the brain.
    pub(super) fn masked_scores(&self) -> Array3<f32> {
        let mut scores = self.scores.to_owned();
        if let Some(brain) = self.brain {
            Zip::from(&mut scores).and(brain).for_each(|score, &inside| {
                if inside == 0 {
                    *score = 0.0;
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
