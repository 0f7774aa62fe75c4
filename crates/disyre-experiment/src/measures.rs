//! Measures of a run, as the store keeps them.

use disyre::CaseReport;
use serde::{Deserialize, Serialize};

use crate::Provenance;

/// One case measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredCase {
    /// Its measures.
    pub report: CaseReport,
    /// Wall-clock time of its map in seconds.
    pub seconds: f64,
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
    /// What the measures depend on.
    pub provenance: Provenance,
    /// Its test sets.
    pub test_sets: Vec<SetMeasures>,
}
