//! The white matter of a T1-weighted scan: the mode of the brightest of three classes.

use crate::VolumeError;

/// Bins of the histogram.
const BINS: usize = 256;
/// Standard deviation of the Gaussian that smooths it before its mode is taken, in bins.
const SMOOTHING_BINS: f64 = 3.0;

/// Intensity of white matter; `values` are those of the brain, not empty, ≥ 0.
///
/// # Errors
/// [`VolumeError::NoContrast`] for values that all are one.
pub(super) fn peak(values: &[f32]) -> Result<f32, VolumeError> {
    let (low, top) = range(values);
    let (low, top) = (f64::from(low), f64::from(top));
    if top <= low {
        return Err(VolumeError::NoContrast { low: low as f32, high: top as f32 });
    }
    let width = (top - low) / BINS as f64;
    let mut counts = [0.0; BINS];
    for &value in values {
        let bin = ((f64::from(value) - low) / width) as usize;
        counts[bin.min(BINS - 1)] += 1.0;
    }
    let brightest = brightest_of_three(&counts);
    // Grey matter must not lean over the threshold, and the last bin holds all that is brighter: vessels and fat.
    counts[..brightest].fill(0.0);
    counts[BINS - 1] = 0.0;
    let smooth = smoothed(&counts);
    let mode = (brightest..BINS - 1)
        .fold(brightest, |best, bin| if smooth[bin] > smooth[best] { bin } else { best });
    Ok((low + (mode as f64 + 0.5) * width) as f32)
}

/// Least value and 99.9th percentile, or the greatest value where that is no greater than the least.
fn range(values: &[f32]) -> (f32, f32) {
    let mut values = values.to_vec();
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let top = super::quantile(&mut values, 0.999);
    (low, if top > low { top } else { values.iter().copied().fold(low, f32::max) })
}

/// First bin of the brightest of three classes, whose variance within is least: Otsu's method with two thresholds.
fn brightest_of_three(counts: &[f64; BINS]) -> usize {
    // Sums of counts and of bins up to a bin, so that a class is two differences.
    let mut sums = vec![[0.0; 2]; BINS + 1];
    for (bin, &count) in counts.iter().enumerate() {
        sums[bin + 1] = [sums[bin][0] + count, sums[bin][1] + count * bin as f64];
    }
    // The variance between classes but for a constant.
    let between = |from: usize, to: usize| {
        let [count, sum] = [0, 1].map(|k| sums[to][k] - sums[from][k]);
        if count > 0.0 { sum * sum / count } else { 0.0 }
    };
    let (mut best, mut start) = (f64::NEG_INFINITY, 0);
    for first in 1..BINS - 1 {
        for second in first + 1..BINS {
            let value = between(0, first) + between(first, second) + between(second, BINS);
            if value > best {
                (best, start) = (value, second);
            }
        }
    }
    start
}

fn smoothed(counts: &[f64; BINS]) -> Vec<f64> {
    let reach = (4.0 * SMOOTHING_BINS) as usize;
    let weight = |distance: usize| (-0.5 * (distance as f64 / SMOOTHING_BINS).powi(2)).exp();
    let sum = |bin: usize| {
        let from = bin.saturating_sub(reach);
        let near = from..(bin + reach + 1).min(BINS);
        near.map(|other| weight(bin.abs_diff(other)) * counts[other]).sum()
    };
    (0..BINS).map(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_mode_of_the_brightest_class_and_no_mean() {
        // 50 dark, 200 grey, and white matter of 100 voxels at 160 with a tail of 40 up to 200.
        let mut values = vec![30.0; 50];
        values.extend([90.0; 200]);
        values.extend([160.0; 100]);
        values.extend((0..40).map(|i| 161.0 + i as f32));
        let found = peak(&values).unwrap();
        assert!((found - 160.0).abs() < 1.5, "{found}");
    }

    #[test]
    fn a_constant_has_no_peak() {
        assert!(matches!(peak(&[5.0; 9]), Err(VolumeError::NoContrast { .. })));
    }

    #[test]
    fn twice_the_intensities_have_twice_the_peak() {
        let values: Vec<f32> =
            (0..1000).map(|i| [10.0, 50.0, 80.0][i % 3] + (i % 7) as f32).collect();
        let doubled: Vec<f32> = values.iter().map(|value| 2.0 * value).collect();
        let (one, two) = (peak(&values).unwrap(), peak(&doubled).unwrap());
        assert!((two / one - 2.0).abs() < 1e-5, "{one} {two}");
    }
}
