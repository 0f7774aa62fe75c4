//! [`MethodEvaluation`]: the maps of one method over all cases, measured one after another.

use std::collections::BTreeMap;

use disyre_core::ndarray::ArrayView3;
use disyre_score::regions::LUNA16_RATES;
use disyre_score::{
    Averaging, FrocPool, LeftOut, Lesions, ScoreHistogram, ScorePool, ScorePoolConfig,
};

use super::evaluator::{PointCounts, voxel_measures};
use super::summary;
use super::{
    CaseReport, CaseTruth, Evaluator, Measure, MeasuredMap, Measures, MethodReport, OperatingPoint,
};
use crate::Error;

/// Collects the maps of one method, case after case, in two rounds: thresholds of other cases are known only when all
/// have been seen. Maps are not kept.
///
/// ```
/// use disyre::core::ndarray::{Array3, array};
/// use disyre::{CaseTruth, EvaluateConfig, Measure, MethodEvaluation};
///
/// let truth = |name: &str| CaseTruth {
///     name: name.into(),
///     label: array![[[0, 0, 0, 1]]],
///     brain: None,
///     spacing_mm: [1.0; 3],
/// };
/// let cases = [(truth("a"), array![[[0.1_f32, 0.2, 0.3, 0.9]]]), (truth("b"), array![[[0.5, 0.1, 0.1, 0.6]]])];
/// let evaluator = EvaluateConfig::default().build()?;
/// let mut method = MethodEvaluation::new("ours", "maps/", &evaluator);
/// for (truth, map) in &cases {
///     method.add(evaluator.measure(truth, map.view())?)?;
/// }
/// let mut method = method.second_round()?;
/// for (truth, map) in &cases {
///     method.add(truth, map.view())?;
/// }
/// let report = method.finish()?;
/// // 0.6 tells the voxels of b apart, and of a too; 0.9 those of a alone.
/// assert_eq!(report.cases[0].get(Measure::OthersDice), Some(1.0));
/// assert_eq!(report.cases[1].get(Measure::OthersRecall), Some(0.0));
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug)]
pub struct MethodEvaluation {
    name: String,
    description: String,
    evaluator: Evaluator,
    pool: ScorePool,
    cases: Vec<CaseReport>,
    histogram: ScoreHistogram,
    froc: FrocPool,
}

/// The second round of a [`MethodEvaluation`]: every case again, in the same order, at its thresholds.
#[derive(Debug)]
pub struct SecondRound {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) evaluator: Evaluator,
    /// Over the voxels of all cases.
    pub(super) pooled: Measures,
    pub(super) cases: Vec<CaseReport>,
    pub(super) histogram: ScoreHistogram,
    pub(super) froc: FrocPool,
    thresholds: Vec<Option<f32>>,
    /// Number of cases that were seen again.
    seen: usize,
    /// Counts of each case at each operating point; `None`: the case has no threshold there.
    pub(super) counts: BTreeMap<OperatingPoint, Vec<Option<PointCounts>>>,
}

/// Memory for the pooled voxels of a method; those beyond are in a temporary file.
const POOL_BYTES: usize = 32 << 20;

/// Greatest number of false positives per scan that FROC is asked at.
const GREATEST_RATE: f64 = LUNA16_RATES[LUNA16_RATES.len() - 1];

impl MethodEvaluation {
    /// A method without a case yet.
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        evaluator: &Evaluator,
    ) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            evaluator: evaluator.clone(),
            pool: ScorePoolConfig { budget_bytes: POOL_BYTES, ..Default::default() }.build(),
            cases: Vec::new(),
            histogram: ScoreHistogram::default(),
            froc: FrocPool::new(usize::MAX, GREATEST_RATE),
        }
    }

    /// The same for so many cases or fewer. FROC then forgets the thresholds that lie below its rates, of which a noisy map
    /// has millions, and memory hardly grows with the number of cases. To be called before the first map is added.
    #[must_use]
    pub fn of_cases(self, most: usize) -> Self {
        Self { froc: FrocPool::new(most, GREATEST_RATE), ..self }
    }

    /// Adds a map that [`Evaluator::measure`] measured.
    ///
    /// # Errors
    /// [`Error::Score`] where temporary files cannot be written.
    pub fn add(&mut self, map: MeasuredMap) -> Result<(), Error> {
        let MeasuredMap { report, scores, labels, froc } = map;
        self.pool.add(&scores, &labels)?;
        self.histogram.add(&scores, &labels)?;
        self.cases.push(report);
        self.froc.add(froc);
        Ok(())
    }

    /// Ends the first round: pooled measures, and each case's threshold of the others.
    ///
    /// # Errors
    /// [`Error::Score`] where the pooled voxels cannot be ranked.
    pub fn second_round(self) -> Result<SecondRound, Error> {
        let of_others = self.histogram.thresholds_of_others(Averaging::PerVolume);
        let threshold = |left_out: Option<LeftOut>| Some(left_out?.of_others.threshold);
        Ok(SecondRound {
            pooled: voxel_measures(&self.pool.rank()?)?,
            thresholds: of_others.into_iter().map(threshold).collect(),
            histogram: self.histogram,
            name: self.name,
            description: self.description,
            evaluator: self.evaluator,
            cases: self.cases,
            froc: self.froc,
            seen: 0,
            counts: BTreeMap::new(),
        })
    }
}

impl SecondRound {
    /// Measures the next case's map at its thresholds. Maps beyond the first round's cases are passed over.
    ///
    /// # Errors
    /// Those of [`Evaluator::measure`].
    pub fn add(&mut self, truth: &CaseTruth, score: ArrayView3<'_, f32>) -> Result<(), Error> {
        let Some(of_others) = self.thresholds.get(self.seen).copied() else { return Ok(()) };
        let points = [
            (OperatingPoint::OtherCases, of_others),
            (OperatingPoint::Given, self.evaluator.config().threshold),
        ];
        let lesions = truth.lesions()?;
        for (point, threshold) in points {
            let counts = match threshold {
                Some(threshold) => Some(self.measure_at(&lesions, truth, score, point, threshold)?),
                None => None,
            };
            self.counts.entry(point).or_default().push(counts);
        }
        self.seen += 1;
        Ok(())
    }

    fn measure_at(
        &mut self,
        lesions: &Lesions<'_>,
        truth: &CaseTruth,
        score: ArrayView3<'_, f32>,
        point: OperatingPoint,
        threshold: f32,
    ) -> Result<PointCounts, Error> {
        let (values, counts) = self.evaluator.measure_at(lesions, truth, score, threshold)?;
        let named = values.into_iter().map(|(measure, value)| (measure.at(point), value));
        self.cases[self.seen].measures.values.extend(named);
        Ok(counts)
    }

    /// The report of the method.
    ///
    /// # Errors
    /// [`Error::Score`] for intervals that cannot be taken.
    pub fn finish(self) -> Result<MethodReport, Error> {
        Ok(MethodReport {
            pooled: summary::pooled(&self)?,
            per_volume: summary::per_volume(&self)?,
            lesions: summary::lesions(&self),
            case_lesions: summary::case_lesions(&self),
            froc: summary::froc_summary(&self),
            image_level: summary::image_level(&self)?,
            name: self.name,
            description: self.description,
            cases: self.cases,
            ..MethodReport::default()
        })
    }
}

impl SecondRound {
    /// Which cases have a lesion.
    pub(super) fn with_lesion(&self) -> Vec<bool> {
        let lesion = |case: &CaseReport| case.get(Measure::Prevalence).unwrap_or(0.0) > 0.0;
        self.cases.iter().map(lesion).collect()
    }
}
