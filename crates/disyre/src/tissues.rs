//! Tissues that a run needs: classes fitted to its subjects, or their segmentations.

use disyre_core::Key;
use disyre_core::ndarray::{Array2, ArrayView2, Axis, concatenate};
use disyre_tissue::{FittedTissues, KMeansConfig, MixtureConfig, TissueError, sample_cohort};
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
    fit(samples.view(), config, key)
}

/// [`fit_tissue`] to the voxels that were drawn of each subject, in order.
pub(crate) fn fit_to_samples(
    samples: Vec<Array2<f32>>,
    config: &TissueConfig,
    key: Key,
) -> Result<FittedTissues, Error> {
    let views: Vec<ArrayView2<'_, f32>> = samples.iter().map(|samples| samples.view()).collect();
    match concatenate(Axis(0), &views) {
        Ok(samples) if !samples.is_empty() => fit(samples.view(), config, key),
        _ => Err(TissueError::NoSamples.into()),
    }
}

fn fit(
    samples: ArrayView2<'_, f32>,
    config: &TissueConfig,
    key: Key,
) -> Result<FittedTissues, Error> {
    let (key, classes) = (key.child("fit"), config.classes);
    Ok(if config.model == TissueKind::GaussianMixture {
        MixtureConfig { classes, ..MixtureConfig::default() }.fit(samples, key)?.mixture.into()
    } else {
        KMeansConfig { classes, ..KMeansConfig::default() }.fit(samples, key)?.codebook.into()
    })
}
