//! Scores and restorations of windows blended into whole images; the detector drives it.

use disyre_core::ndarray::{Array3, Array5, Axis};
use disyre_patch::{Blender, TilePlan, Window, WindowWeights};

use crate::Error;

/// Windows, their scores and their restorations: room for one batch.
pub(crate) struct WindowBatch {
    pub(crate) windows: Array5<f32>,
    pub(crate) scores: Array5<f32>,
    pub(crate) restored: Array5<f32>,
}

impl WindowBatch {
    pub(crate) fn zeros(size: usize, [z, y, x]: [usize; 3]) -> Self {
        let zeros = || Array5::zeros((size, 1, z, y, x));
        Self { windows: zeros(), scores: zeros(), restored: zeros() }
    }
}

/// Scores and restorations on their way to whole images.
pub(crate) struct MapBlender {
    scores: Blender,
    restorations: Blender,
}

impl MapBlender {
    pub(crate) fn new(plan: &TilePlan, weights: &WindowWeights) -> Result<Self, Error> {
        let blender = || Blender::new(plan, weights);
        Ok(Self { scores: blender()?, restorations: blender()? })
    }

    /// Adds the first windows of a batch.
    pub(crate) fn add(&mut self, windows: &[Window], batch: &WindowBatch) -> Result<(), Error> {
        let add = |blender: &mut Blender, values: &Array5<f32>| {
            let mut pairs = windows.iter().zip(values.outer_iter());
            pairs.try_for_each(|(&window, values)| {
                blender.add(window, values.index_axis_move(Axis(0), 0))
            })
        };
        let (scores, restorations) = rayon::join(
            || add(&mut self.scores, &batch.scores),
            || add(&mut self.restorations, &batch.restored),
        );
        Ok(scores.and(restorations)?)
    }

    /// Score and restoration of the image.
    pub(crate) fn finish(self) -> (Array3<f32>, Array3<f32>) {
        (self.scores.finish(), self.restorations.finish())
    }
}
