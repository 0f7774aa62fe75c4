//! Floats as whole numbers of the same order: their minima and maxima, unlike those of floats, are taken several at a
//! time, for they do not depend on the order of the comparisons.

/// The number of a float; its inverse is [`float`].
pub(crate) fn number(value: f32) -> i32 {
    let bits = value.to_bits().cast_signed();
    bits ^ (bits >> 31).cast_unsigned().wrapping_shr(1).cast_signed()
}

/// The float of a number.
pub(crate) fn float(number: i32) -> f32 {
    let bits = number ^ (number >> 31).cast_unsigned().wrapping_shr(1).cast_signed();
    f32::from_bits(bits.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_ordered_as_their_floats(a in -10f32..10.0, b in -10f32..10.0) {
            prop_assert_eq!(number(a) < number(b), a < b);
            prop_assert_eq!(float(number(a)), a);
        }
    }
}
