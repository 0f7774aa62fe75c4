//! The exponential, the logistic function and SiLU in a form that compiles to vector instructions.
//!
//! Used by convolutions (SiLU of the input and its slope), the normalisation's own operation, and attention (softmax).

use crate::lanes::Lanes;

/// `a · b + c`, rounded once where there is an instruction for it; elsewhere that would be a call of libm.
#[inline(always)]
pub(crate) fn fma<L: Lanes>(a: f32, b: f32, c: f32) -> f32 {
    if L::FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `1 / (1 + e^−z)`, to within 3 units in the last place of 1.
#[inline(always)]
fn sigmoid<L: Lanes>(z: f32) -> f32 {
    reciprocal::<L>(1.0 + exp::<L>(-z))
}

/// SiLU: `z / (1 + e^−z)`.
///
/// # Source
/// Elfwing, Uchibe and Doya, "Sigmoid-Weighted Linear Units" (arXiv 1702.03118), equation 5; its slope, equation 6.
#[inline(always)]
pub(crate) fn silu<L: Lanes>(z: f32) -> f32 {
    z * sigmoid::<L>(z)
}

/// Slope of SiLU: `s (1 + z (1 − s))` with `s = 1 / (1 + e^−z)`.
#[inline(always)]
pub(crate) fn silu_slope<L: Lanes>(z: f32) -> f32 {
    let s = sigmoid::<L>(z);
    s * fma::<L>(z, 1.0 - s, 1.0)
}

/// `1 / x` for x of at least 1, without the division: four times as fast, to within 2 units in the last place.
///
/// The bits of a first guess are a constant less those of x (12 % off); each step of Newton's method squares the error.
#[inline(always)]
fn reciprocal<L: Lanes>(x: f32) -> f32 {
    let mut y = f32::from_bits(0x7ef3_11c7u32.wrapping_sub(x.to_bits()));
    for _ in 0..3 {
        y = fma::<L>(y, fma::<L>(-x, y, 1.0), y);
    }
    y
}

/// e to the x; x is limited to ±87, where `f32` ends. libm's `expf` is a call per element.
///
/// x = n ln 2 + r with n whole and |r| ≤ ½ ln 2; e^r by its Taylor polynomial of degree 6 (relative error 1e-8 there).
#[inline(always)]
pub(crate) fn exp<L: Lanes>(x: f32) -> f32 {
    /// Adding it moves the whole part of a number below 2²² into the lowest bits: 1.5 · 2²³, and 127 for the exponent.
    const SHIFT: f32 = 12_582_912.0 + 127.0;
    /// ln 2 in two parts, the first exact when multiplied by a small whole number.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    /// 1/6!, 1/5!, …, 1/0!.
    const TAYLOR: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let x = x.clamp(-87.0, 87.0);
    let shifted = fma::<L>(x, std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = fma::<L>(n, -LN_2[1], fma::<L>(n, -LN_2[0], x));
    let mut power = TAYLOR[0];
    for coefficient in &TAYLOR[1..] {
        power = fma::<L>(power, r, *coefficient);
    }
    power * f32::from_bits(shifted.to_bits() << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Portable;

    #[test]
    fn the_exponential_agrees_with_the_exact_one() {
        for step in -8_600..=8_600 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            let relative = (f64::from(exp::<Portable>(x)) / exact - 1.0).abs();
            assert!(relative < 4e-7, "e^{x} is off by {relative}");
        }
    }

    #[test]
    fn the_slope_of_silu_is_its_difference() {
        assert_eq!(silu_slope::<Portable>(0.0), 0.5);
        for z in [-6.0f32, -1.278, -0.5, 0.25, 1.0, 5.0] {
            let exact = |z: f64| z / (1.0 + (-z).exp());
            let (z64, step) = (f64::from(z), 1e-5);
            let slope = (exact(z64 + step) - exact(z64 - step)) / (2.0 * step);
            assert!((f64::from(silu_slope::<Portable>(z)) - slope).abs() < 1e-6, "at {z}");
            assert!((f64::from(silu::<Portable>(z)) - exact(z64)).abs() < 1e-6, "at {z}");
        }
    }

    #[test]
    fn the_logistic_function_ends_at_zero_and_one() {
        assert_eq!(sigmoid::<Portable>(0.0), 0.5);
        assert_eq!(sigmoid::<Portable>(1e9), 1.0);
        assert!(sigmoid::<Portable>(-1e9) < 1e-37);
        assert!(sigmoid::<Portable>(f32::NAN).is_nan());
    }
}
