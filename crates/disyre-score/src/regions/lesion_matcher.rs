//! Lesions matched with findings at one threshold.

use disyre_core::ndarray::ArrayView3;
use disyre_core::{Components, ShapeError};
use serde::{Deserialize, Serialize};

use super::tally::Tally;
use super::{LesionMeasures, Lesions, OverlapRule, SizeBinCount, SizeBins};
use crate::ScoreError;

/// Rules by which lesions and findings are counted.
///
/// ```
/// use disyre_score::regions::{LesionConfig, OverlapRule, SizeBins};
/// let config = LesionConfig {
///     overlap: OverlapRule::Iou(0.1),
///     bins: SizeBins::new(vec![50.0, 500.0])?,
///     smallest_finding_mm3: 20.0,
///     ..LesionConfig::default()
/// };
/// assert_eq!(config.build()?.config().smallest_lesion_mm3, 0.0);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LesionConfig {
    /// When a lesion is detected and a finding true. Default: a share of 0.1.
    pub overlap: OverlapRule,
    /// Bins of volumes for recall by size. Default: limits of 100 mm³, 1 ml and 10 ml.
    pub bins: SizeBins,
    /// Lesions below this volume in mm³ neither count nor make a finding on them false. Default: 0, all count.
    pub smallest_lesion_mm3: f64,
    /// Findings below this volume in mm³ are removed from the prediction. Default: 0, all count.
    pub smallest_finding_mm3: f64,
}

impl LesionConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`ScoreError::OverlapShare`] for a share outside `(0, 1]`, [`ScoreError::SmallestVolume`] for a volume below 0
    /// or not finite.
    pub fn build(self) -> Result<LesionMatcher, ScoreError> {
        self.overlap.check()?;
        for volume_mm3 in [self.smallest_lesion_mm3, self.smallest_finding_mm3] {
            if !(volume_mm3 >= 0.0 && volume_mm3.is_finite()) {
                return Err(ScoreError::SmallestVolume { volume_mm3 });
            }
        }
        Ok(LesionMatcher { config: self })
    }
}

/// Matches lesions with findings.
///
/// ```
/// use disyre_score::{ndarray::array, regions::{LesionConfig, Lesions}};
/// let matcher = LesionConfig::default().build()?;
/// let label = array![[[1, 1, 0, 1, 0, 0, 0, 0]]]; // (z, y, x); 10 mm³ a voxel: lesions of 20 and 10 mm³
/// let prediction = array![[[0, 1, 0, 0, 0, 1, 0, 1]]];
/// let lesions = Lesions::new(label.view(), None, [10.0, 1.0, 1.0])?;
/// let found = matcher.measures(&lesions, prediction.view())?;
/// assert_eq!((found.lesions, found.detected), (2, 1));
/// assert_eq!((found.true_findings, found.false_findings), (1, 2));
/// assert_eq!(found.by_size[0].recall(), Some(0.5)); // below 100 mm³
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LesionMatcher {
    config: LesionConfig,
}

impl LesionMatcher {
    /// The rules.
    pub fn config(&self) -> &LesionConfig {
        &self.config
    }

    /// Counts lesions and findings of one scan.
    ///
    /// # Shapes and units
    /// `prediction` is `(z, y, x)` on the grid of the lesions, non-zero = predicted; see [`Lesions::predicted`] for a
    /// score map and a threshold.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the shapes differ.
    pub fn measures(
        &self,
        lesions: &Lesions<'_>,
        prediction: ArrayView3<'_, u8>,
    ) -> Result<LesionMeasures, ScoreError> {
        let findings = lesions.findings(prediction)?;
        let mut tally = self.tally(lesions);
        add_all(&mut tally, lesions.components(), &findings)?;
        let by_size = self.by_size(lesions, &tally);
        Ok(LesionMeasures {
            scans: 1,
            lesions: by_size.iter().map(|bin| bin.lesions).sum(),
            detected: tally.detected,
            true_findings: tally.true_findings,
            false_findings: tally.false_findings,
            by_size,
        })
    }

    /// A tally of the lesions by these rules, without a finding.
    pub(super) fn tally(&self, lesions: &Lesions<'_>) -> Tally {
        Tally::new(lesions, &self.config)
    }

    fn by_size(&self, lesions: &Lesions<'_>, tally: &Tally) -> Vec<SizeBinCount> {
        let bins = &self.config.bins;
        let empty = |bin| {
            let (from_mm3, to_mm3) = bins.range_mm3(bin);
            SizeBinCount { from_mm3, to_mm3, lesions: 0, detected: 0 }
        };
        let mut counts: Vec<_> = (0..bins.len()).map(empty).collect();
        for (lesion, volume_mm3) in lesions.volumes_mm3().into_iter().enumerate() {
            let bin = &mut counts[bins.index(volume_mm3)];
            bin.lesions += u64::from(tally.counts(lesion));
            bin.detected += u64::from(tally.is_detected(lesion));
        }
        counts
    }
}

/// Adds every finding to a tally.
fn add_all(
    tally: &mut Tally,
    lesions: &Components,
    findings: &Components,
) -> Result<(), ShapeError> {
    let shared = findings.overlaps(lesions)?;
    let mut shared = shared.as_slice();
    for (index, component) in findings.iter().enumerate() {
        let own = shared.partition_point(|pair| pair.first <= index);
        let (own, rest) = shared.split_at(own);
        shared = rest;
        let inside: u64 = own.iter().map(|pair| pair.voxels).sum();
        let mut finding = tally.part(None, component.voxels - inside);
        for pair in own {
            finding.absorb(tally.part(Some(pair.second), pair.voxels));
        }
        tally.add(&finding);
    }
    Ok(())
}
