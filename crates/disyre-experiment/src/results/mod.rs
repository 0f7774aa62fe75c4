//! [`Results`]: measures of all finished runs, by row, with intervals and comparisons.

mod markdown;
mod summary;

use std::collections::BTreeMap;

use disyre::score::BootstrapConfig;
use serde::{Deserialize, Serialize};
use toml::Table;

pub use summary::{Comparison, MeasureResult, OverCases, Pooled, RowResult, SeedMean};

use crate::store::to_json;
use crate::{
    CaseHashes, ExperimentError, FinishedModel, Plan, Program, Row, Run, RunMeasures, Store, plots,
};

/// Results of an experiment so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Heading.
    pub title: String,
    /// The question that the experiment is to answer.
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
    /// Those of them that failed in the last call, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedRun>,
    /// The rows.
    pub rows: Vec<RowInfo>,
    /// Summaries by test set.
    pub test_sets: Vec<SetResult>,
    /// Number of healthy scans that train or validate; 0 for a finished model.
    pub healthy_scans: usize,
    /// The finished model of all rows that have none of their own.
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
    /// Names of the healthy folders that it trains on; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub healthy: Vec<String>,
    /// Its own finished model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<FinishedModel>,
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedRun {
    /// Its name.
    pub run: String,
    /// The error and its causes.
    pub reason: String,
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
    /// Whose scan it is; `None`: its name is that of a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// SHA-256 of its files.
    pub sha256: CaseHashes,
}

impl Results {
    /// Summarises the finished runs of a plan, and names those that failed.
    ///
    /// # Errors
    /// [`ExperimentError::Score`] where an interval cannot be had.
    pub fn new(
        plan: &Plan,
        runs: Vec<RunMeasures>,
        failed: Vec<FailedRun>,
    ) -> Result<Self, ExperimentError> {
        let finished = |run: &&Run| runs.iter().any(|done| done.run == run.name);
        let unfinished = plan.runs.iter().filter(|run| !finished(run));
        let unfinished = unfinished.map(|run| run.name.clone()).collect();
        let bootstrap = BootstrapConfig::default();
        let test_sets = summary::of_sets(plan, &runs, bootstrap)?;
        Ok(Self {
            title: plan.file.title.clone(),
            question: plan.file.question.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seeds: plan.seeds.clone(),
            bootstrap,
            reference: plan.rows[plan.reference].label.clone(),
            unfinished,
            failed,
            rows: RowInfo::of_rows(plan),
            test_sets,
            healthy_scans: plan.data.healthy.iter().map(|folder| folder.scans.len()).sum(),
            model: plan.model.clone(),
            runs: runs.into_iter().map(RunMeasures::without_counts).collect(),
        })
    }

    /// Writes `results.json`, `results.md` and the plots into the folder of the experiment, and removes plots that are no
    /// longer there. Returns the errors of plots that could not be drawn; all else is written then too.
    ///
    /// # Errors
    /// [`ExperimentError::Io`], [`ExperimentError::Serialize`].
    pub fn write(
        &self,
        plan: &Plan,
        store: &Store,
    ) -> Result<Vec<ExperimentError>, ExperimentError> {
        let (plots, not_drawn) = plots::draw(self, plan);
        for plot in &plots {
            store.write(&plot.path(), plot.svg.as_bytes())?;
        }
        let names: Vec<String> = plots.iter().map(|plot| format!("{}.svg", plot.name)).collect();
        store.keep_only("plots", "svg", &names)?;
        store.write("results.json", to_json(self)?.as_bytes())?;
        store.write("results.md", self.markdown(&plots).as_bytes())?;
        Ok(not_drawn)
    }

    /// The runs that each program worked on, programs in order; a run may have several.
    pub(crate) fn programs(&self) -> BTreeMap<Program, Vec<&str>> {
        let mut all: BTreeMap<Program, Vec<&str>> = BTreeMap::new();
        for run in &self.runs {
            let unknown = [Program::unknown()];
            let programs = match &run.provenance.programs[..] {
                [] => &unknown[..],
                programs => programs,
            };
            for program in programs {
                all.entry(program.clone()).or_default().push(&run.run);
            }
        }
        all
    }
}

impl RowInfo {
    fn of_rows(plan: &Plan) -> Vec<Self> {
        let of = |(row, model): (&Row, &Option<FinishedModel>)| Self {
            label: row.label.clone(),
            settings: row.settings.clone(),
            unset: row.unset.clone(),
            healthy: row.healthy.clone(),
            model: model.clone(),
        };
        plan.rows.iter().zip(&plan.row_models).map(of).collect()
    }
}
