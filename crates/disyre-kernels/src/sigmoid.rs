//! The logistic function in a form that vector units can follow.

/// `1 / (1 + e^−z)`, to within 3 units in the last place of 1.
#[inline(always)]
pub(crate) fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + exp(-z))
}

/// e to the x; x is limited to ±87, where `f32` ends. libm's `expf` is a call per element.
///
/// x = n ln 2 + r with n whole and |r| ≤ ½ ln 2; e^r by its Taylor polynomial of degree 6 (relative error 1e-8 there).
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it moves the whole part of a number below 2²² into the lowest bits: 1.5 · 2²³, and 127 for the exponent.
    const SHIFT: f32 = 12_582_912.0 + 127.0;
    /// ln 2 in two parts, the first exact when multiplied by a small whole number.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0)));
    let power = 1.0 + r + r * r * (0.5 + r * tail);
    power * f32::from_bits(shifted.to_bits() << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_exact_exponential() {
        for step in -8_600..=8_600 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            let relative = (f64::from(exp(x)) / exact - 1.0).abs();
            assert!(relative < 4e-7, "e^{x} is off by {relative}");
        }
    }

    #[test]
    fn it_ends_at_zero_and_one() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(1e9), 1.0);
        assert!(sigmoid(-1e9) < 1e-37);
        assert!(sigmoid(f32::NAN).is_nan());
    }
}
