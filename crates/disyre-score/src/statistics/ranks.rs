//! Ranks, ties sharing the mean of theirs.

/// Ranks of values, doubled so that shared ranks are whole numbers, and the correction term `Σ (t³ − t)` over groups of
/// t equal values.
pub(super) struct DoubledRanks {
    pub(super) ranks: Vec<usize>,
    pub(super) ties: f64,
}

impl DoubledRanks {
    pub(super) fn new(values: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
        let (mut ranks, mut ties, mut start) = (vec![0; values.len()], 0.0, 0);
        for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
            let end = start + group.len();
            // The mean of ranks start + 1 to end, twice.
            group.iter().for_each(|&index| ranks[index] = start + 1 + end);
            let size = group.len() as f64;
            ties += size.powi(3) - size;
            start = end;
        }
        Self { ranks, ties }
    }
}
