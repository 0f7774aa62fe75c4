//! Finite floats as integers of the same order, which sort faster and make bins by their leading bits.

/// An integer whose unsigned order is the order of the scores; −0 and 0 are one.
pub(crate) fn encode(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The score of an encoded one.
pub(crate) fn decode(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key ^ 1 << 31 } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_ordered_as_the_numbers_and_zero_has_one_sign() {
        let numbers = [f32::MIN, -1.0, -f32::MIN_POSITIVE, 0.0, f32::MIN_POSITIVE, 1.0, f32::MAX];
        assert!(numbers.windows(2).all(|pair| encode(pair[0]) < encode(pair[1])));
        assert!(numbers.iter().all(|&number| decode(encode(number)) == number));
        assert_eq!(encode(-0.0), encode(0.0));
    }
}
