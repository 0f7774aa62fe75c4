//! Anomaly maps measured against lesion masks, one by one and pooled.

mod measure;

use std::path::Path;

use disyre_core::Key;
use disyre_score::protocols::reference;
use disyre_score::{RankedScores, ScoreError, ScorePool};
use disyre_volume::{Scan, read_mask};
use serde::{Deserialize, Serialize};

pub use measure::{Measure, Measures};

use crate::Error;

/// The voxels of one case that count: those inside the brain mask, or all.
#[derive(Debug, Clone)]
pub struct Case {
    /// Name in the report.
    pub name: String,
    /// Anomaly scores.
    pub scores: Vec<f32>,
    /// Non-zero = lesion; as many as scores.
    pub labels: Vec<u8>,
}

impl Case {
    /// Reads the voxels of an anomaly map that count: those inside a brain mask, or all.
    ///
    /// # Errors
    /// [`Error::Volume`] for files that cannot be read, and for a label or mask on another grid than the map, naming
    /// both; [`Error::EmptyMask`].
    pub fn read(
        name: impl Into<String>,
        score: &Path,
        label: &Path,
        mask: Option<&Path>,
    ) -> Result<Self, Error> {
        let map = Scan::read(score)?;
        let label = read_mask(label, &map)?;
        let voxels = map.volume.data.iter().copied().zip(label.iter().copied());
        let (scores, labels): (Vec<f32>, Vec<u8>) = match mask {
            None => voxels.unzip(),
            Some(path) => {
                let mask = read_mask(path, &map)?;
                let inside = voxels.zip(&mask).filter(|(_, inside)| **inside != 0);
                inside.map(|(voxel, _)| voxel).unzip()
            }
        };
        match mask {
            Some(path) if scores.is_empty() => Err(Error::EmptyMask { path: path.to_owned() }),
            _ => Ok(Self { name: name.into(), scores, labels }),
        }
    }
}

/// Protocol of the measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Every voxel, every distinct score as a threshold.
    #[default]
    Exact,
    /// The published one: 10 000 voxels a volume drawn with replacement, 200 thresholds.
    Reference,
}

/// Measures of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Its measures.
    #[serde(flatten)]
    pub measures: Measures,
}

impl CaseReport {
    /// The value of a measure; `None` where it is undefined.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.measures.get(measure)
    }
}

/// Measures of each case and of all voxels together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Protocol that they follow.
    pub protocol: Protocol,
    /// In the order of the cases. Empty under [`Protocol::Reference`], which knows no measures of single cases.
    pub cases: Vec<CaseReport>,
    /// Over the voxels of all cases.
    pub pooled: Measures,
}

/// Measures anomaly maps against lesion masks.
///
/// ```
/// use disyre::{Case, Measure, Protocol, core::Key, evaluate};
///
/// let case = Case { name: "sub-01".into(), scores: vec![0.1, 0.2, 0.9], labels: vec![0, 0, 1] };
/// let report = evaluate(&[case], Protocol::Exact, Key::new(0))?;
/// assert_eq!(report.pooled.get(Measure::Ap), Some(1.0));
/// # Ok::<(), disyre::Error>(())
/// ```
///
/// # Errors
/// [`Error::Case`] naming a case without a lesion voxel, without a healthy voxel, with a score that is not finite, or
/// with more labels than scores.
///
/// # Source
/// AP and ⌈Dice⌉ as in DISYRE v2 (arXiv 2407.06635), section 3; exact by default, see [`Protocol`].
pub fn evaluate(cases: &[Case], protocol: Protocol, key: Key) -> Result<Report, Error> {
    match protocol {
        Protocol::Exact => exact(cases),
        Protocol::Reference => published(cases, key),
    }
}

fn exact(cases: &[Case]) -> Result<Report, Error> {
    let mut pool = ScorePool::default();
    let mut reports = Vec::with_capacity(cases.len());
    for case in cases {
        let of_case = |error: ScoreError| Error::case(&case.name)(error.into());
        pool.add(&case.scores, &case.labels).map_err(of_case)?;
        let ranked = RankedScores::new(&case.scores, &case.labels).map_err(of_case)?;
        let measures = Measures::of(&ranked).map_err(of_case)?;
        reports.push(CaseReport { name: case.name.clone(), measures });
    }
    let pooled = Measures::of(&pool.rank()?)?;
    Ok(Report { protocol: Protocol::Exact, cases: reports, pooled })
}

fn published(cases: &[Case], key: Key) -> Result<Report, Error> {
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for case in cases {
        let of_case = |error: ScoreError| Error::case(&case.name)(error.into());
        let draws = key.child(case.name.as_str());
        let (some_scores, some_labels) = reference::sample_voxels(
            draws,
            &case.scores,
            &case.labels,
            reference::VOXELS_PER_VOLUME,
        )
        .map_err(of_case)?;
        scores.extend(some_scores);
        labels.extend(some_labels);
    }
    let mut pooled = Measures::of(&RankedScores::new(&scores, &labels)?)?;
    let best = reference::best_dice(&scores, &labels)?;
    pooled.values.insert(Measure::BestDice, best.dice);
    pooled.values.insert(Measure::BestDiceThreshold, best.threshold.into());
    Ok(Report { protocol: Protocol::Reference, cases: Vec::new(), pooled })
}

impl Measures {
    fn of(ranked: &RankedScores) -> Result<Self, ScoreError> {
        let best = ranked.best_dice()?;
        let voxels = ranked.positives() + ranked.negatives();
        let values = [
            (Measure::Prevalence, ranked.positives() as f64 / voxels as f64),
            (Measure::Ap, ranked.average_precision()?),
            (Measure::BestDice, best.dice),
            (Measure::BestDiceThreshold, best.threshold.into()),
            (Measure::Auroc, ranked.auroc()?),
        ];
        Ok(Self { voxels, values: values.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, scores: &[f32], labels: &[u8]) -> Case {
        Case { name: name.into(), scores: scores.into(), labels: labels.into() }
    }

    #[test]
    fn cases_are_measured_alone_and_together() {
        // Each case is perfect alone; together the second's lesion (0.3) ranks below the first's background (0.5).
        let cases = [case("a", &[0.5, 0.9], &[0, 1]), case("b", &[0.1, 0.3], &[0, 1])];
        let report = evaluate(&cases, Protocol::Exact, Key::new(0)).unwrap();
        assert_eq!(
            report.cases.iter().map(|c| c.get(Measure::Ap)).collect::<Vec<_>>(),
            [Some(1.0); 2]
        );
        assert!((report.pooled.get(Measure::Ap).unwrap() - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!((report.pooled.get(Measure::Prevalence), report.pooled.voxels), (Some(0.5), 4));
    }

    #[test]
    fn a_case_without_lesion_is_named() {
        let cases = [case("a", &[0.5, 0.9], &[0, 1]), case("sub-07", &[0.1, 0.3], &[0, 0])];
        let error = evaluate(&cases, Protocol::Exact, Key::new(0)).unwrap_err();
        assert!(matches!(error, Error::Case { case, .. } if case == "sub-07"));
    }

    #[test]
    fn the_reference_protocol_depends_on_its_key_alone() {
        let scores: Vec<f32> = (0..2000).map(|i| (i * 37 % 1000) as f32 / 3000.0).collect();
        let labels: Vec<u8> = scores.iter().map(|&s| u8::from(s > 0.25)).collect();
        let cases = [case("a", &scores, &labels)];
        let run = |seed| evaluate(&cases, Protocol::Reference, Key::new(seed)).unwrap();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).pooled, run(2).pooled);
        assert_eq!(run(1).pooled.voxels, 10_000);
    }
}
