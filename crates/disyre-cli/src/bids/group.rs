//! The table of a whole dataset: a row for each scan, and for each subject that has none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use disyre::DetectionFiles;
use disyre::core::sha256_of_bytes;
use disyre::volume::{ScanName, path_text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dataset::{BidsDataset, BidsSession, BidsSubject};
use super::{manifest_file, maps_folder};
use crate::error::{CliError, with_causes};
use crate::manifest::{CaseRecord, CaseState, last_records};
use crate::output_files::write_whole;

/// How far the work on a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum RowState {
    Done,
    Failed,
    /// Nothing is recorded of it.
    Missing,
    /// The subject, or a session of it, has no scan of the suffix.
    NoScan,
}

/// A row; cells that nothing is known of stay empty.
#[derive(Debug, Clone, Serialize)]
struct Row {
    subject: String,
    session: Option<String>,
    run: Option<String>,
    /// Path below the dataset.
    scan: Option<String>,
    state: RowState,
    error: Option<String>,
    score: Option<String>,
    findings: Option<usize>,
    findings_mm3: Option<f64>,
    largest_mm3: Option<f64>,
    alarm_score: Option<f64>,
    p_value: Option<f64>,
    registration: Option<String>,
    brain_ml: Option<f64>,
    version: Option<String>,
    weights_sha256: Option<String>,
}

/// Facts that the table takes from the sidecar of a map.
#[derive(Debug, Deserialize)]
struct SidecarFacts {
    version: String,
    model: ModelFacts,
    score: String,
    marked: Option<MarkedFacts>,
    registration: Option<RegistrationFacts>,
    brain_ml: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct ModelFacts {
    weights_sha256: String,
}

#[derive(Debug, Deserialize)]
struct MarkedFacts {
    alarm: AlarmFacts,
    findings: Vec<FindingFacts>,
}

#[derive(Debug, Deserialize)]
struct AlarmFacts {
    score: f64,
    p_value: f64,
}

#[derive(Debug, Deserialize)]
struct FindingFacts {
    volume_mm3: f64,
}

#[derive(Debug, Deserialize)]
struct RegistrationFacts {
    verdict: Value,
}

/// Writes the table of all subjects into the folder of a derivative: `group_SUFFIX.csv`, or `group_ses-A+B_SUFFIX.csv` where
/// the subjects are without all `sessions` but these, so that a table of some does not take the place of that of all.
///
/// # Errors
/// [`CliError::Group`] naming scans that failed or that nobody mapped, once the table is written; [`CliError::File`].
pub(crate) fn write_group(
    dataset: &BidsDataset,
    derivative: &Path,
    subjects: &[BidsSubject],
    (sessions, suffix): (&[String], &str),
) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for subject in subjects {
        if subject.sessions.is_empty() {
            rows.push(Row::of_subject(&subject.label));
        }
        let of_session = |session| session_rows(dataset, derivative, session, suffix);
        rows.extend(subject.sessions.iter().flat_map(of_session));
    }
    let path = derivative.join(table_file(&rows, sessions, suffix));
    write_whole(&path, &csv(&rows, &path)?)?;
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    print_line!(
        "{}: {} scans done, {} failed, {} missing; {} subjects or sessions without a scan",
        path.display(),
        count(RowState::Done),
        count(RowState::Failed),
        count(RowState::Missing),
        count(RowState::NoScan)
    );
    let made_by = |row: &Row| Some((row.version.clone()?, row.weights_sha256.clone()?));
    if rows.iter().filter_map(made_by).collect::<BTreeSet<_>>().len() > 1 {
        note!("warning: versions or models differ between the scans; see the last columns");
    }
    let (failed, missing) = (count(RowState::Failed), count(RowState::Missing));
    match failed + missing {
        0 => Ok(()),
        _ => Err(CliError::Group { table: path, failed, missing, list: list(&rows) }),
    }
}

/// Name of the table. Sessions that no subject has are not part of it.
fn table_file(rows: &[Row], sessions: &[String], suffix: &str) -> String {
    let there = rows.iter().filter_map(|row| row.session.as_deref()).collect::<BTreeSet<_>>();
    let chosen: Vec<&str> =
        there.into_iter().filter(|label| sessions.iter().any(|asked| asked == label)).collect();
    match chosen.is_empty() {
        true => format!("group_{suffix}.csv"),
        false => format!("group_ses-{}_{suffix}.csv", chosen.join("+")),
    }
}

/// The rows of a session.
fn session_rows(
    dataset: &BidsDataset,
    derivative: &Path,
    session: &BidsSession,
    suffix: &str,
) -> Vec<Row> {
    let row = Row { session: session.session.clone(), ..Row::of_subject(&session.subject) };
    if let Some(error) = &session.unlisted {
        return vec![row.failed(&with_causes(error))];
    }
    if session.scans.is_empty() {
        return vec![row];
    }
    let folder = derivative.join(session.folder());
    let records = last_records(&folder.join(manifest_file(suffix)));
    let row = |scan: &PathBuf| {
        let name = path_text(scan.strip_prefix(&dataset.folder).unwrap_or(scan));
        let row = Row {
            run: ScanName::of(scan).entity("run").map(str::to_owned),
            scan: Some(name.clone()),
            state: RowState::Missing,
            ..row.clone()
        };
        match &records {
            Ok(records) => row.of_scan(scan, records.get(&name), &maps_folder(&folder)),
            Err(error) => row.failed(&with_causes(error)),
        }
    };
    session.scans.iter().map(row).collect()
}

impl Row {
    fn of_subject(label: &str) -> Self {
        Self {
            subject: label.to_owned(),
            session: None,
            run: None,
            scan: None,
            state: RowState::NoScan,
            error: None,
            score: None,
            findings: None,
            findings_mm3: None,
            largest_mm3: None,
            alarm_score: None,
            p_value: None,
            registration: None,
            brain_ml: None,
            version: None,
            weights_sha256: None,
        }
    }

    /// This row with what is recorded of its scan, whose outputs are in the folder `maps`.
    fn of_scan(self, scan: &Path, record: Option<&CaseRecord>, maps: &Path) -> Self {
        let Some(record) = record else { return self };
        let facts = match record.state {
            CaseState::Failed => Err(record.error.clone().unwrap_or_default()),
            CaseState::Done => ensure_outputs(maps, record)
                .and_then(|()| facts_of(&DetectionFiles::of(scan, maps).sidecar, record)),
        };
        match facts {
            Ok(facts) => self.with(&facts),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(self, error: &str) -> Self {
        let lines = error.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        Self { state: RowState::Failed, error: Some(lines), ..self }
    }

    /// Path of the scan, or of the folder that has none.
    fn place(&self) -> String {
        let session = self.session.as_ref().map(|label| format!("/ses-{label}"));
        let folder = || format!("sub-{}{}", self.subject, session.unwrap_or_default());
        self.scan.clone().unwrap_or_else(folder)
    }

    fn with(self, facts: &SidecarFacts) -> Self {
        let volumes = facts.marked.as_ref().map(|marked| {
            marked.findings.iter().map(|finding| finding.volume_mm3).collect::<Vec<f64>>()
        });
        let alarm = facts.marked.as_ref().map(|marked| &marked.alarm);
        Self {
            state: RowState::Done,
            score: Some(facts.score.clone()),
            findings: volumes.as_ref().map(Vec::len),
            // The sum of nothing is -0.
            findings_mm3: volumes.as_ref().map(|all| thousandths(all.iter().sum::<f64>() + 0.0)),
            largest_mm3: volumes.map(|all| thousandths(all.into_iter().fold(0.0, f64::max))),
            alarm_score: alarm.map(|alarm| alarm.score),
            p_value: alarm.map(|alarm| alarm.p_value),
            registration: facts.registration.as_ref().map(|found| in_words(&found.verdict)),
            brain_ml: facts.brain_ml.map(thousandths),
            version: Some(facts.version.clone()),
            weights_sha256: Some(facts.model.weights_sha256.clone()),
            ..self
        }
    }
}

/// A volume for people to read.
fn thousandths(volume: f64) -> f64 {
    (volume * 1000.0).round() / 1000.0
}

/// Advice for results that are not as they were recorded.
const AGAIN: &str = "map the subject again with --continue";

/// Checks that all outputs that were recorded are there. A link counts whose file another store has.
fn ensure_outputs(maps: &Path, record: &CaseRecord) -> Result<(), String> {
    let gone = |name: &&String| fs::symlink_metadata(maps.join(name)).is_err();
    match record.outputs.keys().find(gone) {
        Some(name) => Err(format!("{} is gone; {AGAIN}", maps.join(name).display())),
        None => Ok(()),
    }
}

/// The facts of a sidecar that is as it was recorded.
fn facts_of(sidecar: &Path, record: &CaseRecord) -> Result<SidecarFacts, String> {
    let text = fs::read(sidecar)
        .map_err(|error| format!("cannot read {}: {error}; {AGAIN}", sidecar.display()))?;
    let name = path_text(sidecar.file_name().unwrap_or_default().as_ref());
    if record.outputs.get(&name) != Some(&sha256_of_bytes(&text)) {
        return Err(format!("{} is not the file that was recorded; {AGAIN}", sidecar.display()));
    }
    serde_json::from_slice(&text)
        .map_err(|error| format!("{} is no sidecar: {error}; {AGAIN}", sidecar.display()))
}

/// `good`, or `doubtful` with its reasons.
fn in_words(verdict: &Value) -> String {
    let reasons = verdict["doubtful"]["reasons"].as_array();
    let Some(reasons) = reasons else { return verdict.as_str().unwrap_or_default().to_owned() };
    let name = |reason: &Value| match reason {
        Value::Object(named) => named.keys().next().cloned().unwrap_or_default(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    format!("doubtful: {}", reasons.iter().map(name).collect::<Vec<_>>().join(" "))
}

fn csv(rows: &[Row], path: &Path) -> Result<Vec<u8>, CliError> {
    let fail = |source: csv::Error| CliError::file("write", path)(source.into());
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(fail)?;
    writer.into_inner().map_err(|error| CliError::file("write", path)(error.into_error()))
}

/// The rows that are neither done nor without a scan, a line each; the table has all.
fn list(rows: &[Row]) -> String {
    const MOST: usize = 20;
    let open = |row: &&Row| matches!(row.state, RowState::Failed | RowState::Missing);
    let line = |row: &Row| {
        let reason =
            row.error.as_deref().unwrap_or("nothing is recorded: not mapped yet, or stopped");
        format!("\n- {}: {reason}", row.place())
    };
    let lines: String = rows.iter().filter(open).take(MOST).map(line).collect();
    match rows.iter().filter(open).count().saturating_sub(MOST) {
        0 => lines,
        more => format!("{lines}\n- and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_doubtful_registration_says_why() {
        assert_eq!(in_words(&json!("good")), "good");
        let verdict = json!({"doubtful": {"reasons": [{"other_tissue": {"nats": 0.0}}, "far"]}});
        assert_eq!(in_words(&verdict), "doubtful: other_tissue far");
    }
}
