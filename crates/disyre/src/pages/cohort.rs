//! The table of the detections in a folder.

use std::path::{Path, PathBuf};

use disyre_core::causes;
use disyre_report::{CaseResult, CaseRow, CaseState, CohortPage, Pixels, PngImage};

use super::facts::doubts;
use super::sidecar::{SidecarFile, read_beside};
use super::{page_file, side_word};
use crate::findings::TileKind;
use crate::{Error, Polarity};

/// A case that failed, or whose sidecar is of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CohortCase {
    /// Path of its scan below the folder of the cohort.
    pub case: String,
    /// Why it failed, with all causes.
    pub error: String,
}

impl CohortCase {
    /// Whether a sidecar, of an earlier run, is of this case: the path of its scan ends with that of the case.
    fn is_of(&self, facts: &SidecarFile) -> bool {
        Path::new(&facts.source).ends_with(&self.case)
    }
}

/// The table: cases that failed, and all others that have a sidecar.
pub(super) fn page(folder: &Path, sidecars: &[PathBuf], failed: &[CohortCase]) -> CohortPage {
    let mut rows: Vec<CaseRow> = failed
        .iter()
        .map(|case| CaseRow::new(&case.case, CaseState::Failed { error: case.error.clone() }))
        .collect();
    for sidecar in sidecars {
        let row = match SidecarFile::read(sidecar) {
            Ok(facts) if failed.iter().any(|case| case.is_of(&facts)) => continue,
            Ok(facts) => {
                let state = CaseState::Done(Box::new(result(folder, &facts)));
                CaseRow::new(&facts.name(), state)
            }
            Err(error) => {
                let name = sidecar.file_name().unwrap_or_default().to_string_lossy();
                CaseRow::new(&name, CaseState::Failed { error: with_causes(&error) })
            }
        };
        rows.push(row);
    }
    let title = match rows.len() {
        1 => "1 scan".to_owned(),
        count => format!("{count} scans"),
    };
    CohortPage { title, rows }
}

fn with_causes(error: &Error) -> String {
    let causes = causes(error).map(|cause| format!(": {cause}"));
    error.to_string() + &causes.collect::<String>()
}

fn result(folder: &Path, facts: &SidecarFile) -> CaseResult {
    let file = page_file(&facts.name());
    let page = folder.join(&file).is_file().then_some(file);
    let marked = facts.marked.as_ref();
    let found = marked.map_or(&[][..], |marked| &marked.findings);
    let polarity = |polarity| match polarity {
        Polarity::Hyper => ", brighter",
        Polarity::Hypo => ", darker",
        Polarity::Neither => "",
    };
    let largest =
        found.first().map(|first| format!("{}{}", side_word(first.side), polarity(first.polarity)));
    CaseResult {
        page,
        thumbnail: thumbnail(folder, facts),
        alarm_score: marked.map(|marked| f64::from(marked.alarm.score)),
        p_value: marked.map(|marked| marked.alarm.p_value),
        findings: marked.map(|_| {
            (found.len(), found.iter().map(|finding| finding.volume_mm3).sum::<f64>() + 0.0)
        }),
        largest: largest.unwrap_or_default(),
        warnings: doubts(facts).len(),
    }
}

/// The small tile of the picture beside a sidecar; none where that can't be read.
fn thumbnail(folder: &Path, facts: &SidecarFile) -> Option<PngImage> {
    let tiles = &facts.report.as_ref()?.tiles;
    let tile = tiles.iter().find(|tile| tile.kind == TileKind::Thumbnail)?;
    let bytes = read_beside(folder, facts.outputs.preparation.as_deref()?)?;
    Pixels::decode(&bytes).ok()?.cut(tile.place).encode().ok()
}
