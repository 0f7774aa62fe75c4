//! Inline charts: histograms as SVG paths, which the style of a page colours for light and dark.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// A histogram of equal bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Lower end of the first bin.
    pub low: f64,
    /// Upper end of the last bin.
    pub high: f64,
    /// Number of values in each bin.
    pub counts: Vec<u64>,
}

/// Width and height of the area of a chart, in units of its SVG.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 120.0;

impl Histogram {
    /// Counts finite values in bins; those beyond the ends are in the first and the last one.
    ///
    /// ```
    /// use disyre_report::Histogram;
    /// let histogram = Histogram::of([0.0, 0.1, 0.9, 7.0], (0.0, 1.0), 2);
    /// assert_eq!(histogram.counts, [2, 2]);
    /// ```
    pub fn of(values: impl IntoIterator<Item = f64>, (low, high): (f64, f64), bins: usize) -> Self {
        let mut counts = vec![0; bins.max(1)];
        let last = counts.len() - 1;
        for value in values.into_iter().filter(|value| value.is_finite()) {
            let share = if high > low { (value - low) / (high - low) } else { 0.0 };
            // Truncation is the bin; below 0 it saturates at the first one.
            counts[((share * (last + 1) as f64) as usize).min(last)] += 1;
        }
        Self { low, high, counts }
    }

    /// Number of values.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The area of its bars as an SVG path in a box of 320 × 120 units, from the lower left corner.
    pub fn path(&self) -> String {
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let step = WIDTH / self.counts.len().max(1) as f64;
        let mut path = format!("M0 {HEIGHT}");
        for (bin, &count) in self.counts.iter().enumerate() {
            let top = HEIGHT - count as f64 / most * (HEIGHT - 8.0);
            // Writing to a string does not fail.
            let _ = write!(path, "V{top:.1}H{:.1}", (bin + 1) as f64 * step);
        }
        path + &format!("V{HEIGHT}Z")
    }

    /// Place of a value along the axis, in units of the SVG, within the box.
    pub fn place(&self, value: f64) -> f64 {
        let share =
            if self.high > self.low { (value - self.low) / (self.high - self.low) } else { 0.5 };
        (share.clamp(0.0, 1.0) * WIDTH * 10.0).round() / 10.0
    }
}

/// Histogram of intensities inside the brain, and centres of its tissue classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntensityChart {
    /// The histogram.
    pub histogram: Histogram,
    /// Centres of tissue classes, ascending.
    pub centres: Vec<f64>,
}

/// A centre in a chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChartMark {
    /// Place along the axis, in units of the SVG.
    pub(crate) x: f64,
    pub(crate) label: String,
}

impl IntensityChart {
    /// The centres.
    pub(crate) fn marks(&self) -> Vec<ChartMark> {
        let mark =
            |&centre: &f64| ChartMark { x: self.histogram.place(centre), label: rounded(centre) };
        self.centres.iter().map(mark).collect()
    }

    /// The ends of the axis.
    pub(crate) fn ends(&self) -> [String; 2] {
        [self.histogram.low, self.histogram.high].map(rounded)
    }

    /// The chart in words.
    pub(crate) fn text(&self) -> String {
        let [low, high] = self.ends();
        let centres: Vec<String> = self.centres.iter().copied().map(rounded).collect();
        let total = self.histogram.total();
        format!(
            "Histogram of {total} voxels from {low} to {high}, tissue centres {}",
            centres.join(", ")
        )
    }
}

/// A number with at most about three digits that count, in plain notation.
///
/// ```
/// use disyre_report::rounded;
/// assert_eq!(rounded(0.012345), "0.0123");
/// assert_eq!(rounded(1234.6), "1235");
/// assert_eq!(rounded(-3.4), "−3.4");
/// ```
pub fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    let mut text = format!("{value:.digits$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    match text.strip_prefix('-') {
        Some(size) if size.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => {
            format!("−{size}")
        }
        Some(size) => size.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_the_box_and_end_on_the_ground() {
        let histogram = Histogram { low: 0.0, high: 2.0, counts: vec![1, 2] };
        assert_eq!(histogram.path(), "M0 120V64.0H160.0V8.0H320.0V120Z");
        assert_eq!([0.0, 0.5, 9.0].map(|value| histogram.place(value)), [0.0, 80.0, 320.0]);
    }

    #[test]
    fn values_beyond_the_ends_are_in_the_outer_bins() {
        let histogram = Histogram::of([-5.0, 0.0, 0.99, 1.0, f64::NAN], (0.0, 1.0), 4);
        assert_eq!((histogram.counts.clone(), histogram.total()), (vec![2, 0, 0, 2], 4));
        assert_eq!(Histogram::of([3.0], (3.0, 3.0), 2).counts, [1, 0]);
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, -0.00001, 99.96, 5.0, 1e6].map(rounded);
        assert_eq!(texts, ["0", "0", "100", "5", "1000000"]);
    }
}
