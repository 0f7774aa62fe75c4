//! Measures of a run, as the store keeps them.

use disyre::score::{Averaging, LeftOut, ScoreHistogram, ScoreHistogramConfig};
use disyre::{CaseReport, Measure};
use serde::{Deserialize, Serialize};

use crate::{ExperimentError, Provenance};

/// Bins of the counts that pooled measures are made of: 2⁻⁷ of their score wide.
///
/// # Source
/// Ours: a tenth of a megabyte a case, and bounds of a few thousandths.
pub(crate) const BINS: ScoreHistogramConfig = ScoreHistogramConfig { bits: 16 };

/// Measures that an experiment takes of a case.
pub(crate) const TAKEN: [Measure; 13] = [
    Measure::Prevalence,
    Measure::Ap,
    Measure::BestDice,
    Measure::BestDiceThreshold,
    Measure::Auroc,
    Measure::Pro,
    Measure::MeanScore,
    Measure::MaxScore,
    Measure::TopScore,
    Measure::OthersThreshold,
    Measure::OthersDice,
    Measure::OthersPrecision,
    Measure::OthersRecall,
];

/// One case measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredCase {
    /// Its measures.
    pub report: CaseReport,
    /// Wall-clock time of its map in seconds.
    pub seconds: f64,
    /// Its voxels by score, for pooled measures; results leave them to the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<ScoreHistogram>,
}

/// Cases of one test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMeasures {
    /// Name of the set.
    pub name: String,
    /// Its cases, in the order of their list.
    pub cases: Vec<MeasuredCase>,
}

impl SetMeasures {
    /// The cases of a set, each at the threshold whose mean Dice over the other cases is best too, as `disyre evaluate`
    /// takes it.
    ///
    /// # Errors
    /// [`ExperimentError::Score`] for counts that cannot be joined.
    pub fn new(name: &str, mut cases: Vec<MeasuredCase>) -> Result<Self, ExperimentError> {
        let mut all = BINS.build()?;
        for counts in cases.iter().filter_map(|case| case.counts.as_ref()) {
            all.append(counts)?;
        }
        if all.cases() == cases.len() {
            let left_out = all.thresholds_of_others(Averaging::PerVolume);
            for (case, left_out) in cases.iter_mut().zip(left_out) {
                let values = left_out.iter().flat_map(of_others);
                case.report.measures.values.extend(values);
            }
        }
        Ok(Self { name: name.to_owned(), cases })
    }
}

/// Measures of a case at the threshold of the others; Dice and precision of a healthy case are undefined.
fn of_others(left_out: &LeftOut) -> impl Iterator<Item = (Measure, f64)> {
    let LeftOut { of_others, counts } = left_out;
    let lesion = counts.true_positives + counts.false_negatives > 0;
    let values = [
        (Measure::OthersThreshold, Some(f64::from(of_others.threshold))),
        (Measure::OthersDice, counts.dice().filter(|_| lesion)),
        (Measure::OthersPrecision, counts.precision().filter(|_| lesion)),
        (Measure::OthersRecall, counts.recall()),
    ];
    values.into_iter().filter_map(|(measure, value)| Some((measure, value?)))
}

impl RunMeasures {
    /// The same without the voxels by score.
    #[must_use]
    pub fn without_counts(mut self) -> Self {
        let cases = self.test_sets.iter_mut().flat_map(|set| &mut set.cases);
        cases.for_each(|case| case.counts = None);
        self
    }
}

/// All measures of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunMeasures {
    /// Name of the run.
    pub run: String,
    /// Label of its row.
    pub row: String,
    /// Its seed.
    pub seed: u64,
    /// Name of its model among those of the experiment; `None`: the finished model.
    pub model: Option<String>,
    /// All that the measures depend on.
    pub provenance: Provenance,
    /// Its test sets.
    pub test_sets: Vec<SetMeasures>,
}
