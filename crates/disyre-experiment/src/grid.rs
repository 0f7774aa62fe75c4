//! [`Row`]: one combination of settings; the rows of an experiment out of its axes or its list.

use std::path::PathBuf;

use disyre::RunConfig;
use toml::{Table, Value};

use crate::{Axis, ExperimentError, ExperimentFile};

/// One combination of settings, run with each seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name in tables and plots.
    pub label: String,
    /// Its value on each axis; empty without axes.
    pub values: Vec<Value>,
    /// Settings that differ from the base, as in `run.toml`.
    pub settings: Table,
    /// Dotted names of optional settings of the base that are taken out.
    pub unset: Vec<String>,
    /// Names of the healthy folders that it trains on; none: all.
    pub healthy: Vec<String>,
    /// Folder of its finished model; `None`: it is trained.
    pub model: Option<PathBuf>,
}

impl Row {
    /// All rows of a file: the product of its axes, the last one fastest, or its list.
    ///
    /// ```
    /// use disyre_experiment::{ExperimentFile, Row};
    ///
    /// let file = ExperimentFile::parse(
    ///     "title = \"t\"\nquestion = \"q\"\n[data]\ntest_sets.real = \"c.csv\"\n\
    ///      [[axes]]\nkey = \"family\"\nvalues = [\"dag\", \"fpi\"]\nlabels = [\"DAG\", \"FPI\"]\n\
    ///      [[axes]]\nkey = \"train.steps\"\nvalues = [100, 200]",
    /// )?;
    /// let labels: Vec<String> = Row::all(&file)?.into_iter().map(|row| row.label).collect();
    /// assert_eq!(labels, ["DAG, steps=100", "DAG, steps=200", "FPI, steps=100", "FPI, steps=200"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ExperimentError::Key`] for axes and rows together or neither, an axis without values, labels that are not as
    /// many as values, or an axis that comes twice.
    pub fn all(file: &ExperimentFile) -> Result<Vec<Self>, ExperimentError> {
        match (file.axes.is_empty(), file.rows.is_empty()) {
            (true, false) => Ok(listed(file)),
            (false, true) => product(file),
            _ => Err(key("axes", "given, or rows, and not both")),
        }
    }

    /// The settings of this row: those of `base` with its own, before a seed is set.
    ///
    /// # Errors
    /// [`ExperimentError::Settings`] naming the key, [`ExperimentError::Unset`].
    pub fn config(&self, base: &RunConfig) -> Result<RunConfig, ExperimentError> {
        changed(&self.label, base, &self.settings, &self.unset)
    }
}

/// Settings without some that are optional and with some that are changed.
pub(crate) fn changed(
    row: &str,
    base: &RunConfig,
    settings: &Table,
    unset: &[String],
) -> Result<RunConfig, ExperimentError> {
    let wrong = |source| ExperimentError::Settings { row: row.to_owned(), source };
    let mut table = Table::try_from(base).map_err(|source| wrong(source.into()))?;
    for key in unset {
        let missing = || ExperimentError::Unset { row: row.to_owned(), key: key.clone() };
        remove(&mut table, key).ok_or_else(missing)?;
    }
    let base: RunConfig = match unset.first() {
        None => base.clone(),
        Some(key) => table
            .try_into()
            .map_err(|_| ExperimentError::Unset { row: row.to_owned(), key: key.clone() })?,
    };
    base.changed(settings.clone()).map_err(wrong)
}

/// Removes the entry of a dotted name.
fn remove(table: &mut Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.remove(key),
        Some((first, rest)) => remove(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

fn listed(file: &ExperimentFile) -> Vec<Row> {
    let row = |row: &crate::RowSettings| Row {
        label: row.label.clone(),
        values: Vec::new(),
        settings: row.settings.clone(),
        unset: row.unset.clone(),
        healthy: row.healthy.clone(),
        model: row.model.clone().or_else(|| file.base.model.clone()),
    };
    file.rows.iter().map(row).collect()
}

fn product(file: &ExperimentFile) -> Result<Vec<Row>, ExperimentError> {
    let mut rows = vec![Row {
        label: String::new(),
        values: Vec::new(),
        settings: Table::new(),
        unset: Vec::new(),
        healthy: Vec::new(),
        model: file.base.model.clone(),
    }];
    for (index, axis) in file.axes.iter().enumerate() {
        check(axis, &file.axes[..index])?;
        let with = |row: &Row| -> Vec<Row> {
            (0..axis.values.len()).map(|value| extended(row, axis, value)).collect()
        };
        rows = rows.iter().flat_map(with).collect();
    }
    Ok(rows)
}

fn check(axis: &Axis, earlier: &[Axis]) -> Result<(), ExperimentError> {
    let Axis { key: name, values, labels } = axis;
    let rules = [
        (name.split('.').all(|part| !part.is_empty()), "the dotted name of a setting"),
        (name != "seed", "another setting: seeds stand in `seeds`"),
        (!values.is_empty(), "an axis with values"),
        (labels.is_empty() || labels.len() == values.len(), "an axis with a label for each value"),
        (earlier.iter().all(|other| other.key != *name), "an axis only once"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, expected)) => Err(key(&format!("axes: {name}"), expected)),
        None => Ok(()),
    }
}

/// A row with a value of one more axis.
fn extended(row: &Row, axis: &Axis, index: usize) -> Row {
    let value = &axis.values[index];
    let label = axis.labels.get(index).cloned().unwrap_or_else(|| {
        let name = axis.key.rsplit('.').next().unwrap_or_default();
        format!("{name}={}", text(value))
    });
    let label = [row.label.clone(), label].into_iter().filter(|part| !part.is_empty());
    let label = label.collect::<Vec<_>>().join(", ");
    let mut row = row.clone();
    row.label = label;
    row.values.push(value.clone());
    insert(&mut row.settings, &axis.key, value.clone());
    row
}

/// Sets the entry of a dotted name.
fn insert(table: &mut Table, key: &str, value: Value) {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return;
    };
    let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    if let Value::Table(inner) = inner {
        insert(inner, rest, value);
    }
}

/// A value in a label: texts without quotes.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn key(key: &str, expected: &'static str) -> ExperimentError {
    ExperimentError::Key { key: key.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Row>, ExperimentError> {
        let head = "title = \"t\"\nquestion = \"q\"\n";
        Row::all(
            &ExperimentFile::parse(&format!("{head}{text}\n[data]\ntest_sets = {{}}")).unwrap(),
        )
    }

    #[test]
    fn two_settings_of_one_table_are_both_set() {
        let rows = rows(
            "axes = [{ key = \"detect.severities\", values = [[0.1], [0.1, 0.5]] }, \
             { key = \"detect.whole_slices\", values = [true] }]",
        )
        .unwrap();
        assert_eq!(rows[1].label, "severities=[0.1, 0.5], whole_slices=true");
        let config = rows[1].config(&RunConfig::cpu_2mm()).unwrap();
        assert_eq!((config.detect.severities.len(), config.detect.whole_slices), (2, true));
        assert_eq!(config.train, RunConfig::cpu_2mm().train);
    }

    #[test]
    fn axes_that_make_no_grid_are_refused() {
        let message = |text: &str| rows(text).unwrap_err().to_string();
        assert_eq!(message(""), "axes must be given, or rows, and not both");
        let axis = |more: &str| message(&format!("axes = [{{ key = \"train.steps\", {more} }}]"));
        assert!(axis("values = []").contains("train.steps must be an axis with values"));
        assert!(axis("values = [1, 2], labels = [\"a\"]").contains("a label for each value"));
        let twice = "axes = [{ key = \"a\", values = [1] }, { key = \"a\", values = [1] }]";
        assert!(message(twice).contains("only once"));
    }

    #[test]
    fn optional_settings_can_be_taken_out_and_others_not() {
        let rows = rows("rows = [{ label = \"plain\", unset = [\"pairs.augment\"] }]").unwrap();
        let base = RunConfig::reference();
        assert_eq!(rows[0].config(&base).unwrap().pairs.augment, None);
        let error = rows[0].config(&RunConfig::cpu_2mm()).unwrap_err().to_string();
        assert!(
            error.contains("\"plain\": unset names pairs.augment, which is not set"),
            "{error}"
        );
        let needed = Row { unset: vec!["train".into()], ..rows[0].clone() };
        let error = needed.config(&base).unwrap_err();
        assert!(matches!(error, ExperimentError::Unset { key, .. } if key == "train"));
    }

    #[test]
    fn a_key_that_does_not_exist_is_named_with_its_row() {
        let rows = rows("axes = [{ key = \"tissue.klasses\", values = [3] }]").unwrap();
        let error = rows[0].config(&RunConfig::cpu_2mm()).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains("klasses=3") && cause.contains("klasses"), "{cause}");
    }
}
