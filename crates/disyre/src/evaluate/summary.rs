//! Values over all cases, with intervals of a bootstrap over cases.

use std::collections::BTreeMap;

use disyre_score::regions::LUNA16_RATES;
use disyre_score::{Confusion, ImageLevel, Interval, LesionMeasures, ScoreError, froc, metrics};

use super::evaluator::{PointCounts, PointMeasure};
use super::method::SecondRound;
use super::{CaseReport, Estimate, FrocSummary, ImageLevelReport, Measure, OperatingPoint};
use crate::Error;

type Estimates = BTreeMap<Measure, Estimate>;
type Statistic<'a> = &'a (dyn Fn(&[usize]) -> Option<f64> + Sync);

/// The interval of a statistic over cases; without ends where there is one case, or where it is undefined in too many
/// draws.
fn estimate(
    round: &SecondRound,
    name: &str,
    subjects: &[usize],
    statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
) -> Result<Option<Estimate>, Error> {
    let key = round.evaluator.key().child(round.name.as_str()).child(name);
    let Some(value) = statistic(subjects) else { return Ok(None) };
    let alone = Estimate { value, low: None, high: None, cases: subjects.len() };
    if subjects.len() < 2 {
        return Ok(Some(alone));
    }
    let drawn = |indices: &[usize]| -> Vec<usize> {
        indices.iter().map(|&index| subjects[index]).collect()
    };
    let interval = round
        .evaluator
        .bootstrap()
        .interval(key, subjects.len(), |indices| statistic(&drawn(indices)));
    match interval {
        Ok(Interval { value, low, high }) => {
            Ok(Some(Estimate { value, low: Some(low), high: Some(high), cases: subjects.len() }))
        }
        Err(ScoreError::UndefinedStatistic { .. }) => Ok(Some(alone)),
        Err(error) => Err(error.into()),
    }
}

/// Measures over the voxels of all cases together: exact values, intervals from counts in bins.
pub(super) fn pooled(round: &SecondRound) -> Result<Estimates, Error> {
    let all: Vec<usize> = (0..round.cases.len()).collect();
    let counts = |drawn: &[usize]| round.histogram.pooled(drawn).ok();
    let statistics: [(Measure, Statistic<'_>); 4] = [
        (Measure::Prevalence, &|drawn| prevalence(round, drawn)),
        (Measure::Ap, &|drawn| Some(counts(drawn)?.average_precision()?.value)),
        (Measure::BestDice, &|drawn| Some(counts(drawn)?.best_dice()?.dice.value)),
        (Measure::Auroc, &|drawn| Some(counts(drawn)?.auroc()?.value)),
    ];
    let mut found = Estimates::new();
    for (measure, statistic) in statistics {
        let binned = estimate(round, &format!("pooled {measure}"), &all, statistic)?;
        let Some(binned) = binned else { continue };
        let exact = round.pooled.get(measure).unwrap_or(binned.value);
        // The ends are moved by what the bins miss of the value: less than a thousandth.
        let moved = |end: f64| (end + exact - binned.value).clamp(0.0, 1.0);
        let ends = (binned.low.map(moved), binned.high.map(moved));
        found.insert(measure, Estimate { value: exact, low: ends.0, high: ends.1, ..binned });
    }
    if let Some(value) = round.pooled.get(Measure::BestDiceThreshold) {
        let threshold = Estimate { value, low: None, high: None, cases: all.len() };
        found.insert(Measure::BestDiceThreshold, threshold);
    }
    for (&point, counts) in &round.counts {
        found.extend(pooled_at(round, point, counts)?);
    }
    Ok(found)
}

/// Share of lesion voxels in some cases together.
fn prevalence(round: &SecondRound, drawn: &[usize]) -> Option<f64> {
    let mut sums = (0.0, 0.0);
    for &case in drawn {
        let voxels = round.cases[case].measures.voxels as f64;
        sums.0 += voxels * round.cases[case].get(Measure::Prevalence)?;
        sums.1 += voxels;
    }
    (sums.1 > 0.0).then(|| sums.0 / sums.1)
}

/// Pooled measures at an operating point: counts add up.
fn pooled_at(
    round: &SecondRound,
    point: OperatingPoint,
    counts: &[Option<PointCounts>],
) -> Result<Estimates, Error> {
    let cases: Vec<usize> = (0..counts.len()).filter(|&case| counts[case].is_some()).collect();
    let sum = |drawn: &[usize]| -> Confusion {
        drawn.iter().filter_map(|&case| counts[case].as_ref()).map(|counts| counts.voxels).sum()
    };
    let lesions = |drawn: &[usize]| {
        merged(drawn.iter().filter_map(|&case| counts[case].as_ref()).map(|counts| &counts.lesions))
    };
    let statistics: [(PointMeasure, Statistic<'_>); 5] = [
        (PointMeasure::Dice, &|drawn| sum(drawn).dice()),
        (PointMeasure::Precision, &|drawn| sum(drawn).precision()),
        (PointMeasure::Recall, &|drawn| sum(drawn).recall()),
        (PointMeasure::LesionRecall, &|drawn| lesions(drawn)?.recall()),
        (PointMeasure::FalsePositives, &|drawn| lesions(drawn)?.false_positives_per_scan()),
    ];
    let mut found = Estimates::new();
    for (measure, statistic) in statistics {
        let measure = measure.at(point);
        let value = estimate(round, &format!("pooled {measure}"), &cases, statistic)?;
        found.extend(value.map(|value| (measure, value)));
    }
    Ok(found)
}

fn merged<'a>(counts: impl Iterator<Item = &'a LesionMeasures>) -> Option<LesionMeasures> {
    counts.fold(None, |sum: Option<LesionMeasures>, counts| match sum {
        None => Some(counts.clone()),
        // Counts of one evaluation have the same bins.
        Some(mut sum) => sum.merge(counts).ok().map(|()| sum),
    })
}

/// Means of the cases that have a value.
pub(super) fn per_volume(round: &SecondRound) -> Result<Estimates, Error> {
    let mut found = Estimates::new();
    for &measure in Measure::ALL {
        if matches!(measure, Measure::BestDiceThreshold | Measure::GivenThreshold) {
            continue; // a mean threshold would mean nothing
        }
        let values: Vec<Option<f64>> = round.cases.iter().map(|case| case.get(measure)).collect();
        let cases: Vec<usize> = (0..values.len()).filter(|&case| values[case].is_some()).collect();
        let mean = |drawn: &[usize]| {
            let sum: f64 = drawn.iter().filter_map(|&case| values[case]).sum();
            (!drawn.is_empty()).then(|| sum / drawn.len() as f64)
        };
        let value = estimate(round, &format!("per volume {measure}"), &cases, mean)?;
        found.extend(value.map(|value| (measure, value)));
    }
    Ok(found)
}

/// Lesion-wise counts of all cases at each operating point.
pub(super) fn lesions(round: &SecondRound) -> BTreeMap<OperatingPoint, LesionMeasures> {
    let all = round.counts.iter().filter_map(|(&point, counts)| {
        Some((point, merged(counts.iter().flatten().map(|counts| &counts.lesions))?))
    });
    all.collect()
}

/// Lesion-wise counts of each case at the operating points that some case has.
pub(super) fn case_lesions(
    round: &SecondRound,
) -> BTreeMap<OperatingPoint, Vec<Option<LesionMeasures>>> {
    let taken = round.counts.iter().filter(|(_, counts)| counts.iter().any(Option::is_some));
    let lesions = |counts: &Option<PointCounts>| Some(counts.as_ref()?.lesions.clone());
    taken.map(|(&point, counts)| (point, counts.iter().map(lesions).collect())).collect()
}

/// Sensitivities at LUNA16's rates; `None` without a lesion.
pub(super) fn froc_summary(round: &SecondRound) -> Option<FrocSummary> {
    let curve = froc(&round.froc).ok()?;
    let sensitivities = LUNA16_RATES.map(|rate| curve.sensitivity_at(rate)).to_vec();
    let mean = curve.mean_sensitivity(&LUNA16_RATES)?;
    Some(FrocSummary { rates: LUNA16_RATES.to_vec(), sensitivities, mean })
}

/// Detection of whole scans; empty without a healthy case or without a lesion.
pub(super) fn image_level(round: &SecondRound) -> Result<Vec<ImageLevelReport>, Error> {
    let labels: Vec<u8> = round.with_lesion().into_iter().map(u8::from).collect();
    let with_lesion = labels.iter().filter(|&&label| label != 0).count();
    if with_lesion == 0 || with_lesion == labels.len() {
        return Ok(Vec::new());
    }
    let reports = [Measure::MeanScore, Measure::MaxScore, Measure::TopScore].map(|score| {
        let value = |case: &CaseReport| case.get(score).unwrap_or(0.0) as f32;
        let scores: Vec<f32> = round.cases.iter().map(value).collect();
        whole_scans(round, score, &scores, &labels)
    });
    reports.into_iter().collect()
}

fn whole_scans(
    round: &SecondRound,
    score: Measure,
    scores: &[f32],
    labels: &[u8],
) -> Result<ImageLevelReport, Error> {
    let key = round.evaluator.key().child(round.name.as_str()).child("whole scans");
    let (key, bootstrap) = (key.child(score.name()), round.evaluator.bootstrap());
    let cases = labels.len();
    let between =
        |Interval { value, low, high }| Estimate { value, low: Some(low), high: Some(high), cases };
    let alone = |value| Estimate { value, low: None, high: None, cases };
    let (auroc, average_precision) = match ImageLevel::new(key, scores, labels, bootstrap) {
        Ok(found) => (between(found.auroc), between(found.average_precision)),
        // Too few scans of one kind for an interval.
        Err(ScoreError::UndefinedStatistic { .. }) => {
            let found = metrics(scores, labels)?;
            (alone(found.auroc), alone(found.average_precision))
        }
        Err(error) => return Err(error.into()),
    };
    let with_lesion = labels.iter().filter(|&&label| label != 0).count();
    Ok(ImageLevelReport { score, auroc, average_precision, with_lesion })
}
