//! Values over all cases, with intervals of a bootstrap over subjects.

use std::collections::BTreeMap;

use disyre_score::regions::LUNA16_RATES;
use disyre_score::{Confusion, Interval, LesionMeasures, RankedScores, ScoreError};

use super::evaluator::{PointCounts, PointMeasure};
use super::method::SecondRound;
use super::{CaseReport, Estimate, FrocSummary, ImageLevelReport, Measure, OperatingPoint};
use crate::Error;

type Estimates = BTreeMap<Measure, Estimate>;
type Statistic<'a> = &'a (dyn Fn(&[usize]) -> Option<f64> + Sync);

/// The interval of a statistic over cases, their subjects drawn; without ends where there is one subject, or where it is
/// undefined in too many draws. The draws depend on the name and the subjects, so that methods share them.
fn estimate(
    round: &SecondRound,
    name: &str,
    cases: &[usize],
    statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
) -> Result<Option<Estimate>, Error> {
    estimate_by_kind(round, name, cases, |_| 0, statistic)
}

/// The same where each draw has as many subjects of each kind as there are: the greatest kind of a subject's cases.
fn estimate_by_kind(
    round: &SecondRound,
    name: &str,
    cases: &[usize],
    kind: impl Fn(usize) -> usize,
    statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
) -> Result<Option<Estimate>, Error> {
    let Some(value) = statistic(cases) else { return Ok(None) };
    let alone = Estimate { value, low: None, high: None, cases: cases.len() };
    let named = cases.iter().map(|&case| (case, round.cases[case].name.as_str()));
    let subjects = round.evaluator.config().by_subject(named);
    if subjects.len() < 2 {
        return Ok(Some(alone));
    }
    let drawn = |indices: &[usize]| -> Vec<usize> {
        indices.iter().flat_map(|&index| subjects[index].iter().copied()).collect()
    };
    let kind_of = |cases: &Vec<usize>| cases.iter().map(|&case| kind(case)).max().unwrap_or(0);
    let kinds: Vec<usize> = subjects.iter().map(kind_of).collect();
    let (bootstrap, key) = (round.evaluator.bootstrap(), round.evaluator.key().child(name));
    match bootstrap.interval_in_groups(key, &kinds, |indices| statistic(&drawn(indices))) {
        Ok(Interval { low, high, .. }) => {
            Ok(Some(Estimate { low: Some(low), high: Some(high), ..alone }))
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
    let curve = round.froc.curve().ok()?;
    let sensitivities = LUNA16_RATES.map(|rate| curve.sensitivity_at(rate)).to_vec();
    let mean = curve.mean_sensitivity(&LUNA16_RATES)?;
    Some(FrocSummary { rates: LUNA16_RATES.to_vec(), sensitivities, mean })
}

/// Detection of whole scans; empty without a healthy case or without a lesion.
pub(super) fn image_level(round: &SecondRound) -> Result<Vec<ImageLevelReport>, Error> {
    let labels: Vec<u8> = round.with_lesion().into_iter().map(u8::from).collect();
    let mut reports = Vec::new();
    for score in [Measure::MeanScore, Measure::MaxScore, Measure::TopScore] {
        let of_case = |case: &CaseReport| case.get(score).unwrap_or(0.0) as f32;
        let scores: Vec<f32> = round.cases.iter().map(of_case).collect();
        let auroc = whole_scans(round, score, "auroc", &scores, &labels, RankedScores::auroc)?;
        let precision = RankedScores::average_precision;
        let average_precision = whole_scans(round, score, "ap", &scores, &labels, precision)?;
        let with_lesion = labels.iter().filter(|&&label| label != 0).count();
        if let (Some(auroc), Some(average_precision)) = (auroc, average_precision) {
            // Where all scans are of one kind AP is defined, and says nothing.
            reports.push(ImageLevelReport { score, auroc, average_precision, with_lesion });
        }
    }
    Ok(reports)
}

fn whole_scans(
    round: &SecondRound,
    score: Measure,
    name: &str,
    scores: &[f32],
    labels: &[u8],
    measure: fn(&RankedScores) -> Result<f64, ScoreError>,
) -> Result<Option<Estimate>, Error> {
    let all: Vec<usize> = (0..scores.len()).collect();
    let kind = |case: usize| usize::from(labels[case] != 0);
    estimate_by_kind(round, &format!("whole scans {score} {name}"), &all, kind, |drawn| {
        let (scores, labels): (Vec<f32>, Vec<u8>) =
            drawn.iter().map(|&case| (scores[case], labels[case])).unzip();
        measure(&RankedScores::new(&scores, &labels).ok()?).ok()
    })
}
