//! The standard normal distribution: its distribution function and the inverse of it.

/// Probability of a standard normal number of at most `z`, exact in the lower tail.
pub(super) fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// The number below which a standard normal number falls with this probability: −∞ at 0, ∞ at 1.
///
/// # Source
/// Wichura (1988), algorithm AS 241 (PPND16): rational approximations with a relative error of about 1e-16.
pub(super) fn quantile(probability: f64) -> f64 {
    let from_half = probability - 0.5;
    if from_half.abs() <= 0.425 {
        return from_half * ratio(0.180_625 - from_half * from_half, &CENTRE);
    }
    let tail = probability.min(1.0 - probability);
    if tail <= 0.0 {
        return f64::INFINITY.copysign(from_half);
    }
    let r = (-tail.ln()).sqrt();
    let distance = if r <= 5.0 { ratio(r - 1.6, &SHOULDER) } else { ratio(r - 5.0, &TAIL) };
    distance.copysign(from_half)
}

/// Coefficients of a numerator and of a denominator, from the constant term up.
type Ratio = [[f64; 8]; 2];

fn ratio(x: f64, [numerator, denominator]: &Ratio) -> f64 {
    let polynomial = |terms: &[f64; 8]| terms.iter().rev().fold(0.0, |sum, term| sum * x + term);
    polynomial(numerator) / polynomial(denominator)
}

const CENTRE: Ratio = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_545,
    ],
];

const SHOULDER: Ratio = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

const TAIL: Ratio = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_7e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_probabilities_are_those_of_scipy() {
        let text = include_str!("../../tests/fixtures/statistics.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        let pairs =
            |set: &str| -> Vec<[f64; 2]> { serde_json::from_value(golden[set].clone()).unwrap() };
        for [share, expected] in pairs("quantiles") {
            let got = quantile(share);
            assert!((got - expected).abs() <= 1e-13 * expected.abs(), "{share}: {got} {expected}");
        }
        for [z, expected] in pairs("probabilities") {
            let got = cdf(z);
            // Far out, rounding of z/√2 alone costs z² bits of the last place.
            assert!((got - expected).abs() <= 1e-12 * expected, "{z}: {got} {expected}");
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
