//! Slices as images: each has one score and one label.

use super::{CaseView, NamedValue};
use crate::{RankedScores, Reduction, ScoreError};

/// Scores and labels of axial slices.
pub(super) struct SliceScores {
    prefix: &'static str,
    ranked: RankedScores,
}

impl SliceScores {
    /// The slices of all cases that hold brain; `score` reduces one, `prefix` begins the names of the values.
    pub(super) fn new(
        prefix: &'static str,
        cases: &[CaseView<'_>],
        score: impl Fn(&CaseView<'_>) -> Option<f32>,
    ) -> Result<Self, ScoreError> {
        let slices = cases.iter().flat_map(CaseView::slices);
        let scored =
            slices.filter_map(|slice| Some((score(&slice)?, u8::from(slice.has_lesion()))));
        let (scores, labels): (Vec<f32>, Vec<u8>) = scored.unzip();
        Ok(Self { prefix, ranked: RankedScores::new(&scores, &labels)? })
    }

    fn name(&self, measure: &str) -> String {
        format!("{}_{measure}", self.prefix)
    }

    /// AUROC over slices.
    pub(super) fn auroc(&self) -> NamedValue {
        NamedValue::new(self.name("auroc"), self.ranked.auroc().ok())
    }

    /// Average precision over slices.
    pub(super) fn average_precision(&self) -> NamedValue {
        NamedValue::new(self.name("ap"), self.ranked.average_precision().ok())
    }

    /// Best Dice over slices.
    pub(super) fn best_dice(&self) -> NamedValue {
        NamedValue::new(self.name("best_dice"), self.ranked.best_dice().ok().map(|best| best.dice))
    }
}

/// One number for all voxels of the slice, those outside the brain scoring 0.
pub(super) fn reduce_whole(slice: &CaseView<'_>, reduction: Reduction) -> Option<f32> {
    reduction.reduce(slice.masked_scores().into_iter().collect())
}
