//! [`CaseTruth`]: the label of a case, the voxels that count, and where they lie; every map of the case is held against it.

use std::path::Path;

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{Volume, ensure_same_shape};
use disyre_score::Lesions;
use disyre_volume::{Scan, ScanHeader, read_mask_of};

use super::read_scores;
use crate::Error;

/// Label and brain of a case on the grid of its maps.
#[derive(Debug, Clone)]
pub struct CaseTruth {
    /// Name in the report.
    pub name: String,
    /// Non-zero = lesion, `(z, y, x)`; all 0: a healthy case.
    pub label: Array3<u8>,
    /// Non-zero = brain, the voxels that count; `None`: all voxels count.
    pub brain: Option<Array3<u8>>,
    /// Distance of neighbouring voxels along `(z, y, x)`.
    pub spacing_mm: [f64; 3],
}

impl CaseTruth {
    /// Reads a map as [`read_scores`] does, and label and brain mask on its grid.
    ///
    /// # Errors
    /// [`Error::Volume`] for files that cannot be read, and for a label or mask on another grid than the map, naming
    /// both; [`Error::EmptyMask`]; [`Error::NarrowScores`].
    pub fn read(
        name: impl Into<String>,
        score: &Path,
        label: &Path,
        mask: Option<&Path>,
    ) -> Result<(Self, Scan), Error> {
        let header = ScanHeader::read(score)?;
        header.ensure_one_volume()?;
        let label = read_mask_of(label, &header)?;
        let brain = mask.map(|path| {
            let brain = read_mask_of(path, &header)?;
            match brain.iter().any(|&inside| inside != 0) {
                true => Ok(brain),
                false => Err(Error::EmptyMask { path: path.to_owned() }),
            }
        });
        let (brain, spacing_mm) = (brain.transpose()?, header.grid().spacing_mm());
        let map = read_scores(score, brain.as_ref())?;
        Ok((Self { name: name.into(), label, brain, spacing_mm }, map))
    }

    /// The lesions: 26-connected components of the label inside the brain.
    ///
    /// # Errors
    /// [`Error::Score`] for arrays of different shapes, or without a voxel.
    pub fn lesions(&self) -> Result<Lesions<'_>, Error> {
        let brain = self.brain.as_ref().map(|brain| brain.view());
        Ok(Lesions::new(self.label.view(), brain, self.spacing_mm)?)
    }

    /// Scores and labels of the voxels that count, in the order of the arrays.
    ///
    /// # Errors
    /// [`Error::Shape`] for a map of another shape.
    pub fn voxels(&self, score: ArrayView3<'_, f32>) -> Result<(Vec<f32>, Vec<u8>), Error> {
        ensure_same_shape("score", self.label.shape(), score.shape())?;
        let voxels = score.into_iter().copied().zip(self.label.iter().copied());
        Ok(match &self.brain {
            None => voxels.unzip(),
            Some(brain) => {
                let inside = voxels.zip(brain).filter(|(_, inside)| **inside != 0);
                inside.map(|(voxel, _)| voxel).unzip()
            }
        })
    }

    /// The brain of the scan of the case: the mask, or where the scan is not 0.
    pub(super) fn brain_or_nonzero(&self, scan: &Volume) -> Array3<u8> {
        let nonzero = || disyre_volume::nonzero_mask(scan.data.view());
        self.brain.clone().unwrap_or_else(nonzero)
    }
}
