//! Order statistic of many values without a sort, for the level at which a blob has its area.

use std::cmp::Ordering;

use crate::float_order::{from_ordered, to_ordered};

/// Bins of the histogram: few enough for the nearest cache, many enough to leave few values in each.
const BINS: usize = 1024;

/// The value at `rank` in ascending order, counted from 0; `None` beyond the last.
///
/// One pass counts, another collects the values of the one bin that holds the rank: no sort, and exact.
pub(crate) fn order_statistic(values: &[f32], rank: usize) -> Option<f32> {
    let (least, greatest) = values
        .iter()
        .map(|&value| to_ordered(value))
        .fold((i32::MAX, i32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let (least, greatest) = (from_ordered(least), from_ordered(greatest));
    if rank >= values.len() || least == greatest {
        return values.get(rank).copied();
    }
    let scale = (BINS - 1) as f32 / (greatest - least);
    let bin = |value: f32| (((value - least) * scale) as usize).min(BINS - 1);
    let mut counts = [0u32; BINS];
    for &value in values {
        counts[bin(value)] += 1;
    }
    let mut before = 0;
    let chosen = counts.iter().position(|&count| {
        before += count as usize;
        before > rank
    })?;
    let within = rank + counts[chosen] as usize - before;
    let mut candidates: Vec<f32> =
        values.iter().copied().filter(|&value| bin(value) == chosen).collect();
    let order = |a: &f32, b: &f32| a.partial_cmp(b).unwrap_or(Ordering::Equal);
    Some(*candidates.select_nth_unstable_by(within, order).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_values_have_every_rank() {
        assert_eq!(order_statistic(&[0.5; 3], 2), Some(0.5));
        assert_eq!(order_statistic(&[0.5; 3], 3), None);
        assert_eq!(order_statistic(&[], 0), None);
    }

    proptest! {
        #[test]
        fn the_value_is_that_of_a_sort(
            values in proptest::collection::vec(-1e3f32..1e3, 1..300), at in 0.0..1.0f64,
        ) {
            let rank = (at * values.len() as f64) as usize;
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            prop_assert_eq!(order_statistic(&values, rank), Some(sorted[rank]));
        }
    }
}
