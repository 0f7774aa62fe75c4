//! [`Table`]: text in columns, for people on a terminal and as Markdown; `evaluate` prints several.

use std::fmt;

/// Rows of text under a head; the first column is flush left, the others flush right.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<T: Into<String>>(
        title: impl Into<String>,
        head: impl IntoIterator<Item = T>,
    ) -> Self {
        let head = head.into_iter().map(Into::into).collect();
        Self { title: title.into(), head, rows: Vec::new() }
    }

    /// Adds a row; cells that are missing at its end stay empty.
    pub(crate) fn add<T: Into<String>>(&mut self, row: impl IntoIterator<Item = T>) {
        let mut row: Vec<String> = row.into_iter().map(Into::into).collect();
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table in Markdown, its title as a paragraph above.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = vec!["---".to_owned(); self.head.len()];
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}\n\n{}{}{rows}", self.title, line(&self.head), line(&rule))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        // A note in place of values may run over the columns.
        let counted = || lines().filter(|row| row.get(2).is_none_or(|cell| !cell.is_empty()));
        let width = |column: usize| counted().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> =
            (0..self.head.len()).map(|column| width(column).unwrap_or(0)).collect();
        let first = lines().map(|row| row[0].chars().count()).max().unwrap_or(0);
        for row in lines() {
            let mut line = format!("  {:<first$}", row[0]);
            for (cell, &width) in row.iter().zip(&widths).skip(1) {
                line += &format!("  {cell:>width$}");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_markdown_has_the_same_cells() {
        let mut table = Table::new("by case", ["case", "AP", "⌈Dice⌉"]);
        table.add(["a long name", ".5", ".25"]);
        table.add(["atlas |z|", "not measured: give --atlas", ""]);
        let lines: Vec<String> = table.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "by case");
        assert_eq!(lines[1], "  case         AP  ⌈Dice⌉");
        assert_eq!(lines[2], "  a long name  .5     .25");
        assert_eq!(lines[3], "  atlas |z|    not measured: give --atlas");
        let markdown = table.markdown();
        assert!(markdown.contains("| --- | --- | --- |\n| a long name | .5 | .25 |\n"));
        assert!(markdown.contains("atlas \\|z\\|"));
    }
}
