//! Cells of the tables: numbers with three digits, intervals, p-values.

use disyre::{CaseFacts, Estimate};

/// A value with its interval, where it has one; `-`: no value.
pub(super) fn with_interval(estimate: Option<&Estimate>) -> String {
    let Some(estimate) = estimate else { return "-".to_owned() };
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => {
            format!("{} [{}, {}]", plain(estimate), number(low), number(high))
        }
        _ => plain(estimate),
    }
}

/// A value without its interval.
pub(super) fn plain(estimate: &Estimate) -> String {
    number(estimate.value)
}

/// A value that may be missing.
pub(super) fn cell(value: Option<f64>) -> Option<String> {
    value.map(number)
}

/// Three digits: `.123`, `1.23`, `12.3`, `123`.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size < 1.0 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    match text.strip_prefix("0.").map(|rest| format!(".{rest}")) {
        Some(short) => short,
        None => text
            .strip_prefix("-0.")
            .map_or_else(|| text.replace('-', "−"), |rest| format!("−.{rest}")),
    }
}

/// A p-value, which is never 0.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "< .001".to_owned() } else { number(p) }
}

/// Volume of the lesions of a case.
pub(super) fn ml(case: &CaseFacts) -> String {
    number(case.lesion_ml)
}

/// A limit of a bin of lesion sizes.
pub(super) fn volume(mm3: f64) -> String {
    if mm3 < 1000.0 { format!("{mm3} mm³") } else { format!("{} ml", mm3 / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let found = [0.1234, 1.0, -0.05, 12.34, 1234.5, -3.456].map(number);
        assert_eq!(found, [".123", "1.00", "−.050", "12.3", "1234", "−3.46"]);
    }

    #[test]
    fn a_p_value_is_never_zero() {
        assert_eq!([0.0001, 0.001, 0.25].map(p_value), ["< .001", ".001", ".250"]);
    }
}
