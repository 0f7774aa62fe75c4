//! Order statistics and correlations of samples.

/// The value below which a share of ascending samples lies, interpolated between neighbours; 0 of no samples.
pub(crate) fn quantile(sorted: &[f32], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let (a, b) = (f64::from(sorted[low]), f64::from(sorted[(low + 1).min(last)]));
    a + part * (b - a)
}

/// Samples in ascending order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f32>) -> Vec<f32> {
    let mut values: Vec<f32> = values.into_iter().collect();
    values.sort_unstable_by(f32::total_cmp);
    values
}

/// Share of ascending samples below a value; equal ones count half.
pub(crate) fn rank(sorted: &[f32], value: f32) -> f64 {
    let below = sorted.partition_point(|&sample| sample < value);
    let up_to = sorted.partition_point(|&sample| sample <= value);
    (below + up_to) as f64 / (2 * sorted.len().max(1)) as f64
}

/// A rank as a score of mean 0 and standard deviation 1 if ranks are evenly spread.
pub(crate) fn score(rank: f64) -> f64 {
    (rank - 0.5) * 12.0f64.sqrt()
}

/// Spearman's correlation: that of the ranks; `None` for fewer than ten pairs or a constant.
pub(crate) fn rank_correlation(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() < 10 {
        return None;
    }
    let (sorted_a, sorted_b) = (sorted(a.iter().copied()), sorted(b.iter().copied()));
    let mut sums = [0.0f64; 3];
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (rank(&sorted_a, a) - 0.5, rank(&sorted_b, b) - 0.5);
        sums = [sums[0] + a * a, sums[1] + b * b, sums[2] + a * b];
    }
    let correlation = sums[2] / (sums[0] * sums[1]).sqrt();
    correlation.is_finite().then_some(correlation)
}

/// Standard deviation of samples.
pub(crate) fn deviation(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares: f64 = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
    (squares / count).sqrt()
}

/// Standard deviation of a Gaussian with the median absolute value of the samples, which a few outliers do not change.
pub(crate) fn robust_deviation(values: impl IntoIterator<Item = f32>) -> f64 {
    /// 1 / Φ⁻¹(3/4).
    const FROM_MEDIAN: f64 = 1.4826;
    FROM_MEDIAN * quantile(&sorted(values.into_iter().map(f32::abs)), 0.5)
}

/// Φ, the share of a standard Gaussian below x, within 2·10⁻⁷.
///
/// # Source
/// Abramowitz and Stegun (1964), 7.1.26.
pub(crate) fn gaussian_share(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * (x.abs() / 2.0f64.sqrt()));
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * polynomial * (-0.5 * x * x).exp();
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_samples() {
        let samples = sorted([4.0, 1.0, 2.0, 3.0, 5.0]);
        assert_eq!([0.0, 0.5, 0.875, 1.0].map(|q| quantile(&samples, q)), [1.0, 3.0, 4.5, 5.0]);
        assert_eq!(rank(&samples, 3.0), 0.5);
        assert_eq!(rank(&samples, 9.0), 1.0);
    }

    #[test]
    fn ranks_correlate_under_any_rising_function() {
        let a: Vec<f32> = (0..50).map(|i| i as f32).collect();
        let b: Vec<f32> = a.iter().map(|v| v.exp().min(1e30)).collect();
        let falling: Vec<f32> = a.iter().map(|v| -v * v).collect();
        assert!((rank_correlation(&a, &a).unwrap() - 1.0).abs() < 1e-12);
        assert!(rank_correlation(&a, &b).unwrap() > 0.99);
        assert!((rank_correlation(&a, &falling).unwrap() + 1.0).abs() < 1e-12);
        assert_eq!(rank_correlation(&a, &[1.0; 50]), None);
    }

    #[test]
    fn the_gaussian_has_its_known_shares() {
        for (x, share) in [(0.0, 0.5), (1.0, 0.841_344_75), (-1.96, 0.024_997_9), (6.0, 1.0)] {
            assert!((gaussian_share(x) - share).abs() < 2e-7);
        }
        let noise: Vec<f32> = (1..1000).map(|i| if i % 2 == 0 { 3.0 } else { -3.0 }).collect();
        assert!((deviation(&noise) - 3.0).abs() < 0.01);
        assert!((robust_deviation(noise) - 3.0 * 1.4826).abs() < 1e-6);
    }
}
