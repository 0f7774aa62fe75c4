//! [`Evaluator`]: the settings of an evaluation, and the measures of one map of one case.

use std::collections::BTreeMap;
use std::path::Path;

use disyre_core::Key;
use disyre_core::ndarray::ArrayView3;
use disyre_score::regions::MVTEC_LIMIT;
use disyre_score::{
    Bootstrap, BootstrapConfig, Confusion, FrocCase, LesionConfig, LesionMatcher, LesionMeasures,
    Lesions, ProCase, RankedScores, Reduction, hausdorff_95_mm, pro, volume_error,
};
use disyre_volume::subject_of;
use serde::{Deserialize, Serialize};

use super::{CaseReport, CaseTruth, Measure, Measures, OperatingPoint};
use crate::Error;

/// Settings of an evaluation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// A threshold to measure at, beside that of the other cases: predicted where `score ≥ threshold`.
    pub threshold: Option<f32>,
    /// Lesion-wise rules and bins of lesion sizes.
    pub lesions: LesionConfig,
    /// Intervals over subjects.
    pub bootstrap: BootstrapConfig,
    /// Number of greatest scores whose mean is a scan's `top_score`.
    pub top_voxels: TopVoxels,
    /// Subject of a case by the case's name; of others the name says it, see [`subject_of`](Self::subject_of).
    pub subjects: BTreeMap<String, String>,
    /// Root of the random draws of intervals and tests.
    pub seed: u64,
}

/// Number of greatest scores of a scan; 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopVoxels(pub usize);

impl Default for TopVoxels {
    /// 1 ml at 1 mm: ours. The published 100 is of slices.
    fn default() -> Self {
        Self(1000)
    }
}

/// Checked settings of an evaluation: measures single maps.
///
/// ```
/// use disyre::core::ndarray::array;
/// use disyre::{CaseTruth, EvaluateConfig, Measure};
///
/// let label = array![[[0, 0, 1, 1]]]; // (z, y, x)
/// let truth = CaseTruth { name: "sub-01".into(), label, brain: None, spacing_mm: [1.0; 3] };
/// let evaluator = EvaluateConfig::default().build()?;
/// let measured = evaluator.measure(&truth, array![[[0.1, 0.4, 0.35, 0.8]]].view())?;
/// assert_eq!(measured.report.get(Measure::Auroc), Some(0.75));
/// assert_eq!(measured.report.get(Measure::MaxScore), Some(f64::from(0.8_f32)));
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Evaluator {
    config: EvaluateConfig,
    matcher: LesionMatcher,
    bootstrap: Bootstrap,
}

/// Measures of one map over all thresholds, and what pooled measures need of it.
#[derive(Debug, Clone)]
pub struct MeasuredMap {
    /// The measures.
    pub report: CaseReport,
    pub(super) scores: Vec<f32>,
    pub(super) labels: Vec<u8>,
    pub(super) froc: FrocCase,
}

/// Counts of one map at a threshold.
#[derive(Debug, Clone)]
pub(super) struct PointCounts {
    pub(super) voxels: Confusion,
    pub(super) lesions: LesionMeasures,
}

impl EvaluateConfig {
    /// Subject of a case: as set, else as [`subject_of`](disyre_volume::subject_of) says by its name and the folders in it.
    ///
    /// ```
    /// let config = disyre::EvaluateConfig::default();
    /// assert_eq!(config.subject_of("sub-01_ses-2_T1w"), "sub-01");
    /// assert_eq!(config.subject_of("case7_t1"), config.subject_of("case7_flair"));
    /// ```
    pub fn subject_of(&self, case: &str) -> String {
        self.subjects.get(case).cloned().unwrap_or_else(|| subject_of(Path::new(case)))
    }

    /// Cases of each subject by their indices; subjects in the order of their first case.
    pub(super) fn by_subject<'a>(
        &self,
        cases: impl IntoIterator<Item = (usize, &'a str)>,
    ) -> Vec<Vec<usize>> {
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        for (case, name) in cases {
            let subject = self.subject_of(name);
            match groups.iter_mut().find(|(known, _)| *known == subject) {
                Some((_, cases)) => cases.push(case),
                None => groups.push((subject, vec![case])),
            }
        }
        groups.into_iter().map(|(_, cases)| cases).collect()
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Score`] for settings out of range, [`Error::Setting`] for a threshold that is not finite.
    pub fn build(self) -> Result<Evaluator, Error> {
        if self.threshold.is_some_and(|threshold| !threshold.is_finite()) {
            return Err(Error::Setting { field: "threshold", expected: "a finite number" });
        }
        let (matcher, bootstrap) = (self.lesions.clone().build()?, self.bootstrap.build()?);
        Ok(Evaluator { config: self, matcher, bootstrap })
    }
}

impl Evaluator {
    /// The settings.
    pub fn config(&self) -> &EvaluateConfig {
        &self.config
    }

    pub(super) fn bootstrap(&self) -> &Bootstrap {
        &self.bootstrap
    }

    pub(super) fn key(&self) -> Key {
        Key::new(self.config.seed).child("evaluate")
    }

    /// Measures a map of a case over all thresholds. Of a healthy case only what needs no lesion.
    ///
    /// # Shapes and units
    /// `score` is `(z, y, x)` on the grid of the case; any finite score, greater = more abnormal.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Score`] for a map of another shape or with a score that is not finite, and for a
    /// label that leaves no healthy voxel.
    pub fn measure(
        &self,
        truth: &CaseTruth,
        score: ArrayView3<'_, f32>,
    ) -> Result<MeasuredMap, Error> {
        let lesions = truth.lesions()?;
        let (scores, labels) = truth.voxels(score)?;
        let ranked = RankedScores::new(&scores, &labels)?;
        let mut measures = voxel_measures(&ranked)?;
        if ranked.positives() > 0 {
            let overlap = pro(&ranked, [&ProCase::new(&lesions, score)?], MVTEC_LIMIT)?;
            measures.values.insert(Measure::Pro, overlap);
        }
        self.add_scan_scores(&mut measures, &scores);
        let froc = self.matcher.froc_case(&lesions, score)?;
        let report = CaseReport { name: truth.name.clone(), measures };
        Ok(MeasuredMap { report, scores, labels, froc })
    }

    /// One score for the whole scan, by which it is called healthy or not.
    fn add_scan_scores(&self, measures: &mut Measures, scores: &[f32]) {
        let reductions = [
            (Measure::MeanScore, Reduction::Mean),
            (Measure::MaxScore, Reduction::Max),
            (Measure::TopScore, Reduction::Top(self.config.top_voxels.0)),
        ];
        for (measure, reduction) in reductions {
            let score = reduction.reduce(scores.to_vec());
            measures.values.extend(score.map(|score| (measure, f64::from(score))));
        }
    }

    /// Measures a map at a threshold.
    pub(super) fn measure_at(
        &self,
        lesions: &Lesions<'_>,
        truth: &CaseTruth,
        score: ArrayView3<'_, f32>,
        threshold: f32,
    ) -> Result<(Vec<(PointMeasure, f64)>, PointCounts), Error> {
        let prediction = lesions.predicted(score, threshold)?;
        let (scores, labels) = truth.voxels(score)?;
        let voxels = Confusion::new(&scores, &labels, threshold)?;
        let found = self.matcher.measures(lesions, prediction.view())?;
        let volume = volume_error(lesions, prediction.view())?;
        let has_lesion = lesions.voxels() > 0;
        let of_lesion = |value: Option<f64>| value.filter(|_| has_lesion);
        let values = [
            (PointMeasure::Threshold, Some(f64::from(threshold))),
            (PointMeasure::Dice, of_lesion(voxels.dice())),
            (PointMeasure::Precision, of_lesion(voxels.precision())),
            (PointMeasure::Recall, voxels.recall()),
            (PointMeasure::Hausdorff95, hausdorff_95_mm(lesions, prediction.view())?),
            (PointMeasure::VolumeError, Some(volume.signed_mm3() / 1000.0)),
            (PointMeasure::LesionRecall, found.recall()),
            (PointMeasure::FalsePositives, Some(found.false_findings as f64)),
        ];
        let defined = values.into_iter().filter_map(|(measure, value)| Some((measure, value?)));
        Ok((defined.collect(), PointCounts { voxels, lesions: found }))
    }
}

/// A measure at one threshold, whichever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointMeasure {
    Threshold,
    Dice,
    Precision,
    Recall,
    Hausdorff95,
    VolumeError,
    LesionRecall,
    FalsePositives,
}

impl PointMeasure {
    /// The measure at this operating point.
    pub(super) fn at(self, point: OperatingPoint) -> Measure {
        use OperatingPoint::{Given, OtherCases};
        match (self, point) {
            (Self::Threshold, OtherCases) => Measure::OthersThreshold,
            (Self::Dice, OtherCases) => Measure::OthersDice,
            (Self::Precision, OtherCases) => Measure::OthersPrecision,
            (Self::Recall, OtherCases) => Measure::OthersRecall,
            (Self::Hausdorff95, OtherCases) => Measure::OthersHausdorff95,
            (Self::VolumeError, OtherCases) => Measure::OthersVolumeError,
            (Self::LesionRecall, OtherCases) => Measure::OthersLesionRecall,
            (Self::FalsePositives, OtherCases) => Measure::OthersFalsePositives,
            (Self::Threshold, Given) => Measure::GivenThreshold,
            (Self::Dice, Given) => Measure::GivenDice,
            (Self::Precision, Given) => Measure::GivenPrecision,
            (Self::Recall, Given) => Measure::GivenRecall,
            (Self::Hausdorff95, Given) => Measure::GivenHausdorff95,
            (Self::VolumeError, Given) => Measure::GivenVolumeError,
            (Self::LesionRecall, Given) => Measure::GivenLesionRecall,
            (Self::FalsePositives, Given) => Measure::GivenFalsePositives,
        }
    }
}

/// AP, ⌈Dice⌉ and AUROC where there is a lesion; the prevalence always.
pub(super) fn voxel_measures(ranked: &RankedScores) -> Result<Measures, Error> {
    let voxels = ranked.positives() + ranked.negatives();
    let prevalence = ranked.positives() as f64 / voxels.max(1) as f64;
    let mut values = BTreeMap::from([(Measure::Prevalence, prevalence)]);
    if ranked.positives() > 0 {
        let best = ranked.best_dice()?;
        values.insert(Measure::Ap, ranked.average_precision()?);
        values.insert(Measure::BestDice, best.dice);
        values.insert(Measure::BestDiceThreshold, best.threshold.into());
        values.insert(Measure::Auroc, ranked.auroc()?);
    }
    Ok(Measures { voxels, values })
}
