//! When a lesion counts as detected and a finding as true.

use serde::{Deserialize, Serialize};

use crate::ScoreError;

/// When a lesion is detected and a finding is true.
///
/// ```
/// use disyre_score::regions::{LesionConfig, OverlapRule};
/// let config = LesionConfig { overlap: OverlapRule::AnyVoxel, ..LesionConfig::default() };
/// assert!(config.build().is_ok());
/// let config = LesionConfig { overlap: OverlapRule::Iou(1.5), ..LesionConfig::default() };
/// assert!(config.build().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlapRule {
    /// A lesion is detected if one of its voxels is predicted; a finding is true if one of its voxels is a lesion's.
    ///
    /// A prediction of the whole brain finds everything without a false positive under this rule.
    ///
    /// # Source
    /// ISLES 2022 (Hernandez Petzsche et al. 2022) and its evaluation code, with 26-connected components.
    AnyVoxel,
    /// A finding is true if at least this share of its voxels lies in lesions; a lesion is detected if at least this
    /// share of its voxels lies in true findings. In `(0, 1]`; default: 0.1.
    ///
    /// # Source
    /// After the MS segmentation challenge of 2016 (Commowick et al. 2018): a lesion needs 10 % of overlap, by findings
    /// that do not spread far beyond it. One share for both is ours; the challenge has three.
    ///
    /// A lesion inside a finding of more than 1 / share times its volume is missed and the finding false: under the
    /// default a lesion of 1 voxel in a finding of 11. This is meant for findings that spread, and is hard on lesions of
    /// a few voxels; [`AnyVoxel`](Self::AnyVoxel) is not.
    Share(f64),
    /// A lesion and a finding match if voxels in both / voxels in either reach this; one match makes the lesion
    /// detected and the finding true. In `(0, 1]`.
    ///
    /// # Source
    /// nnDetection (Baumgartner et al. 2021) with 0.1.
    Iou(f64),
}

impl Default for OverlapRule {
    fn default() -> Self {
        Self::Share(0.1)
    }
}

impl OverlapRule {
    pub(super) fn check(self) -> Result<(), ScoreError> {
        match self {
            Self::Share(least) | Self::Iou(least) if !(least > 0.0 && least <= 1.0) => {
                Err(ScoreError::OverlapShare { least })
            }
            _ => Ok(()),
        }
    }

    /// Whether a finding is true by its voxels in lesions; `None` where pairs decide.
    pub(super) fn by_share(self, voxels: u64, in_lesions: u64) -> Option<bool> {
        match self {
            Self::AnyVoxel => Some(in_lesions > 0),
            Self::Share(least) => Some(share(in_lesions, voxels) >= least),
            Self::Iou(_) => None,
        }
    }

    /// Whether a lesion and a finding that share voxels match; without meaning but for intersection over union.
    pub(super) fn matches(self, lesion: u64, finding: u64, shared: u64) -> bool {
        let Self::Iou(least) = self else { return true };
        share(shared, lesion + finding - shared) >= least
    }

    /// Whether a lesion is detected by `covered` of its voxels in true findings, or `covered` matches.
    pub(super) fn detected(self, lesion: u64, covered: u64) -> bool {
        match self {
            Self::Share(least) => share(covered, lesion) >= least,
            Self::AnyVoxel | Self::Iou(_) => covered > 0,
        }
    }
}

/// A division, so that 3 of 30 is 0.1 exactly as the literal is.
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
