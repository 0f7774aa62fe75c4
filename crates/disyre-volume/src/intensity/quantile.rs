//! Quantiles of intensities, as numpy's.

/// The quantile `q` in `[0, 1]` of a non-empty slice, which is reordered.
///
/// # Source
/// Hyndman and Fan's definition 7, numpy's "linear".
pub(super) fn quantile(values: &mut [f32], q: f64) -> f32 {
    let position = q * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let (_, &mut lower, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let upper = above.iter().copied().min_by(f32::total_cmp).unwrap_or(lower);
    between(lower, upper, position - below as f64)
}

/// The same of a non-empty slice in ascending order.
pub(super) fn quantile_of_sorted(values: &[f32], q: f64) -> f32 {
    let position = q * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let upper = values[(below + 1).min(values.len() - 1)];
    between(values[below], upper, position - below as f64)
}

fn between(lower: f32, upper: f32, fraction: f64) -> f32 {
    (f64::from(lower) + (f64::from(upper) - f64::from(lower)) * fraction) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0, 2.0], 1.0), 4.0);
        assert_eq!(quantile(&mut [7.0], 0.98), 7.0);
    }

    #[test]
    fn the_order_of_values_does_not_matter() {
        let sorted = [1.0, 1.0, 2.0, 5.0, 9.0];
        for q in [0.0, 0.1, 0.37, 0.5, 0.99, 1.0] {
            let mut shuffled = [5.0, 1.0, 9.0, 1.0, 2.0];
            assert_eq!(quantile(&mut shuffled, q), quantile_of_sorted(&sorted, q));
        }
    }
}
