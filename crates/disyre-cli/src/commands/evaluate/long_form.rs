//! A report as CSV in the long form: one value a line.

use disyre::{EvaluationReport, MethodReport, OperatingPoint};

use crate::error::CliError;

/// Columns of a line; empty where they do not apply.
type Line = [String; 7];

const HEAD: [&str; 7] = ["method", "averaging", "case", "measure", "value", "low", "high"];

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
    let line = |averaging: &str, case: &str, measure: &str, value: f64, ends: [Option<f64>; 2]| {
        let [low, high] = ends.map(|end| end.map_or_else(String::new, |end| end.to_string()));
        let text = |text: &str| text.to_owned();
        [
            text(&method.name),
            text(averaging),
            text(case),
            text(measure),
            value.to_string(),
            low,
            high,
        ]
    };
    let mut lines = Vec::new();
    for case in &method.cases {
        let values = case.measures.values.iter();
        lines
            .extend(values.map(|(m, &value)| line("case", &case.name, m.name(), value, [None; 2])));
    }
    for (averaging, estimates) in [("pooled", &method.pooled), ("per_volume", &method.per_volume)] {
        let values = estimates.iter();
        lines.extend(values.map(|(m, e)| line(averaging, "", m.name(), e.value, [e.low, e.high])));
    }
    for found in &method.image_level {
        for (name, e) in [("auroc", found.auroc), ("ap", found.average_precision)] {
            let measure = format!("{name}_by_{}", found.score);
            lines.push(line("image_level", "", &measure, e.value, [e.low, e.high]));
        }
    }
    for (point, counts) in &method.lesions {
        let point = match point {
            OperatingPoint::OtherCases => "others",
            OperatingPoint::Given => "given",
        };
        for bin in counts.by_size.iter().filter(|bin| bin.lesions > 0) {
            let end = bin.to_mm3.map_or("up".to_owned(), |end| end.to_string());
            let measure = format!("{point}_lesion_recall_{}_{end}_mm3", bin.from_mm3);
            lines.extend(
                bin.recall().map(|recall| line("lesion_size", "", &measure, recall, [None; 2])),
            );
        }
    }
    if let Some(froc) = &method.froc {
        for (rate, &value) in froc.rates.iter().zip(&froc.sensitivities) {
            lines.push(line("froc", "", &format!("sensitivity_at_{rate}_fp"), value, [None; 2]));
        }
        lines.push(line("froc", "", "mean_sensitivity", froc.mean, [None; 2]));
    }
    for value in method.protocol.iter().flat_map(|protocol| &protocol.values) {
        lines.extend(value.value.map(|v| line("protocol", "", &value.name, v, [None; 2])));
    }
    lines
}
