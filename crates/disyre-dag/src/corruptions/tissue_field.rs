//! The tissues around a mask, hard or soft, as [`TissueBias`](super::TissueBias) counts and selects them.

use std::sync::Arc;

use disyre_core::{
    TissueModel,
    ndarray::{Array3, Array4, ArrayView3},
};
use serde::{Deserialize, Serialize};

use crate::{canvas::Canvas, error::DagError, placed_mask::PlacedMask, region::Region};

/// Membership of a voxel in tissues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memberships {
    /// In the most probable one alone; published.
    #[default]
    Hard,
    /// In each by the membership that the tissue model gives: n and the indicator are sums of memberships.
    Soft,
}

/// The tissues that a bias was built for.
#[derive(Clone)]
pub(super) enum TissueSource {
    Model(Arc<dyn TissueModel>),
    Scene { classes: usize },
    One,
}

impl TissueSource {
    pub(super) fn classes(&self) -> usize {
        match self {
            Self::Model(model) => model.classes(),
            Self::Scene { classes } => *classes,
            Self::One => 1,
        }
    }

    /// The tissues of every voxel around the mask.
    pub(super) fn field(
        &self,
        memberships: Memberships,
        canvas: &Canvas<'_>,
    ) -> Result<TissueField, DagError> {
        let (neighbourhood, expected) = (canvas.neighbourhood(), self.classes());
        let (_, z, y, x) = neighbourhood.dim();
        let model = match self {
            Self::Model(model) => &**model,
            Self::Scene { .. } => {
                canvas.tissues().ok_or(DagError::Missing { what: "a tissue model of the image" })?
            }
            Self::One => return Ok(TissueField::Hard(Array3::zeros((z, y, x)))),
        };
        ensure_classes(expected, model.classes())?;
        if memberships == Memberships::Soft {
            let mut shares = Array4::zeros((expected, z, y, x));
            model.soft_at(canvas.neighbourhood_origin(), neighbourhood, shares.view_mut())?;
            return Ok(TissueField::Soft(shares));
        }
        let mut labels = Array3::zeros((z, y, x));
        model.hard_at(canvas.neighbourhood_origin(), neighbourhood, labels.view_mut())?;
        // Without early exit, the comparison vectorises.
        let greatest = labels.iter().fold(0, |greatest: u8, label| greatest.max(*label));
        ensure_classes(expected, expected.max(usize::from(greatest) + 1))?;
        Ok(TissueField::Hard(labels))
    }
}

/// The tissues of the voxels of a canvas.
pub(super) enum TissueField {
    /// `(z, y, x)`.
    Hard(Array3<u8>),
    /// `(classes, z, y, x)`.
    Soft(Array4<f32>),
}

impl TissueField {
    /// Voxels of each tissue with mask > 0.
    pub(super) fn counts(&self, classes: usize, inner: &Region, mask: &PlacedMask) -> Vec<f64> {
        match self {
            Self::Hard(labels) => {
                // Four counters of each tissue: neighbours are mostly alike, and one would wait for itself.
                let mut counts = [[0u32; 256]; 4];
                let labels = inner.of(labels.view());
                for (labels, mask) in labels.rows().into_iter().zip(mask.values.rows()) {
                    for (index, (&label, &m)) in labels.iter().zip(mask).enumerate() {
                        counts[index % 4][usize::from(label)] += u32::from(m > 0.0);
                    }
                }
                let all = |class| counts.iter().map(|counts| f64::from(counts[class])).sum();
                (0..classes.min(256)).map(all).collect()
            }
            Self::Soft(memberships) => {
                let inside = inner.of(memberships.view());
                let covered = |share: ArrayView3<'_, f32>| {
                    let voxels = share.iter().zip(&mask.values).filter(|(_, m)| **m > 0.0);
                    voxels.map(|(share, _)| f64::from(*share)).sum()
                };
                inside.outer_iter().map(covered).collect()
            }
        }
    }

    /// 1 in the selected tissues, or the sum of memberships of them.
    pub(super) fn indicate(&self, selected: &[bool], out: &mut [f32]) {
        match self {
            Self::Hard(labels) => {
                let mut values = [0f32; 256];
                values.iter_mut().zip(selected).for_each(|(v, on)| *v = f32::from(u8::from(*on)));
                for (out, label) in out.iter_mut().zip(labels) {
                    *out = values[usize::from(*label)];
                }
            }
            Self::Soft(memberships) => {
                let classes = memberships.outer_iter().zip(selected).filter(|(_, on)| **on);
                for (share, _) in classes {
                    out.iter_mut().zip(share).for_each(|(out, share)| *out += share);
                }
            }
        }
    }
}

/// Checks that numbers of tissue classes agree.
pub(super) fn ensure_classes(expected: usize, got: usize) -> Result<(), DagError> {
    if expected == got { Ok(()) } else { Err(DagError::Classes { expected, got }) }
}
