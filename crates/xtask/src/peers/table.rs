//! The table of peers in Markdown.

use super::row::Row;

/// Heading of the table whose rows [`line`] prints.
pub(super) const HEADING: &str = "\
| network, work, patches, precision | ours, ms: median (min–max) | PyTorch, ms: median (min–max) | fastest PyTorch / ours \
| peak MiB, ours / fastest PyTorch |
| --- | --- | --- | --- | --- |";

/// Time and memory of one program.
#[derive(Debug)]
pub(super) struct Timing {
    /// `ours`, or the variant of PyTorch.
    pub(super) name: &'static str,
    /// Milliseconds of each iteration; at least one.
    pub(super) milliseconds: Vec<f64>,
    /// Largest resident set.
    pub(super) peak_mib: f64,
}

impl Timing {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// Median, the upper of the two middle ones for an even number.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted[sorted.len() / 2]
    }

    pub(super) fn cell(&self) -> String {
        let (sorted, median) = (self.sorted(), self.median());
        // Repeated runs agree in three digits.
        let digits = if median < 100.0 { 1 } else { 0 };
        let [least, most] = [sorted[0], sorted[sorted.len() - 1]];
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// One line; the first timing is ours.
pub(super) fn line(row: &Row, timings: &[Timing]) -> String {
    let Row { network, what, batch, precision } = row;
    let (ours, peers) = (&timings[0], &timings[1..]);
    let cells: Vec<_> = peers.iter().map(|peer| format!("{} {}", peer.name, peer.cell())).collect();
    let fastest = peers.iter().min_by(|a, b| a.median().total_cmp(&b.median())).unwrap_or(ours);
    format!(
        "| {network}, {what}, {batch}, {precision} | {} | {} | {:.2} | {:.0} / {:.0} |",
        ours.cell(),
        cells.join(", "),
        fastest.median() / ours.median(),
        ours.peak_mib,
        fastest.peak_mib,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_compares_ours_with_the_fastest_peer() {
        let row = Row { network: "published", what: "train", batch: 8, precision: "f32" };
        let timing = |name, milliseconds: &[f64], peak_mib| Timing {
            name,
            milliseconds: milliseconds.to_vec(),
            peak_mib,
        };
        let timings = [
            timing("ours", &[1010.0, 990.0, 1000.0], 900.0),
            timing("eager", &[1700.0, 1600.0, 1800.0], 3000.0),
            timing("channels-last", &[1500.0, 1400.0, 1600.0], 2900.0),
        ];
        assert_eq!(
            line(&row, &timings),
            "| published, train, 8, f32 | 1000 (990–1010) | eager 1700 (1600–1800), channels-last 1500 (1400–1600) | \
             1.50 | 900 / 2900 |"
        );
    }

    #[test]
    fn short_times_keep_a_digit() {
        let timing = Timing { name: "ours", milliseconds: vec![61.23, 60.0], peak_mib: 1.0 };
        assert_eq!(timing.cell(), "61.2 (60.0–61.2)");
    }
}
