/// What is predicted when the threshold is lowered to the next distinct score.
pub(crate) struct Cut {
    pub(crate) key: u32,
    pub(crate) positives: u64,
    pub(crate) negatives: u64,
    pub(crate) new_positives: u64,
    pub(crate) new_negatives: u64,
}

impl Cut {
    pub(crate) fn predicted(&self) -> u64 {
        self.positives + self.negatives
    }
}

/// Walks down both sorted sides at once.
pub(crate) struct Cuts<'a> {
    positives: &'a [u32],
    negatives: &'a [u32],
    seen: (u64, u64),
}

impl<'a> Cuts<'a> {
    /// Both sides ascending.
    pub(crate) fn new(positives: &'a [u32], negatives: &'a [u32]) -> Self {
        Self { positives, negatives, seen: (0, 0) }
    }
}

impl Iterator for Cuts<'_> {
    type Item = Cut;

    fn next(&mut self) -> Option<Cut> {
        let key = self.positives.last().max(self.negatives.last()).copied()?;
        let new_positives = take_equal(&mut self.positives, key);
        let new_negatives = take_equal(&mut self.negatives, key);
        self.seen = (self.seen.0 + new_positives, self.seen.1 + new_negatives);
        let (positives, negatives) = self.seen;
        Some(Cut { key, positives, negatives, new_positives, new_negatives })
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

/// Bits whose unsigned order is the order of the numbers; −0 and 0 are one.
pub(crate) fn ordered_bits(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

pub(crate) fn from_ordered_bits(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key ^ 1 << 31 } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_ordered_as_numbers_and_zero_has_one_sign() {
        let numbers = [f32::MIN, -1.0, -f32::MIN_POSITIVE, 0.0, f32::MIN_POSITIVE, 1.0, f32::MAX];
        assert!(numbers.windows(2).all(|pair| ordered_bits(pair[0]) < ordered_bits(pair[1])));
        assert!(numbers.iter().all(|&number| from_ordered_bits(ordered_bits(number)) == number));
        assert_eq!(ordered_bits(-0.0), ordered_bits(0.0));
    }
}
