//! Tissues that a run needs: classes fitted to its subjects, or their segmentations.

use disyre_core::Key;
use disyre_tissue::{FittedTissues, KMeansConfig, MixtureConfig, sample_cohort};
use serde::{Deserialize, Serialize};

use crate::segmentation::codes_of;
use crate::{Error, RunConfig, Subject, TissueConfig, TissueKind};

/// Source of the tissues of the bias step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "a run has one of them")]
pub enum Tissues {
    /// Intensities, by classes fitted to a cohort.
    Fitted(FittedTissues),
    /// The segmentation of each scan.
    LabelMaps {
        /// The codes of all segmentations, ascending: the classes.
        codes: Vec<i32>,
    },
}

impl Tissues {
    /// The tissues that a run needs: fitted to some subjects, or the segmentations of these and of others; `None` if its
    /// family has no bias of tissues.
    ///
    /// # Errors
    /// As [`fit_tissue`]; [`Error::Unsegmented`] for a subject without segmentation, [`Error::Tissue`] for more than 256
    /// codes.
    pub fn of(
        config: &RunConfig,
        subjects: &[Subject],
        others: &[Subject],
        key: Key,
    ) -> Result<Option<Self>, Error> {
        if !config.anomaly(config.dag.window, None).takes_tissues() {
            return Ok(None);
        }
        Ok(Some(match config.tissue.model {
            TissueKind::LabelMaps => {
                Self::LabelMaps { codes: codes_of(subjects.iter().chain(others))? }
            }
            _ => Self::Fitted(fit_tissue(subjects, &config.tissue, key)?),
        }))
    }
}

/// Fits tissue classes on some subjects: the same number of brain voxels from each.
///
/// # Errors
/// [`Error::Tissue`] if there are fewer distinct intensities than classes; [`Error::Setting`] for label maps, which
/// nothing is fitted for.
pub fn fit_tissue(
    subjects: &[Subject],
    config: &TissueConfig,
    key: Key,
) -> Result<FittedTissues, Error> {
    config.ensure_fitted()?;
    let images: Vec<_> = subjects.iter().map(|subject| subject.image.view()).collect();
    let samples = sample_cohort(&images, config.voxels_per_scan, key.child("sample"))?;
    let (samples, key, classes) = (samples.view(), key.child("fit"), config.classes);
    Ok(if config.model == TissueKind::GaussianMixture {
        MixtureConfig { classes, ..MixtureConfig::default() }.fit(samples, key)?.mixture.into()
    } else {
        KMeansConfig { classes, ..KMeansConfig::default() }.fit(samples, key)?.codebook.into()
    })
}
