//! A report as CSV in the long form: one value a line.

use disyre::{Estimate, EvaluationReport, MethodReport, OperatingPoint};

use crate::error::CliError;

/// Columns of a line; empty where they do not apply.
type Line = [String; 8];

const HEAD: [&str; 8] = ["method", "averaging", "case", "measure", "value", "low", "high", "cases"];

/// The report's values. `averaging` is `case`, `pooled`, `per_volume`, `image_level`, `lesion_size`, `froc` or `protocol`.
///
/// # Errors
/// [`CliError::File`]: none but of memory.
pub(super) fn csv(report: &EvaluationReport) -> Result<Vec<u8>, CliError> {
    let fail = |error: csv::Error| CliError::File {
        action: "write",
        path: "evaluation.csv".into(),
        source: error.into(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEAD).map_err(fail)?;
    for line in report.methods.iter().flat_map(lines) {
        writer.write_record(&line).map_err(fail)?;
    }
    writer.into_inner().map_err(|error| fail(error.into_error().into()))
}

fn lines(method: &MethodReport) -> Vec<Line> {
    let line = |averaging: &str, case: &str, measure: &str, rest: [String; 4]| {
        let [method, averaging, case, measure] =
            [&method.name, averaging, case, measure].map(str::to_owned);
        let [value, low, high, cases] = rest;
        [method, averaging, case, measure, value, low, high, cases]
    };
    let alone = |value: f64| [value.to_string(), String::new(), String::new(), String::new()];
    let by_case = method.cases.iter().flat_map(|case| {
        let values = case.measures.values.iter();
        values.map(|(measure, &value)| line("case", &case.name, measure.name(), alone(value)))
    });
    let over_cases = over_cases(method).into_iter().map(|(averaging, measure, estimate)| {
        let [low, high] = [estimate.low, estimate.high]
            .map(|end| end.map_or_else(String::new, |end| end.to_string()));
        let rest = [estimate.value.to_string(), low, high, estimate.cases.to_string()];
        line(averaging, "", &measure, rest)
    });
    let others = without_interval(method).into_iter();
    let others = others.map(|(kind, measure, value)| line(kind, "", &measure, alone(value)));
    by_case.chain(over_cases).chain(others).collect()
}

/// Averaging, measure and value over all cases.
fn over_cases(method: &MethodReport) -> Vec<(&'static str, String, Estimate)> {
    let averaged = [("pooled", &method.pooled), ("per_volume", &method.per_volume)];
    let averaged = averaged.into_iter().flat_map(|(averaging, estimates)| {
        estimates.iter().map(move |(measure, &found)| (averaging, measure.name().to_owned(), found))
    });
    let whole_scans = method.image_level.iter().flat_map(|found| {
        let by = found.score;
        [
            ("image_level", format!("auroc_by_{by}"), found.auroc),
            ("image_level", format!("ap_by_{by}"), found.average_precision),
        ]
    });
    averaged.chain(whole_scans).collect()
}

/// Kind, measure and value of what has no interval.
fn without_interval(method: &MethodReport) -> Vec<(&'static str, String, f64)> {
    let mut values = Vec::new();
    for (point, counts) in &method.lesions {
        let point = match point {
            OperatingPoint::OtherCases => "others",
            OperatingPoint::Given => "given",
        };
        for bin in &counts.by_size {
            let end = bin.to_mm3.map_or("up".to_owned(), |end| end.to_string());
            let measure = format!("{point}_lesion_recall_{}_{end}_mm3", bin.from_mm3);
            values.extend(bin.recall().map(|recall| ("lesion_size", measure, recall)));
        }
    }
    if let Some(froc) = &method.froc {
        let rates = froc.rates.iter().zip(&froc.sensitivities);
        let rates =
            rates.map(|(rate, &value)| ("froc", format!("sensitivity_at_{rate}_fp"), value));
        values.extend(rates.chain([("froc", "mean_sensitivity".to_owned(), froc.mean)]));
    }
    for value in method.protocol.iter().flat_map(|protocol| &protocol.values) {
        values.extend(value.value.map(|number| ("protocol", value.name.clone(), number)));
    }
    values
}
