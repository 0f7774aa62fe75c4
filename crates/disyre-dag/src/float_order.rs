//! Floats as integers of the same order, for minima, maxima and heaps.
//!
//! The order is that of [`f32::total_cmp`]. Minima and maxima of integers vectorise; those of floats do not.

/// The integer of a float; its inverse is [`from_ordered`].
pub(crate) fn to_ordered(value: f32) -> i32 {
    let bits = value.to_bits().cast_signed();
    bits ^ (bits >> 31).cast_unsigned().wrapping_shr(1).cast_signed()
}

/// The float of an integer.
pub(crate) fn from_ordered(number: i32) -> f32 {
    let bits = number ^ (number >> 31).cast_unsigned().wrapping_shr(1).cast_signed();
    f32::from_bits(bits.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_are_ordered_as_their_floats(a in -10f32..10.0, b in -10f32..10.0) {
            prop_assert_eq!(to_ordered(a) < to_ordered(b), a < b);
            prop_assert_eq!(from_ordered(to_ordered(a)), a);
        }
    }
}
