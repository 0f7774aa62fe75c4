//! [`CohortPage`]: the table of a cohort, as plain data, and its HTML.

use askama::Template;

use crate::chart::Histogram;
use crate::policy::policy;
use crate::words::volume;
use crate::{PngImage, ReportError, rounded};

const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/cohort.js");

/// Cases with a thumbnail; those beyond have none, so that a page of thousands still opens.
const THUMBNAILS: usize = 500;

/// The page of a cohort.
///
/// Failed cases come first, then those that differ most from healthy ones, see [`render`](Self::render).
#[derive(Debug, Clone)]
pub struct CohortPage {
    /// Title, as the name of the folder.
    pub title: String,
    /// Cases in any order.
    pub rows: Vec<CaseRow>,
}

/// A case of a cohort.
#[derive(Debug, Clone)]
pub struct CaseRow {
    /// Its name.
    pub name: String,
    /// How the work on it ended.
    pub state: CaseState,
}

/// How the work on a case ended.
#[derive(Debug, Clone)]
pub enum CaseState {
    /// It has maps.
    Done(Box<CaseResult>),
    /// It failed.
    Failed {
        /// Why.
        error: String,
    },
}

/// Result of a case.
#[derive(Debug, Clone, Default)]
pub struct CaseResult {
    /// File of its page, beside this one; `None`: it has none.
    pub page: Option<String>,
    /// The slice through the peak of its largest finding, or through its highest score where none is marked.
    pub thumbnail: Option<PngImage>,
    /// Alarm score of the whole scan; `None`: it has none, and other scores can't be compared with those of others.
    pub alarm_score: Option<f64>,
    /// Share of scans, healthy ones and this one, with a score of at least this; `None`: the score is not compared.
    pub p_value: Option<f64>,
    /// Number and volume in mm³ of its findings; `None`: none are marked.
    pub findings: Option<(usize, f64)>,
    /// Side and brightness of the largest finding.
    pub largest: String,
    /// Number of warnings.
    pub warnings: usize,
}

impl CaseRow {
    /// A case.
    pub fn new(name: &str, state: CaseState) -> Self {
        Self { name: name.to_owned(), state }
    }

    fn result(&self) -> Option<&CaseResult> {
        match &self.state {
            CaseState::Done(result) => Some(result),
            CaseState::Failed { .. } => None,
        }
    }
}

impl CohortPage {
    /// The page as HTML. Equal data give equal bytes.
    ///
    /// Failed cases come first, by name; then ascending p-values (those without last), descending alarm scores, names.
    ///
    /// # Errors
    /// [`ReportError::Template`].
    pub fn render(&self) -> Result<String, ReportError> {
        let mut rows: Vec<&CaseRow> = self.rows.iter().collect();
        rows.sort_by(|a, b| {
            let p = |row: &CaseRow| row.result().map_or(-1.0, |r| r.p_value.unwrap_or(2.0));
            let score = |row: &CaseRow| {
                row.result().and_then(|result| result.alarm_score).unwrap_or(f64::NEG_INFINITY)
            };
            let order = p(a).total_cmp(&p(b)).then(score(b).total_cmp(&score(a)));
            order.then_with(|| a.name.cmp(&b.name))
        });
        let results: Vec<&CaseResult> = rows.iter().filter_map(|row| row.result()).collect();
        let failed = rows.len() - results.len();
        let template = CohortTemplate {
            title: &self.title,
            policy: policy(STYLE, SCRIPT),
            style: STYLE,
            script: SCRIPT,
            totals: totals(&results, failed),
            rows: rows
                .iter()
                .enumerate()
                .map(|(index, row)| RowView::of(row, index < THUMBNAILS + failed))
                .collect(),
            charts: charts(&results),
            has_thumbnails: results.iter().any(|result| result.thumbnail.is_some()),
            without_thumbnail: results.len().saturating_sub(THUMBNAILS),
            version: env!("CARGO_PKG_VERSION"),
        };
        Ok(template.render()?)
    }
}

/// Numbers of cases, with their names.
fn totals(results: &[&CaseResult], failed: usize) -> Vec<(&'static str, usize)> {
    let count =
        |test: fn(&CaseResult) -> bool| results.iter().filter(|result| test(result)).count();
    let mut totals = vec![("Scans", results.len() + failed), ("Failed", failed)];
    if results.iter().any(|result| result.findings.is_some()) {
        totals.push((
            "With findings",
            count(|result| result.findings.is_some_and(|found| found.0 > 0)),
        ));
    }
    if results.iter().any(|result| result.p_value.is_some()) {
        totals.push(("p ≤ 0.05", count(|result| result.p_value.is_some_and(|p| p <= 0.05))));
    }
    totals.push(("With warnings", count(|result| result.warnings > 0)));
    totals
}

/// Distributions of scores and p-values.
fn charts(results: &[&CaseResult]) -> Vec<ChartView> {
    let scores: Vec<f64> = results.iter().filter_map(|result| result.alarm_score).collect();
    let p_values: Vec<f64> = results.iter().filter_map(|result| result.p_value).collect();
    let most = scores.iter().copied().fold(0.0, f64::max);
    let mut charts = Vec::new();
    if !scores.is_empty() {
        charts.push(ChartView::of("Alarm score", Histogram::of(scores, (0.0, most), 20)));
    }
    if !p_values.is_empty() {
        let explained = "p-value (of healthy scans about as many in each bar)";
        charts.push(ChartView::of(explained, Histogram::of(p_values, (0.0, 1.0), 20)));
    }
    charts
}

#[derive(Debug)]
struct ChartView {
    name: &'static str,
    path: String,
    ends: [String; 2],
    most: u64,
    text: String,
}

impl ChartView {
    fn of(name: &'static str, histogram: Histogram) -> Self {
        let ends = [histogram.low, histogram.high].map(rounded);
        let counts: Vec<String> = histogram.counts.iter().map(u64::to_string).collect();
        let text = format!(
            "{name}: numbers of scans in {} equal bars from {} to {}: {}",
            counts.len(),
            ends[0],
            ends[1],
            counts.join(", ")
        );
        let most = histogram.counts.iter().copied().max().unwrap_or(0);
        Self { name, path: histogram.path(), ends, most, text }
    }
}

/// A row as the template shows it.
#[derive(Debug)]
struct RowView<'a> {
    name: &'a str,
    failed: bool,
    error: &'a str,
    page: Option<&'a str>,
    thumbnail: Option<String>,
    /// Texts of score, p-value, findings, volume, largest and warnings, each with the value that it is sorted by.
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Cell {
    text: String,
    key: String,
    number: bool,
}

impl<'a> RowView<'a> {
    fn of(row: &'a CaseRow, with_thumbnail: bool) -> Self {
        let empty = Self {
            name: &row.name,
            failed: true,
            error: "",
            page: None,
            thumbnail: None,
            cells: Vec::new(),
        };
        let result = match &row.state {
            CaseState::Failed { error } => return Self { error, ..empty },
            CaseState::Done(result) => result,
        };
        let thumbnail = result.thumbnail.as_ref().filter(|_| with_thumbnail);
        let number = |value: Option<f64>, text: fn(f64) -> String| Cell {
            text: value.map_or("–".to_owned(), text),
            key: value.map_or(String::new(), |value| value.to_string()),
            number: true,
        };
        let cells = vec![
            number(result.alarm_score, rounded),
            number(result.p_value, rounded),
            number(result.findings.map(|found| found.0 as f64), |count| count.to_string()),
            number(result.findings.map(|found| found.1), volume),
            Cell { text: result.largest.clone(), key: result.largest.clone(), number: false },
            number(Some(result.warnings as f64), |count| count.to_string()),
        ];
        Self {
            failed: false,
            page: result.page.as_deref(),
            thumbnail: thumbnail.map(PngImage::data_uri),
            cells,
            ..empty
        }
    }

    /// Address of the page of the case: a name may hold any letter.
    fn address(&self) -> String {
        encoded(self.page.unwrap_or_default())
    }
}

/// A file name as a relative address.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The template `cohort.html` and what it shows.
#[derive(Debug, Template)]
#[template(path = "cohort.html")]
struct CohortTemplate<'a> {
    title: &'a str,
    policy: String,
    style: &'static str,
    script: &'static str,
    totals: Vec<(&'static str, usize)>,
    rows: Vec<RowView<'a>>,
    charts: Vec<ChartView>,
    has_thumbnails: bool,
    without_thumbnail: usize,
    version: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(name: &str, score: f64, p_value: Option<f64>) -> CaseRow {
        let page = Some(format!("{name}_page.html"));
        let alarm_score = p_value.map(|_| score);
        let result = CaseResult { page, alarm_score, p_value, ..CaseResult::default() };
        CaseRow::new(name, CaseState::Done(Box::new(result)))
    }

    #[test]
    fn failures_come_first_then_the_rarest() {
        let failed = CaseRow::new("z", CaseState::Failed { error: "no <brain>".to_owned() });
        let rows = vec![
            done("a", 1.0, Some(0.5)),
            done("b", 9.0, None),
            done("c", 2.0, Some(0.05)),
            failed,
            done("d", 3.0, Some(0.5)),
        ];
        let html = CohortPage { title: "pilot".to_owned(), rows }.render().unwrap();
        let place = |name: &str| html.find(&format!("data-case=\"{name}\"")).unwrap();
        let order = ["z", "c", "d", "a", "b"].map(place);
        assert!(order.is_sorted(), "{order:?}");
        assert!(html.contains("no &#60;brain&#62;") && !html.contains("<brain>"));
        assert!(html.contains("<dd>5</dd>") && html.contains("<dd>1</dd>"));
    }

    #[test]
    fn scans_without_alarm_score_have_no_bar_and_no_number() {
        let render = |rows| CohortPage { title: "pilot".to_owned(), rows }.render().unwrap();
        let html = render(vec![done("a", 4.0, Some(0.5)), done("b", 77.5, None)]);
        assert!(
            html.contains("<figcaption>Alarm score</figcaption>") && html.contains("1 at most")
        );
        assert!(html.contains("data-key=\"4\"") && !html.contains("77.5"), "{html}");
        assert!(!render(vec![done("b", 77.5, None)]).contains("Distribution"));
    }

    #[test]
    fn links_and_names_are_escaped() {
        let rows = vec![done("a\"><script>#?%", 1.0, None)];
        let html = CohortPage { title: "<t>".to_owned(), rows }.render().unwrap();
        assert!(!html.contains("\"><script>#") && !html.contains("<t>"));
        assert!(html.contains("href=\"a%22%3E%3Cscript%3E%23%3F%25_page.html\""));
    }

    #[test]
    fn an_empty_cohort_has_a_page() {
        let html = CohortPage { title: String::new(), rows: Vec::new() }.render().unwrap();
        assert!(html.contains("No scan"));
    }
}
