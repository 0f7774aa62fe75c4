//! The width of a lesion's edge.

use std::ops::RangeInclusive;

use crate::samples::gaussian_share;

/// Standard deviation in millimetres of the Gaussian edge `a + (b − a)·Φ((d − shift)/width)` that fits samples of
/// distance (above 0 inside) and value best; `None` where there is no edge to see.
///
/// Widths from .3 to 5 mm and shifts of the border of up to 2 mm are tried; a and b follow by least squares. The samples
/// count as means over steps of a quarter of a millimetre. Where the greatest width fits best, the samples are a slope or
/// noise: no edge was found.
pub(crate) fn edge_width_mm(samples: &[(f32, f32)]) -> Option<f64> {
    /// Differences of the two sides below it are lost in the structure of the brain (ours).
    const LEAST_CONTRAST: f64 = 0.05;
    /// Both sides have to count.
    const LEAST_SAMPLES: usize = 30;
    /// Widths in tenths of a millimetre.
    const WIDTHS: RangeInclusive<i32> = 3..=50;
    let outside = samples.iter().filter(|(distance, _)| *distance < 0.0).count();
    if outside < LEAST_SAMPLES || samples.len() - outside < LEAST_SAMPLES {
        return None;
    }
    let means = means(samples);
    let mut best: Option<(f64, f64, f64)> = None;
    for width in WIDTHS.map(|tenth| f64::from(tenth) / 10.0) {
        for shift in (-8..=8).map(|quarter| f64::from(quarter) / 4.0) {
            let (error, contrast) = fit(&means, width, shift);
            if best.is_none_or(|(least, ..)| error < least) {
                best = Some((error, width, contrast));
            }
        }
    }
    let widest = f64::from(*WIDTHS.end()) / 10.0;
    let found = best.filter(|(_, width, contrast)| {
        *width < widest && contrast.is_finite() && contrast.abs() >= LEAST_CONTRAST
    });
    found.map(|(_, width, _)| width)
}

/// Mean distance and value of each step, and the number of samples.
fn means(samples: &[(f32, f32)]) -> Vec<[f64; 3]> {
    let mut steps = vec![[0.0f64; 3]; 64];
    for &(distance, value) in samples {
        let step = ((distance + 8.0) * 4.0).clamp(0.0, 63.0) as usize;
        let sums = &mut steps[step];
        *sums = [sums[0] + f64::from(distance), sums[1] + f64::from(value), sums[2] + 1.0];
    }
    steps.retain(|sums| sums[2] > 0.0);
    steps.iter().map(|[distance, value, count]| [distance / count, value / count, *count]).collect()
}

/// Squared error and b − a of the least squares of one width and shift.
fn fit(means: &[[f64; 3]], width: f64, shift: f64) -> (f64, f64) {
    let mut sums = [0.0f64; 6];
    for &[distance, value, count] in means {
        let share = gaussian_share((distance - shift) / width);
        let terms = [1.0, share, share * share, value, share * value, value * value];
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += count * term);
    }
    let [n, s, ss, v, sv, vv] = sums;
    let determinant = n * ss - s * s;
    if determinant <= 1e-9 * n * n {
        return (f64::INFINITY, 0.0);
    }
    let slope = (n * sv - s * v) / determinant;
    let offset = (v - slope * s) / n;
    (vv - offset * v - slope * sv, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples from 5 mm outside to 5 mm inside of an edge of this width.
    fn edge(width: f64) -> Vec<(f32, f32)> {
        let sample = |i: i32| {
            let distance = f64::from(i) / 50.0 - 5.0;
            (distance as f32, (0.1 - 0.4 * gaussian_share((distance - 0.5) / width)) as f32)
        };
        (0..500).map(sample).collect()
    }

    #[test]
    fn the_width_of_a_gaussian_edge_is_found() {
        for width in [0.6, 1.5, 3.0] {
            let found = edge_width_mm(&edge(width)).unwrap();
            assert!((found - width).abs() < 0.15, "{found} {width}");
        }
        let flat: Vec<_> = (0..500).map(|i| (i as f32 / 50.0 - 5.0, 0.01)).collect();
        assert_eq!(edge_width_mm(&flat), None);
    }

    #[test]
    fn a_transition_wider_than_all_that_are_tried_is_no_edge() {
        for width in [8.0, 20.0] {
            assert_eq!(edge_width_mm(&edge(width)), None, "{width}");
        }
        let slope: Vec<_> =
            (0..500).map(|i| i as f32 / 50.0 - 5.0).map(|d| (d, -0.08 * d)).collect();
        assert_eq!(edge_width_mm(&slope), None);
        let unknown: Vec<_> = slope.iter().map(|(distance, _)| (*distance, f32::NAN)).collect();
        assert_eq!(edge_width_mm(&unknown), None);
    }
}
