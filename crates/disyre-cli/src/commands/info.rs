//! `disyre info`: the facts of a scan or of a model's folder.

use std::path::{Path, PathBuf};

use clap::Args;
use disyre::volume::{ReadOptions, Scan, path_text};
use disyre::{ModelFolder, TrainReport};
use serde_json::{Value, json};

use crate::arguments::embedded_model;
use crate::error::CliError;
use crate::output_files::to_json;
use crate::print;

/// Arguments of `disyre info`.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A scan, or the folder of a trained model [default: the model within this program]
    #[arg(value_name = "FILE|MODEL_DIR")]
    path: Option<PathBuf>,
    /// Print the model card of the model within this program
    #[cfg(feature = "weights")]
    #[arg(long, conflicts_with_all = ["path", "volume_index", "json"])]
    card: bool,
    /// Volume of a 4D scan, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    volume_index: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        #[cfg(feature = "weights")]
        if self.card {
            return print::result(disyre::weights::CARD);
        }
        let facts = match &self.path {
            None => of_model(&embedded_model()?)?,
            Some(folder) if folder.is_dir() => of_model(&ModelFolder::open(folder)?)?,
            Some(scan) => self.of_scan(scan)?,
        };
        match self.json {
            true => print::result(&(to_json(&facts)? + "\n")),
            false => print::result(&outline(&facts, 0)),
        }
    }

    fn of_scan(&self, path: &Path) -> Result<Value, CliError> {
        let options = ReadOptions { volume_index: Some(self.volume_index) };
        Ok(json!(Scan::read_with(path, &options)?.info()))
    }
}

fn of_model(model: &ModelFolder) -> Result<Value, CliError> {
    let mut facts = match model.embedded_name() {
        Some(name) => json!({ "embedded": name }),
        None => json!({ "folder": path_text(model.path()) }),
    };
    facts["parameters"] = json!(model.parameter_count()?);
    facts["weights"] = json!(model.weights().file_name());
    facts["weights_sha256"] = json!(model.weights_sha256());
    facts["training"] = match model.report()? {
        Some(report) => training_facts(&report),
        None => json!("not finished: run.json is missing"),
    };
    if let Some(reference) = model.preparation().reference() {
        facts["intensity_reference"] = json!({
            "scans": reference.scans(),
            "levels": reference.levels(),
        });
    }
    facts["settings"] = json!(model.config());
    Ok(facts)
}

fn training_facts(report: &TrainReport) -> Value {
    let mut facts = json!({
        "version": report.version,
        "seed": report.seed,
        "steps": report.steps,
        "finished": report.finished,
        "validation_errors": report.errors,
        "training_subjects": report.training.len(),
        "validation_subjects": report.validation,
    });
    if let Some(from) = &report.from {
        facts["from"] = json!(from);
    }
    facts
}

/// JSON as indented lines without quotes and brackets; short lists on one line.
fn outline(value: &Value, depth: usize) -> String {
    let Value::Object(entries) = value else { return String::new() };
    let indent = "  ".repeat(depth);
    let line = |(key, value): (&String, &Value)| match value {
        Value::Object(_) => format!("{indent}{key}:\n{}", outline(value, depth + 1)),
        other => format!("{indent}{key}: {}\n", plain(other)),
    };
    entries.iter().map(line).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(items) => {
            let nested = items.iter().any(Value::is_array);
            let items = items.iter().map(plain).collect::<Vec<_>>();
            items.join(if nested { " | " } else { " " })
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_printed_as_indented_lines() {
        let facts = json!({"a": {"b": [1, 2.5], "c": null}, "d": [[1, 2], [3, 4]], "e": "text"});
        assert_eq!(outline(&facts, 0), "a:\n  b: 1 2.5\n  c: -\nd: 1 2 | 3 4\ne: text\n");
    }
}
