//! Summaries of a measure by row: mean over seeds within a case, then over cases; compared on the same cases.

use std::fmt;

use disyre::core::Key;
use disyre::score::{
    Bootstrap, BootstrapConfig, Bounded, Interval, PairedComparison, PooledCounts, ScoreError,
    ScoreHistogram, compare_paired, holm,
};
use disyre::{CaseReport, Measure};
use serde::{Deserialize, Serialize};

use super::{CaseInfo, SetResult};
use crate::measures::BINS;
use crate::{ExperimentError, Plan, RunMeasures, SetMeasures, TestSet};

/// A measure over the cases of a test set, by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureResult {
    /// The measure.
    pub measure: Measure,
    /// Each row of which all seeds are finished.
    pub rows: Vec<RowResult>,
}

/// A measure of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowResult {
    /// Label of the row.
    pub row: String,
    /// Value of each case, the mean over seeds; `None` where the measure is undefined.
    pub cases: Vec<Option<f64>>,
    /// Mean of these, with its interval; `None` where all are undefined.
    pub per_volume: Option<OverCases>,
    /// The measure of the voxels of all cases together; `None` for measures that are not pooled, or undefined ones.
    pub pooled: Option<Pooled>,
    /// Mean over cases for each seed.
    pub seeds: Vec<SeedMean>,
    /// Standard deviation of these; `None` for a single seed.
    pub seed_deviation: Option<f64>,
    /// Difference to the reference; `None` for the reference itself, until it is finished, and where both are defined
    /// for fewer than two subjects.
    pub against_reference: Option<Comparison>,
}

/// A value over cases, with its interval over their subjects where there is one: at least two subjects have a value, and
/// nearly all draws of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverCases {
    /// The value.
    pub value: f64,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// A measure of the voxels of all cases together, the mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pooled {
    /// The measure, with its interval.
    pub interval: OverCases,
    /// The exact value is at least this: voxels are counted in bins of their scores.
    pub least: f64,
    /// The exact value is at most this.
    pub greatest: f64,
}

/// Mean over cases with one seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedMean {
    /// The seed.
    pub seed: u64,
    /// The mean; `None` where the measure is undefined in all cases.
    pub mean: Option<f64>,
}

/// A row beside the reference, on the same cases and seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Row minus reference; cases of one subject are averaged and count as one.
    pub paired: PairedComparison,
    /// Its p-value after Holm's correction, over the rows of this measure and test set.
    pub p_holm: f64,
}

/// Summarises each test set.
pub(super) fn of_sets(
    plan: &Plan,
    runs: &[RunMeasures],
    bootstrap: BootstrapConfig,
) -> Result<Vec<SetResult>, ExperimentError> {
    let bootstrap = bootstrap.build()?;
    let of_set = |set: &TestSet| {
        let measures = plan.file.measures.iter().map(|&measure| {
            let subjects = by_subject(set);
            Summary { plan, runs, set, subjects, measure, bootstrap: &bootstrap }.measure_result()
        });
        let case = |case: &crate::TestCase| CaseInfo {
            name: case.name.clone(),
            subject: Some(case.subject.clone()).filter(|subject| *subject != case.name),
            sha256: case.hashes.clone(),
        };
        Ok(SetResult {
            name: set.name.clone(),
            cases: set.cases.iter().map(case).collect(),
            measures: measures.collect::<Result<_, ExperimentError>>()?,
        })
    };
    plan.data.test_sets.iter().map(of_set).collect()
}

/// Indices of the cases of each subject.
fn by_subject(set: &TestSet) -> Vec<Vec<usize>> {
    let mut subjects: Vec<(&str, Vec<usize>)> = Vec::new();
    for (index, case) in set.cases.iter().enumerate() {
        match subjects.iter_mut().find(|(name, _)| *name == case.subject) {
            Some((_, cases)) => cases.push(index),
            None => subjects.push((&case.subject, vec![index])),
        }
    }
    subjects.into_iter().map(|(_, cases)| cases).collect()
}

/// One measure on one test set.
struct Summary<'a> {
    plan: &'a Plan,
    runs: &'a [RunMeasures],
    set: &'a TestSet,
    /// Indices of the cases of each subject: these are drawn together.
    subjects: Vec<Vec<usize>>,
    measure: Measure,
    bootstrap: &'a Bootstrap,
}

impl Summary<'_> {
    fn measure_result(&self) -> Result<MeasureResult, ExperimentError> {
        let labels = self.plan.rows.iter().map(|row| row.label.as_str());
        let rows = labels.filter_map(|label| self.row(label).transpose());
        let mut rows: Vec<RowResult> = rows.collect::<Result<_, _>>()?;
        self.compare(&mut rows)?;
        Ok(MeasureResult { measure: self.measure, rows })
    }

    /// The draws of intervals: the same cases are drawn for every row.
    fn key(&self) -> Key {
        Key::new(0).child("experiment").child(self.set.name.as_str()).child(self.measure.name())
    }

    /// A row of which all seeds are finished.
    fn row(&self, label: &str) -> Result<Option<RowResult>, ExperimentError> {
        let seeds = self.plan.seeds.iter();
        let values: Option<Vec<_>> = seeds.map(|&seed| self.by_case(label, seed)).collect();
        let Some(by_seed) = values else { return Ok(None) };
        let over_seeds = |case: usize| {
            let values: Option<Vec<f64>> = by_seed.iter().map(|values| values[case]).collect();
            values.and_then(|values| mean(&values))
        };
        let cases: Vec<Option<f64>> = (0..self.set.cases.len()).map(over_seeds).collect();
        let per_volume = self.per_volume(&cases)?;
        let seeds = self.plan.seeds.iter().zip(&by_seed);
        let seeds = seeds.map(|(&seed, values)| SeedMean { seed, mean: mean(&defined(values)) });
        let seeds: Vec<SeedMean> = seeds.collect();
        let seed_deviation = deviation(&seeds.iter().filter_map(|s| s.mean).collect::<Vec<_>>());
        let pooled = self.pooled(label)?;
        Ok(Some(RowResult {
            row: label.to_owned(),
            cases,
            per_volume,
            pooled,
            seeds,
            seed_deviation,
            against_reference: None,
        }))
    }

    /// The measure of the voxels of all cases together.
    fn pooled(&self, label: &str) -> Result<Option<Pooled>, ExperimentError> {
        let seeds = self.plan.seeds.iter().map(|&seed| self.histogram(label, seed));
        let seeds: Option<Vec<ScoreHistogram>> = seeds.collect::<Result<_, _>>()?;
        let Some(seeds) = seeds else { return Ok(None) };
        let of = |drawn: &[usize], part: fn(&Bounded) -> f64| -> Option<f64> {
            let value = |seed: &ScoreHistogram| {
                Some(part(&of_voxels(&seed.pooled(drawn).ok()?, self.measure)?))
            };
            mean(&seeds.iter().map(value).collect::<Option<Vec<f64>>>()?)
        };
        let all: Vec<usize> = (0..self.set.cases.len()).collect();
        let bounds = (of(&all, |bounded| bounded.least), of(&all, |bounded| bounded.greatest));
        let (Some(least), Some(greatest)) = bounds else { return Ok(None) };
        let value = |cases: &[usize]| of(cases, |bounded| bounded.value);
        let interval = self.over_cases(self.key().child("pooled"), &self.subjects, value)?;
        Ok(interval.map(|interval| Pooled { interval, least, greatest }))
    }

    /// Mean over the cases that have a value.
    fn per_volume(&self, values: &[Option<f64>]) -> Result<Option<OverCases>, ExperimentError> {
        let mut subjects = self.subjects.clone();
        subjects.iter_mut().for_each(|cases| cases.retain(|&case| values[case].is_some()));
        subjects.retain(|cases| !cases.is_empty());
        let of_cases = |cases: &[usize]| {
            mean(&cases.iter().filter_map(|&case| values[case]).collect::<Vec<_>>())
        };
        self.over_cases(self.key(), &subjects, of_cases)
    }

    /// A statistic of cases, with its interval by drawing subjects.
    fn over_cases(
        &self,
        key: Key,
        subjects: &[Vec<usize>],
        statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
    ) -> Result<Option<OverCases>, ExperimentError> {
        let of_subjects = |drawn: &[usize]| {
            let cases = drawn.iter().flat_map(|&subject| &subjects[subject]).copied();
            statistic(&cases.collect::<Vec<_>>())
        };
        // All cases in the order of the set.
        let mut all: Vec<usize> = subjects.iter().flatten().copied().collect();
        all.sort_unstable();
        let Some(value) = statistic(&all) else { return Ok(None) };
        let alone = OverCases { value, low: None, high: None };
        if subjects.len() < 2 {
            return Ok(Some(alone));
        }
        match self.bootstrap.interval(key, subjects.len(), of_subjects) {
            Ok(Interval { low, high, .. }) => {
                Ok(Some(OverCases { value, low: Some(low), high: Some(high) }))
            }
            // Too few subjects have a lesion.
            Err(ScoreError::UndefinedStatistic { .. }) => Ok(Some(alone)),
            Err(error) => Err(error.into()),
        }
    }

    /// Voxels of all cases of a finished run; `None` where they were not counted.
    fn histogram(&self, label: &str, seed: u64) -> Result<Option<ScoreHistogram>, ExperimentError> {
        let Some(set) = self.finished(label, seed) else { return Ok(None) };
        let mut all = BINS.build()?;
        for case in &set.cases {
            let Some(counts) = &case.counts else { return Ok(None) };
            all.append(counts)?;
        }
        Ok(Some(all))
    }

    /// The measures of a finished run.
    fn finished(&self, label: &str, seed: u64) -> Option<&SetMeasures> {
        let run = self.runs.iter().find(|run| run.row == label && run.seed == seed)?;
        run.test_sets.iter().find(|set| set.name == self.set.name)
    }

    /// Values of a finished run, in the order of the set.
    fn by_case(&self, label: &str, seed: u64) -> Option<Vec<Option<f64>>> {
        let set = self.finished(label, seed)?;
        let value = |report: &CaseReport| report.get(self.measure);
        Some(set.cases.iter().map(|case| value(&case.report)).collect())
    }

    /// Values of two rows for each subject: means over its cases that both have a value of.
    fn pairs(&self, a: &[Option<f64>], b: &[Option<f64>]) -> (Vec<f64>, Vec<f64>) {
        let of_subject = |cases: &Vec<usize>| {
            let both = cases.iter().filter_map(|&case| Some((a[case]?, b[case]?)));
            let (a, b): (Vec<f64>, Vec<f64>) = both.unzip();
            Some((mean(&a)?, mean(&b)?))
        };
        self.subjects.iter().filter_map(of_subject).unzip()
    }

    /// Compares each row with the reference, where that is finished.
    fn compare(&self, rows: &mut [RowResult]) -> Result<(), ExperimentError> {
        let reference = &self.plan.rows[self.plan.reference].label;
        let Some(reference) = rows.iter().find(|row| row.row == *reference).cloned() else {
            return Ok(());
        };
        let others = rows.iter_mut().filter(|row| row.row != reference.row);
        let mut compared = Vec::new();
        for row in others {
            let (a, b) = self.pairs(&row.cases, &reference.cases);
            if a.len() > 1 {
                let paired = compare_paired(self.key().child("paired"), &a, &b, self.bootstrap)?;
                compared.push((row, paired));
            }
        }
        let p: Vec<f64> = compared.iter().map(|(_, paired)| paired.p).collect();
        for ((row, paired), p_holm) in compared.into_iter().zip(holm(&p)) {
            row.against_reference = Some(Comparison { paired, p_holm });
        }
        Ok(())
    }
}

impl OverCases {
    /// The ends of the interval, or the value where there is none.
    pub(crate) fn ends(&self) -> [f64; 2] {
        [self.low.unwrap_or(self.value), self.high.unwrap_or(self.value)]
    }
}

/// `value [low, high]`, or the value alone, with three decimals or as many as the format asks for.
impl fmt::Display for OverCases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (decimals, value) = (f.precision().unwrap_or(3), self.value);
        match (self.low, self.high) {
            (Some(low), Some(high)) => write!(f, "{:.decimals$}", Interval { value, low, high }),
            _ => write!(f, "{value:.decimals$}"),
        }
    }
}

/// A measure of pooled voxels; `None` for measures that are not pooled here, or undefined ones.
fn of_voxels(counts: &PooledCounts<'_>, measure: Measure) -> Option<Bounded> {
    match measure {
        Measure::Ap => counts.average_precision(),
        Measure::Auroc => counts.auroc(),
        Measure::BestDice => Some(counts.best_dice()?.dice),
        _ => None,
    }
}

fn defined(values: &[Option<f64>]) -> Vec<f64> {
    values.iter().flatten().copied().collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation; `None` below two values.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    Some((squares / (values.len() - 1) as f64).sqrt())
}
