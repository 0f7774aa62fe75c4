//! [`Results`]: measures of all finished runs, by row, with intervals and comparisons.

mod markdown;
mod summary;

use disyre::score::BootstrapConfig;
use serde::{Deserialize, Serialize};
use toml::Table;

pub use summary::{Comparison, MeasureResult, Pooled, RowResult, SeedMean};

use crate::store::to_json;
use crate::{CaseHashes, ExperimentError, FinishedModel, Plan, Run, RunMeasures, Store, plots};

/// Results of an experiment so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Heading.
    pub title: String,
    /// What the experiment is to answer.
    pub question: String,
    /// Version of the program.
    pub version: String,
    /// Seeds of each row.
    pub seeds: Vec<u64>,
    /// Settings of the intervals.
    pub bootstrap: BootstrapConfig,
    /// Label of the row that the others are compared with.
    pub reference: String,
    /// Names of the runs that are not finished.
    pub unfinished: Vec<String>,
    /// The rows.
    pub rows: Vec<RowInfo>,
    /// Summaries by test set.
    pub test_sets: Vec<SetResult>,
    /// Number of healthy scans that train or validate; 0 for a finished model.
    pub healthy_scans: usize,
    /// The finished model of all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<FinishedModel>,
    /// Every finished run, by case.
    pub runs: Vec<RunMeasures>,
}

/// A row and the settings that make it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowInfo {
    /// Its label.
    pub label: String,
    /// Settings that differ from the base.
    pub settings: Table,
    /// Settings of the base that are taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
}

/// Summary of a test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetResult {
    /// Name of the set.
    pub name: String,
    /// Its cases.
    pub cases: Vec<CaseInfo>,
    /// Each measure of the file.
    pub measures: Vec<MeasureResult>,
}

/// A case and the hashes of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseInfo {
    /// Its name.
    pub name: String,
    /// SHA-256 of its files.
    pub sha256: CaseHashes,
}

impl Results {
    /// Summarises the finished runs of a plan.
    ///
    /// # Errors
    /// [`ExperimentError::Score`] where an interval cannot be had.
    pub fn new(plan: &Plan, runs: Vec<RunMeasures>) -> Result<Self, ExperimentError> {
        let finished = |run: &&Run| runs.iter().any(|done| done.run == run.name);
        let unfinished = plan.runs.iter().filter(|run| !finished(run));
        let unfinished = unfinished.map(|run| run.name.clone()).collect();
        let bootstrap = BootstrapConfig::default();
        let test_sets = summary::of_sets(plan, &runs, bootstrap)?;
        let rows = plan.rows.iter().map(|row| RowInfo {
            label: row.label.clone(),
            settings: row.settings.clone(),
            unset: row.unset.clone(),
        });
        Ok(Self {
            title: plan.file.title.clone(),
            question: plan.file.question.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seeds: plan.seeds.clone(),
            bootstrap,
            reference: plan.rows[plan.reference].label.clone(),
            unfinished,
            rows: rows.collect(),
            test_sets,
            healthy_scans: plan.data.healthy.len(),
            model: plan.model.clone(),
            runs: runs.into_iter().map(RunMeasures::without_counts).collect(),
        })
    }

    /// Writes `results.json`, `results.md` and the plots into the folder of the experiment.
    ///
    /// # Errors
    /// [`ExperimentError::Io`], [`ExperimentError::Plot`].
    pub fn write(&self, plan: &Plan, store: &Store) -> Result<(), ExperimentError> {
        let plots = plots::draw(self, plan)?;
        for plot in &plots {
            store.write(&plot.path(), plot.svg.as_bytes())?;
        }
        store.write("results.json", to_json(self).as_bytes())?;
        store.write("results.md", self.markdown(&plots).as_bytes())
    }
}
