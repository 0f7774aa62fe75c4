//! A report as tables: methods over all cases, one against another, by case, by lesion size, whole scans.

use std::collections::BTreeMap;

use disyre::score::protocols::Protocol;
use disyre::{Estimate, EvaluationReport, Measure, MethodReport, OperatingPoint};

use super::cells::{cell, ml, number, p_value, plain, volume, with_interval};
use super::definitions;
use crate::table::Table;

/// All tables of a report, and the lines below them.
#[derive(Debug)]
pub(super) struct Tables {
    heading: String,
    tables: Vec<Table>,
    notes: Vec<String>,
}

impl Tables {
    pub(super) fn new(report: &EvaluationReport) -> Self {
        let tables = match report.protocol {
            Protocol::Exact => exact(report),
            _ => vec![by_protocol(report)],
        };
        let tables = tables.into_iter().filter(|table| !table.is_empty()).collect();
        let failed = report.failed.iter().map(|failed| {
            let reason: Vec<&str> = failed.reason.lines().map(str::trim).collect();
            format!("failed: {}: {}", failed.file.display(), reason.join(" "))
        });
        let notes = failed.chain(definitions::lines(report)).collect();
        Self { heading: heading(report), tables, notes }
    }

    pub(super) fn text(&self) -> String {
        let tables: Vec<String> = self.tables.iter().map(Table::to_string).collect();
        format!("{}\n\n{}\n{}", self.heading, tables.join("\n"), self.notes.join("\n"))
    }

    pub(super) fn markdown(&self) -> String {
        let tables: Vec<String> = self.tables.iter().map(Table::markdown).collect();
        let notes: String = self.notes.iter().map(|note| format!("- {note}\n")).collect();
        format!("# Evaluation\n\n{}\n\n{}\n{notes}", self.heading, tables.join("\n"))
    }
}

fn heading(report: &EvaluationReport) -> String {
    let healthy: Vec<&str> = report
        .cases
        .iter()
        .filter(|case| case.is_healthy())
        .map(|case| case.name.as_str())
        .collect();
    let ill = report.cases.len() - healthy.len();
    let healthy = match healthy.as_slice() {
        [] => String::new(),
        names => format!(
            ", {} healthy (no lesion voxel: false positives and whole scans only): {}",
            names.len(),
            names.join(", ")
        ),
    };
    let failed = match report.failed.len() {
        0 => String::new(),
        failed => format!("; {failed} failed, listed below, and count nowhere"),
    };
    format!("{ill} cases with lesions{healthy}; protocol {}{failed}", report.protocol)
}

fn exact(report: &EvaluationReport) -> Vec<Table> {
    let mut tables = vec![
        summary(report),
        at_point(report, OperatingPoint::OtherCases),
        at_point(report, OperatingPoint::Given),
        comparisons(report),
        precision_by_case(report),
    ];
    tables.extend(report.methods.first().map(details_by_case));
    tables.extend([by_size(report), froc(report), whole_scans(report)]);
    tables
}

/// Methods that were measured get cells, the others their reason.
fn add_row(table: &mut Table, method: &MethodReport, cells: impl FnOnce() -> Vec<String>) {
    let cells = match &method.not_measured {
        Some(reason) => vec![reason.clone()],
        None => cells(),
    };
    table.add(std::iter::once(method.name.clone()).chain(cells));
}

/// Heading, measure, and whether it is pooled.
const SUMMARY: [(&str, Measure, bool); 6] = [
    ("AP pooled", Measure::Ap, true),
    ("AP", Measure::Ap, false),
    ("⌈Dice⌉", Measure::BestDice, false),
    ("Dice at others' threshold", Measure::OthersDice, false),
    ("AUROC", Measure::Auroc, false),
    ("PRO", Measure::Pro, false),
];

fn summary(report: &EvaluationReport) -> Table {
    let title = format!(
        "methods; per volume unless pooled, with intervals over subjects ({})",
        prevalence(report).unwrap_or_default()
    );
    let heads = std::iter::once("method").chain(SUMMARY.map(|(head, ..)| head));
    let mut table = Table::new(title, heads);
    for method in &report.methods {
        add_row(&mut table, method, || {
            let value = |(_, measure, pooled)| match pooled {
                true => with_interval(method.pooled.get(&measure)),
                false => per_volume(report, method, measure),
            };
            SUMMARY.map(value).to_vec()
        });
    }
    table
}

fn prevalence(report: &EvaluationReport) -> Option<String> {
    report.methods.iter().find_map(|method| {
        let [pooled, mean] =
            [&method.pooled, &method.per_volume].map(|found| found.get(&Measure::Prevalence));
        let (pooled, mean) = (plain(pooled?), plain(mean?));
        Some(format!("AP of a random score: {pooled} pooled, {mean} per volume"))
    })
}

/// A mean over cases, with their number where fewer have the measure than have a lesion.
fn per_volume(report: &EvaluationReport, method: &MethodReport, measure: Measure) -> String {
    let estimate = method.per_volume.get(&measure);
    let text = with_interval(estimate);
    let ill = report.cases.iter().filter(|case| !case.is_healthy()).count();
    match estimate {
        Some(found) if found.cases < ill => format!("{text} ({} of {ill})", found.cases),
        _ => text,
    }
}

/// Measures of the table of an operating point.
pub(super) const AT_OTHERS: [Measure; 6] = [
    Measure::OthersPrecision,
    Measure::OthersRecall,
    Measure::OthersHausdorff95,
    Measure::OthersVolumeError,
    Measure::OthersLesionRecall,
    Measure::OthersFalsePositives,
];
const AT_GIVEN: [Measure; 7] = [
    Measure::GivenDice,
    Measure::GivenPrecision,
    Measure::GivenRecall,
    Measure::GivenHausdorff95,
    Measure::GivenVolumeError,
    Measure::GivenLesionRecall,
    Measure::GivenFalsePositives,
];

const HEADS: [&str; 7] = [
    "Dice",
    "precision",
    "recall",
    "HD95 mm",
    "volume error ml",
    "lesion recall",
    "false positives",
];

/// Measures at one operating point; empty where none was taken.
fn at_point(report: &EvaluationReport, point: OperatingPoint) -> Table {
    let (title, heads, measures) = match point {
        OperatingPoint::OtherCases => {
            ("at the threshold of the other cases, per volume", &HEADS[1..], &AT_OTHERS[..])
        }
        OperatingPoint::Given => (
            "at the given threshold, per volume (methods differ in scale)",
            &HEADS[..],
            &AT_GIVEN[..],
        ),
    };
    let mut table = Table::new(title, ["method"].iter().chain(heads).copied());
    // Each method that was measured has the point, or none has.
    let taken = report.methods.iter().any(|method| method.case_lesions.contains_key(&point));
    for method in report.methods.iter().filter(|_| taken) {
        add_row(&mut table, method, || {
            measures.iter().map(|&measure| per_volume(report, method, measure)).collect()
        });
    }
    table
}

fn comparisons(report: &EvaluationReport) -> Table {
    let heads =
        ["difference of", "measure", "mean over subjects", "wins : losses", "p", "p (Holm)"];
    let mut table = Table::new("methods against each other, on the same cases", heads);
    for comparison in &report.comparisons {
        let paired = &comparison.paired;
        let difference = Estimate {
            value: paired.difference.value,
            low: Some(paired.difference.low),
            high: Some(paired.difference.high),
            cases: paired.cases,
        };
        table.add([
            format!("{} − {}", comparison.a, comparison.b),
            comparison.measure.heading().to_owned(),
            with_interval(Some(&difference)),
            format!("{} : {}", paired.wins, paired.losses),
            p_value(paired.p),
            p_value(comparison.p_holm),
        ]);
    }
    let first = report.methods.first().map_or("", |method| method.name.as_str());
    for method in &report.methods {
        if let Some(reason) = &method.not_measured {
            table.add([format!("{first} − {}", method.name), reason.clone()]);
        }
    }
    table
}

/// AP of every method, case by case.
fn precision_by_case(report: &EvaluationReport) -> Table {
    let heads = ["case", "lesions", "ml", "prevalence"].map(str::to_owned);
    let heads = heads.into_iter().chain(report.methods.iter().map(|method| method.name.clone()));
    let mut table = Table::new("AP by case", heads);
    for (index, case) in report.cases.iter().enumerate() {
        let of = |method: &MethodReport, measure| cell(method.cases.get(index)?.get(measure));
        let prevalence = report.methods.iter().find_map(|method| of(method, Measure::Prevalence));
        let facts = [case.name.clone(), case.lesions.to_string(), ml(case)];
        let precision = |method: &MethodReport| match method.not_measured {
            Some(_) => "not measured".to_owned(),
            None => of(method, Measure::Ap).unwrap_or_else(|| "-".to_owned()),
        };
        let precisions = report.methods.iter().map(precision);
        let cells = std::iter::once(prevalence.unwrap_or_default()).chain(precisions);
        table.add(facts.into_iter().chain(cells));
    }
    table
}

/// The other measures of the first method, case by case.
fn details_by_case(method: &MethodReport) -> Table {
    let columns = [
        ("⌈Dice⌉", Measure::BestDice),
        ("AUROC", Measure::Auroc),
        ("PRO", Measure::Pro),
        ("threshold", Measure::OthersThreshold),
        ("Dice", Measure::OthersDice),
        ("precision", Measure::OthersPrecision),
        ("recall", Measure::OthersRecall),
        ("HD95 mm", Measure::OthersHausdorff95),
        ("vol. error ml", Measure::OthersVolumeError),
        ("lesion recall", Measure::OthersLesionRecall),
        ("false pos.", Measure::OthersFalsePositives),
    ];
    let title =
        format!("{} by case; from threshold on at the threshold of the other cases", method.name);
    let heads = std::iter::once("case").chain(columns.map(|(head, _)| head));
    let mut table = Table::new(title, heads);
    for case in &method.cases {
        let value = |(_, measure)| cell(case.get(measure)).unwrap_or_else(|| "-".to_owned());
        table.add(std::iter::once(case.name.clone()).chain(columns.map(value)));
    }
    table
}

/// Lesion-wise recall by the size of the lesion, at the threshold of the other cases.
fn by_size(report: &EvaluationReport) -> Table {
    let counts = |method: &MethodReport| method.lesions.get(&OperatingPoint::OtherCases).cloned();
    let Some(bins) = report.methods.iter().find_map(counts) else { return Table::default() };
    let head = |bin: &disyre::score::regions::SizeBinCount| {
        let from = if bin.from_mm3 > 0.0 {
            format!("{} to ", volume(bin.from_mm3))
        } else {
            "below ".into()
        };
        match bin.to_mm3 {
            Some(to) => format!("{from}{}", volume(to)),
            None => format!("from {}", volume(bin.from_mm3)),
        }
    };
    let title = "lesions detected by size, at the threshold of the other cases (26-connected lesions of all cases)";
    let heads = std::iter::once("method".to_owned()).chain(bins.by_size.iter().map(head));
    let mut table = Table::new(title, heads);
    for method in &report.methods {
        add_row(&mut table, method, || {
            let by_size = counts(method).map(|counts| counts.by_size).unwrap_or_default();
            let cell = |bin: &disyre::score::regions::SizeBinCount| match bin.recall() {
                Some(recall) => format!("{} ({} of {})", number(recall), bin.detected, bin.lesions),
                None => "-".to_owned(),
            };
            by_size.iter().map(cell).collect()
        });
    }
    table
}

fn froc(report: &EvaluationReport) -> Table {
    let Some(rates) =
        report.methods.iter().find_map(|method| Some(method.froc.as_ref()?.rates.clone()))
    else {
        return Table::default();
    };
    let heads = ["method".to_owned(), "mean".to_owned()];
    let heads = heads.into_iter().chain(rates.iter().map(|rate| format!("{rate}")));
    let title = "FROC: share of the lesions detected at a mean number of false positives per scan";
    let mut table = Table::new(title, heads);
    for method in &report.methods {
        add_row(&mut table, method, || {
            let Some(froc) = &method.froc else { return Vec::new() };
            std::iter::once(froc.mean).chain(froc.sensitivities.clone()).map(number).collect()
        });
    }
    table
}

fn whole_scans(report: &EvaluationReport) -> Table {
    let first = report.methods.iter().flat_map(|method| &method.image_level).next();
    let share = first.map_or(0.0, |found| found.with_lesion as f64 / report.cases.len() as f64);
    let title =
        format!("whole scans, lesion against healthy (AP of a random score: {})", number(share));
    let mut table = Table::new(title, ["method", "score of a scan", "AUROC", "AP"]);
    for method in report.methods.iter().filter(|_| first.is_some()) {
        if method.not_measured.is_some() {
            add_row(&mut table, method, Vec::new);
        }
        for found in &method.image_level {
            let [auroc, ap] =
                [&found.auroc, &found.average_precision].map(|e| with_interval(Some(e)));
            table.add([method.name.clone(), found.score.heading().to_owned(), auroc, ap]);
        }
    }
    table
}

/// Values of a protocol: a row for each, a column for each method.
fn by_protocol(report: &EvaluationReport) -> Table {
    let heads = std::iter::once("value").chain(report.methods.iter().map(|m| m.name.as_str()));
    let mut table = Table::new(format!("values by the protocol {}", report.protocol), heads);
    let mut rows: BTreeMap<usize, (String, Vec<String>)> = BTreeMap::new();
    for method in &report.methods {
        let values = method.protocol.iter().flat_map(|protocol| &protocol.values);
        for (place, value) in values.enumerate() {
            let row = rows.entry(place).or_insert_with(|| (value.name.clone(), Vec::new()));
            row.1.push(cell(value.value).unwrap_or_else(|| "-".to_owned()));
        }
    }
    for (_, (name, cells)) in rows {
        let mut cells = cells.into_iter();
        let cell = |method: &MethodReport| match method.not_measured {
            Some(_) => "not measured".to_owned(),
            None => cells.next().unwrap_or_default(),
        };
        table.add(std::iter::once(name).chain(report.methods.iter().map(cell)));
    }
    table
}
