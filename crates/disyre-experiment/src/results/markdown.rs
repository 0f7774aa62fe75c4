//! `results.md`: tables and plots for people.

use std::collections::BTreeSet;
use std::fmt::Write;

use disyre::score::Interval;

use super::{MeasureResult, Results, RowResult, SetResult};
use crate::plots::Plot;
use crate::{FailedRun, FinishedModel, Program};

/// Greatest number of cases and of rows that a table by case has; more stand in `results.json` alone.
const GREATEST_TABLE: (usize, usize) = (40, 12);

impl Results {
    /// The results as Markdown, with links to the plots.
    pub fn markdown(&self, plots: &[Plot]) -> String {
        let mut text = format!("# {}\n\n{}\n\n", self.title, self.question);
        text += &self.state();
        for set in &self.test_sets {
            let _ = write!(text, "## {}\n\n{}\n\n", set.name, size(set));
            for measured in &set.measures {
                text += &self.table(measured, set);
            }
            for plot in plots.iter().filter(|plot| plot.set == set.name) {
                let _ = write!(text, "![{}]({})\n\n", plot.caption, plot.path());
            }
        }
        text += &self.rows();
        text + &self.reading()
    }

    fn state(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let mut text = format!(
            "{}; {} {}; reference: {}; ",
            count(self.rows.len(), "row"),
            if seeds.len() == 1 { "seed" } else { "seeds" },
            seeds.join(", "),
            self.reference
        );
        text += &match &self.model {
            Some(model) => described(model) + ".",
            None if self.rows.iter().any(|row| row.model.is_some()) => {
                "finished models, see the rows.".to_owned()
            }
            None => format!("{} healthy scans train and validate.", self.healthy_scans),
        };
        if !self.unfinished.is_empty() {
            let names = self.unfinished.join(", ");
            let _ = write!(
                text,
                " **Not finished: {} of {} runs** ({names}); rows that lack one are left out.",
                self.unfinished.len(),
                self.rows.len() * self.seeds.len()
            );
        }
        text + "\n\n" + &self.failures() + &self.mixture()
    }

    /// The runs that failed, with the reasons.
    fn failures(&self) -> String {
        let line = |FailedRun { run, reason }: &FailedRun| {
            format!("- failed: {run}: {}\n", one_line(reason))
        };
        let lines: String = self.failed.iter().map(line).collect();
        if lines.is_empty() { lines } else { lines + "\n" }
    }

    /// A warning where several programs made the results.
    fn mixture(&self) -> String {
        let programs = self.programs();
        if programs.len() < 2 {
            return String::new();
        }
        let mut text = format!(
            "**Mixed: {} builds or devices made these results.** A difference between rows may be one between them. To make \
             a run again, remove its folder; a model's too.\n\n| executable, SHA-256 | device | runs |\n| --- | --- | --- |\n",
            programs.len()
        );
        for (Program { sha256, device }, runs) in programs {
            let runs = if runs.len() == self.runs.len() { "all".into() } else { runs.join(", ") };
            let _ = writeln!(text, "| `{sha256}` | {} | {} |", cell(&device), cell(&runs));
        }
        text + "\n"
    }

    /// The only program that made the results, in words.
    fn program(&self) -> String {
        match self.programs().into_iter().next() {
            Some((Program { sha256, device }, _))
                if self.programs().len() == 1 && sha256 != "unknown" =>
            {
                format!(", executable with SHA-256 `{sha256}`, device {device}")
            }
            _ => String::new(),
        }
    }

    fn table(&self, measured: &MeasureResult, set: &SetResult) -> String {
        let MeasureResult { measure, rows } = measured;
        let mut text = format!("### {}\n\n{}\n\n", measure.heading(), measure.definition());
        if rows.is_empty() {
            return text + "No row is finished.\n\n";
        }
        text += "| row | per volume | pooled | seeds | difference to the reference | p | p (Holm) | greater / less |\n";
        text += "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
        for row in rows {
            text += &self.line(row);
        }
        text += "\n";
        if set.cases.len() <= GREATEST_TABLE.0 && rows.len() <= GREATEST_TABLE.1 {
            text += &by_case(rows, set);
        }
        text
    }

    fn line(&self, row: &RowResult) -> String {
        let mean = row.per_volume.map_or("undefined".to_owned(), |mean| format!("{mean:.4}"));
        let pooled = row.pooled.map_or("–".to_owned(), |of| format!("{:.4}", of.interval));
        let seeds = row.seed_deviation.map_or("–".to_owned(), |sd| format!("± {sd:.4}"));
        let compared = match &row.against_reference {
            None if row.row == self.reference => "reference | | |".to_owned(),
            None => "– | | |".to_owned(),
            Some(against) => {
                let paired = &against.paired;
                format!(
                    "{} | {} | {} | {} / {}",
                    interval(paired.difference),
                    probability(paired.p),
                    probability(against.p_holm),
                    paired.wins,
                    paired.losses
                )
            }
        };
        format!("| {} | {mean} | {pooled} | {seeds} | {compared} |\n", cell(&row.row))
    }

    fn rows(&self) -> String {
        let mut text =
            "## Rows\n\n| row | settings that differ from the base |\n| --- | --- |\n".to_owned();
        for row in &self.rows {
            let unset = row.unset.iter().map(|key| format!("without `{key}`"));
            let settings = settings(&row.settings, "").into_iter();
            let healthy = (!row.healthy.is_empty())
                .then(|| format!("trained on {}", row.healthy.join(" and ")));
            let model = row.model.as_ref().map(described);
            let settings = settings.map(|setting| format!("`{setting}`"));
            let settings: Vec<String> = settings.chain(unset).chain(healthy).chain(model).collect();
            let _ = writeln!(text, "| {} | {} |", cell(&row.label), cell(&settings.join(", ")));
        }
        text + "\n"
    }

    /// How the numbers are made.
    fn reading(&self) -> String {
        let (level, doubt) = (100.0 * self.bootstrap.level, self.doubt());
        format!(
            "## Reading the tables\n\n\
             Measures count voxels inside the brain. **Per volume**: the mean over seeds within a case, then the mean \
             over cases, with its {level:.0} % interval (BCa bootstrap over cases, {} replicates; cases of one subject \
             are drawn together); a case in which a measure is undefined is left out, and one subject alone has no interval. **Pooled**: the voxels of all cases together, the mean over seeds, from \
             counts in bins of scores: exact values differ by {doubt:.4} at most. The interval says how much the cases vary, not the trainings: **seeds** \
             has the standard deviation of the mean over cases from seed to seed. **Difference**: row minus reference \
             on the same cases and seeds, its interval by bootstrap over cases; **p**: sign-flip permutation test over \
             cases, two-sided; cases of one subject are averaged for both; **Holm**: corrected for the rows of the table. **Greater / less**: number of cases. \
             Every case of every run is in `results.json`, with the SHA-256 of its files. Version {}{}.\n",
            self.bootstrap.replicates,
            self.version,
            self.program()
        )
    }
}

impl Results {
    /// Greatest possible error of a pooled value.
    fn doubt(&self) -> f64 {
        let measures = self.test_sets.iter().flat_map(|set| &set.measures);
        let pooled = measures.flat_map(|measured| &measured.rows).filter_map(|row| row.pooled);
        let doubt = pooled.map(|of| {
            let value = of.interval.value;
            (of.greatest - value).max(value - of.least)
        });
        doubt.fold(0.0, f64::max)
    }
}

/// Values of each case, a column for each row.
fn by_case(rows: &[RowResult], set: &SetResult) -> String {
    let head: Vec<String> = rows.iter().map(|row| cell(&row.row)).collect();
    let mut text =
        format!("| case | {} |\n| --- |{}\n", head.join(" | "), " --- |".repeat(rows.len()));
    for (index, case) in set.cases.iter().enumerate() {
        let value =
            |row: &RowResult| row.cases[index].map_or("–".to_owned(), |v| format!("{v:.4}"));
        let values: Vec<String> = rows.iter().map(value).collect();
        let _ = writeln!(text, "| {} | {} |", cell(&case.name), values.join(" | "));
    }
    text + "\n"
}

/// A finished model in words.
fn described(model: &FinishedModel) -> String {
    let (sha256, asked) = (&model.weights_sha256, model.steps_asked);
    let steps = model.steps.map_or("unknown".to_owned(), |steps| steps.to_string());
    format!("a finished model: {steps} of {asked} steps, weights with SHA-256 `{sha256}`")
}

/// Text without ends of lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn interval(of: Interval) -> String {
    format!("{of:.4}")
}

fn probability(p: f64) -> String {
    if p < 0.001 { "< .001".to_owned() } else { format!("{p:.3}") }
}

/// Text in a cell: no bar ends it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Number of cases, and of subjects where these are fewer.
fn size(set: &SetResult) -> String {
    let subjects = set.cases.iter().map(|case| case.subject.as_ref().unwrap_or(&case.name));
    let subjects = subjects.collect::<BTreeSet<_>>().len();
    let cases = count(set.cases.len(), "case");
    if subjects == set.cases.len() {
        return cases;
    }
    format!("{cases} of {}", count(subjects, "subject"))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The settings of a table, each as `dotted.name = value`.
fn settings(table: &toml::Table, inside: &str) -> Vec<String> {
    let each = table.iter().flat_map(|(key, value)| {
        let name = if inside.is_empty() { key.clone() } else { format!("{inside}.{key}") };
        match value {
            toml::Value::Table(inner) => settings(inner, &name),
            value => vec![format!("{name} = {value}")],
        }
    });
    each.collect()
}
