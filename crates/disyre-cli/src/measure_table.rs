//! Measures as a table for people; `evaluate` prints it.

use disyre::{Measure, Measures};

/// Lines of measures under a head, as text for people.
#[derive(Debug, Default)]
pub(crate) struct MeasureTable {
    rows: Vec<(String, [String; 6])>,
}

const HEAD: [&str; 6] = ["AP", "prevalence", "best Dice", "threshold", "AUROC", "voxels"];

impl MeasureTable {
    /// Adds a line.
    pub(crate) fn add(&mut self, name: &str, measures: &Measures) {
        let value = |measure| number(measures.get(measure));
        let [ap, prevalence, best_dice, threshold, auroc] = COLUMNS.map(value);
        let voxels = measures.voxels.to_string();
        self.rows.push((name.to_owned(), [ap, prevalence, best_dice, threshold, auroc, voxels]));
    }

    /// Adds the mean over cases of what has one; a mean threshold would mean nothing.
    pub(crate) fn add_mean(&mut self, cases: &[Measures]) {
        let mean = |measure| {
            let values: Vec<f64> = cases.iter().filter_map(|case| case.get(measure)).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            number((!values.is_empty()).then_some(mean))
        };
        let [ap, prevalence, best_dice, _, auroc] = COLUMNS.map(mean);
        let none = || "-".to_owned();
        let cells = [ap, prevalence, best_dice, none(), auroc, none()];
        self.rows.push(("mean of cases".to_owned(), cells));
    }
}

/// Measures of the columns but the last.
const COLUMNS: [Measure; 5] = [
    Measure::Ap,
    Measure::Prevalence,
    Measure::BestDice,
    Measure::BestDiceThreshold,
    Measure::Auroc,
];

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

impl std::fmt::Display for MeasureTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|(_, cells)| cells[column].len());
            cells.max().unwrap_or(0).max(HEAD[column].len())
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        let first =
            self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(4);
        let mut line = |name: &str, cells: [&str; 6]| {
            write!(f, "{name:<first$}")?;
            cells.iter().zip(widths).try_for_each(|(cell, width)| write!(f, "  {cell:>width$}"))?;
            writeln!(f)
        };
        line("case", HEAD)?;
        self.rows
            .iter()
            .try_for_each(|(name, cells)| line(name, cells.each_ref().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_mean_is_that_of_the_cases() {
        let measures = |ap| {
            let values = COLUMNS.into_iter().zip([ap, 0.125, 0.5, 0.25, 0.75]);
            Measures { voxels: 8, values: values.collect() }
        };
        let mut table = MeasureTable::default();
        table.add("a long name", &measures(0.5));
        table.add_mean(&[measures(0.5), measures(1.0)]);
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "case               AP  prevalence  best Dice  threshold   AUROC  voxels"
        );
        assert_eq!(
            lines[1],
            "a long name    0.5000      0.1250     0.5000     0.2500  0.7500       8"
        );
        assert_eq!(
            lines[2],
            "mean of cases  0.7500      0.1250     0.5000          -  0.7500       -"
        );
    }
}
