//! Distinct scores as thresholds, from the greatest down, with the voxels predicted at each: every metric of
//! [`RankedScores`](crate::RankedScores) is one walk over them.

/// Voxels with a score of at least a threshold, by their labels.
pub(crate) struct Threshold {
    /// The threshold itself, as [`float_order`](crate::float_order) encodes it.
    pub(crate) key: u32,
    /// Lesion voxels predicted.
    pub(crate) positives: u64,
    /// Healthy voxels predicted.
    pub(crate) negatives: u64,
    /// Lesion voxels with exactly this score.
    pub(crate) new_positives: u64,
    /// Healthy voxels with exactly this score.
    pub(crate) new_negatives: u64,
}

impl Threshold {
    /// All voxels predicted.
    pub(crate) fn predicted(&self) -> u64 {
        self.positives + self.negatives
    }
}

/// Iterator over the distinct scores of two sorted lists, from the greatest down.
pub(crate) struct Thresholds<'a> {
    positives: &'a [u32],
    negatives: &'a [u32],
    predicted: (u64, u64),
}

impl<'a> Thresholds<'a> {
    /// Both lists ascending.
    pub(crate) fn new(positives: &'a [u32], negatives: &'a [u32]) -> Self {
        Self { positives, negatives, predicted: (0, 0) }
    }
}

impl Iterator for Thresholds<'_> {
    type Item = Threshold;

    fn next(&mut self) -> Option<Threshold> {
        let key = self.positives.last().max(self.negatives.last()).copied()?;
        let new_positives = take_equal(&mut self.positives, key);
        let new_negatives = take_equal(&mut self.negatives, key);
        self.predicted = (self.predicted.0 + new_positives, self.predicted.1 + new_negatives);
        let (positives, negatives) = self.predicted;
        Some(Threshold { key, positives, negatives, new_positives, new_negatives })
    }
}

/// Removes the entries equal to `key` from the end and counts them.
fn take_equal(keys: &mut &[u32], key: u32) -> u64 {
    let mut count = 0;
    while let Some((&last, rest)) = keys.split_last()
        && last == key
    {
        *keys = rest;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_of_both_labels_are_one_threshold() {
        let found: Vec<_> = Thresholds::new(&[1, 3, 3], &[0, 3])
            .map(|at| (at.key, at.positives, at.negatives, at.new_positives, at.new_negatives))
            .collect();
        assert_eq!(found, [(3, 2, 1, 2, 1), (1, 3, 1, 1, 0), (0, 3, 2, 0, 1)]);
    }
}
