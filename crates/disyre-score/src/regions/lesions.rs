//! The lesions of a case on its grid, which every measure of regions takes.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Component, Components, ShapeError, ensure_finite, ensure_same_shape};

use super::components;
use crate::ScoreError;
use crate::confusion::ensure_threshold;

/// The lesions of a case: 26-connected components of its label, with the brain and the spacing of the grid.
///
/// Voxels outside the brain are left out of lesions and predictions alike.
///
/// ```
/// use disyre_score::{ndarray::array, regions::Lesions};
/// let label = array![[[1, 1, 0, 1]]]; // (z, y, x)
/// let brain = array![[[1, 1, 1, 0]]];
/// let lesions = Lesions::new(label.view(), Some(brain.view()), [3.0, 1.0, 1.0])?;
/// assert_eq!(lesions.volumes_mm3(), [6.0]);
/// let score = array![[[0.1, 0.8, 0.5, 0.9]]];
/// assert_eq!(lesions.predicted(score.view(), 0.5)?, array![[[0, 1, 1, 0]]]);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lesions<'a> {
    found: Components,
    brain: Option<ArrayView3<'a, u8>>,
    spacing_mm: [f64; 3],
}

impl<'a> Lesions<'a> {
    /// Finds the lesions of a label.
    ///
    /// # Shapes and units
    /// `label` and `brain` are `(z, y, x)`, non-zero = inside; `spacing_mm` is along `(z, y, x)`. Without a brain all
    /// voxels count.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the shapes differ or the label has no voxel, [`ScoreError::Spacing`] if a spacing is
    /// not above 0 and finite.
    pub fn new(
        label: ArrayView3<'_, u8>,
        brain: Option<ArrayView3<'a, u8>>,
        spacing_mm: [f64; 3],
    ) -> Result<Self, ScoreError> {
        if label.is_empty() {
            return Err(ShapeError::Empty { array: "label" }.into());
        }
        if !spacing_mm.iter().all(|&step| step > 0.0 && step.is_finite()) {
            return Err(ScoreError::Spacing { spacing_mm });
        }
        let found = match &brain {
            Some(brain) => {
                ensure_same_shape("brain", label.shape(), brain.shape())?;
                components(both(label, brain.view()).view())
            }
            None => components(label),
        };
        Ok(Self { found, brain, spacing_mm })
    }

    /// The lesions in the order of their first voxels.
    pub fn components(&self) -> &Components {
        &self.found
    }

    /// Shape of the grid, `(z, y, x)`.
    pub fn shape(&self) -> [usize; 3] {
        self.found.shape()
    }

    /// Distance of neighbouring voxels along `(z, y, x)`, in mm.
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.spacing_mm
    }

    /// Volume of a voxel in mm³.
    pub fn voxel_mm3(&self) -> f64 {
        self.spacing_mm.iter().product()
    }

    /// Volume of each lesion in mm³.
    pub fn volumes_mm3(&self) -> Vec<f64> {
        self.found.iter().map(|lesion| lesion.voxels as f64 * self.voxel_mm3()).collect()
    }

    /// Voxels of all lesions together.
    pub fn voxels(&self) -> u64 {
        self.found.iter().map(|lesion: &Component| lesion.voxels).sum()
    }

    /// The prediction `score ≥ threshold` inside the brain.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the shape differs or a score is not finite, [`ScoreError::Threshold`] if the threshold is
    /// not a number (it may be infinite).
    pub fn predicted(
        &self,
        score: ArrayView3<'_, f32>,
        threshold: f32,
    ) -> Result<Array3<u8>, ScoreError> {
        self.check_score(score)?;
        ensure_threshold(threshold)?;
        let over = score.mapv(|score| u8::from(score >= threshold));
        Ok(self.inside(over.view()).unwrap_or(over))
    }

    /// The findings of a prediction inside the brain.
    pub(super) fn findings(
        &self,
        prediction: ArrayView3<'_, u8>,
    ) -> Result<Components, ScoreError> {
        ensure_same_shape("prediction", &self.shape(), prediction.shape())?;
        Ok(match self.inside(prediction) {
            Some(inside) => components(inside.view()),
            None => components(prediction),
        })
    }

    /// Checks a score map against the grid.
    pub(super) fn check_score(&self, score: ArrayView3<'_, f32>) -> Result<(), ScoreError> {
        ensure_same_shape("score", &self.shape(), score.shape())?;
        Ok(ensure_finite("score", &score)?)
    }

    /// The scores inside the brain as `(position in memory order, score)`.
    pub(super) fn scores<'s>(
        &'s self,
        score: ArrayView3<'s, f32>,
    ) -> impl Iterator<Item = (usize, f32)> + 's {
        let mut brain = self.brain.as_ref().map(|brain| brain.iter());
        score.into_iter().copied().enumerate().filter(move |_| {
            brain.as_mut().is_none_or(|brain| brain.next().is_some_and(|&inside| inside != 0))
        })
    }

    /// Number of voxels inside the brain.
    pub(super) fn brain_voxels(&self) -> usize {
        let inside =
            |brain: &ArrayView3<'_, u8>| brain.iter().filter(|&&inside| inside != 0).count();
        self.brain.as_ref().map_or_else(|| self.shape().iter().product(), inside)
    }

    /// The part of a mask of the same shape inside the brain, where there is one.
    fn inside(&self, mask: ArrayView3<'_, u8>) -> Option<Array3<u8>> {
        self.brain.as_ref().map(|brain| both(mask, brain.view()))
    }
}

/// Mask of the voxels in both masks.
fn both(a: ArrayView3<'_, u8>, b: ArrayView3<'_, u8>) -> Array3<u8> {
    Zip::from(a).and(b).map_collect(|&a, &b| u8::from(a != 0 && b != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    #[test]
    fn bad_input_is_an_error_that_names_it() {
        let message = |label: &Array3<u8>, brain: Option<&Array3<u8>>, spacing| {
            let brain = brain.map(|brain| brain.view());
            Lesions::new(label.view(), brain, spacing).unwrap_err().to_string()
        };
        let label = array![[[1, 0]]];
        assert_eq!(message(&Array3::zeros((0, 1, 2)), None, [1.0; 3]), "label is empty");
        let brain = array![[[1]]];
        assert!(message(&label, Some(&brain), [1.0; 3]).starts_with("brain has shape"));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(message(&label, None, [1.0, bad, 1.0]).starts_with("spacing [1.0, "));
        }
    }

    #[test]
    fn scores_that_are_not_finite_or_misfit_are_refused() {
        let lesions = Lesions::new(array![[[1, 0]]].view(), None, [1.0; 3]).unwrap();
        assert!(lesions.predicted(array![[[0.5, f32::NAN]]].view(), 0.5).is_err());
        assert!(lesions.predicted(array![[[0.5, 0.1]]].view(), f32::NAN).is_err());
        let all = lesions.predicted(array![[[0.5, 0.1]]].view(), f32::NEG_INFINITY).unwrap();
        assert_eq!(all, array![[[1, 1]]]);
        assert!(lesions.predicted(array![[[0.5]]].view(), 0.5).is_err());
        assert!(lesions.findings(array![[[1]]].view()).is_err());
    }

    #[test]
    fn masks_in_any_order_of_axes_have_the_same_lesions() {
        let label = array![[[1, 0, 1], [0, 0, 1]], [[0, 0, 0], [1, 1, 0]]];
        let turned = Array3::from_shape_fn((3, 2, 2), |(x, y, z)| label[[z, y, x]]);
        let view = turned.view().permuted_axes([2, 1, 0]);
        let found = Lesions::new(view, None, [1.0; 3]).unwrap();
        let expected = Lesions::new(label.view(), None, [1.0; 3]).unwrap();
        assert_eq!(found.components().labels(), expected.components().labels());
        assert_eq!(found.voxels(), 5);
    }
}
