//! Sharpening of the histogram of log intensities by Wiener deconvolution with a Gaussian.
use std::f64::consts::{LN_2, PI};
use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlannerScalar};

/// Least and greatest log intensity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extent {
    pub(crate) least: f32,
    pub(crate) greatest: f32,
}

impl Extent {
    /// The extent of nothing.
    pub(crate) const EMPTY: Self = Self { least: f32::INFINITY, greatest: f32::NEG_INFINITY };

    /// The least extent that holds both.
    pub(crate) fn union(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), greatest: self.greatest.max(other.greatest) }
    }

    /// The least extent that holds also `value`.
    pub(crate) fn with(self, value: f32) -> Self {
        self.union(Self { least: value, greatest: value })
    }
}

/// Equally spaced bins; the centre of the first is the least value, that of the last the greatest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bins {
    least: f64,
    /// Distance between centres.
    width: f64,
    /// Its reciprocal.
    per_width: f64,
    pub(crate) count: usize,
}

impl Bins {
    /// Bins over an extent; `None` if it has no width, where there is nothing to sharpen.
    pub(crate) fn new(extent: Extent, count: usize) -> Option<Self> {
        let (least, greatest) = (f64::from(extent.least), f64::from(extent.greatest));
        let width = (greatest - least) / (count - 1) as f64;
        let per_width = 1.0 / width;
        (width > 0.0 && per_width.is_finite()).then_some(Self { least, width, per_width, count })
    }

    /// The bin below a value and the share of the next one.
    fn place(&self, value: f32) -> (usize, f64) {
        let at = (f64::from(value) - self.least) * self.per_width;
        let bin = (at as usize).min(self.count - 2);
        (bin, at - bin as f64)
    }

    /// Adds one value to a histogram, shared between the two nearest bins.
    pub(crate) fn count(&self, value: f32, histogram: &mut [f64]) {
        let (bin, share) = self.place(value);
        histogram[bin] += 1.0 - share;
        histogram[bin + 1] += share;
    }
}

/// Expected true log intensity for each observed one.
#[derive(Debug)]
pub(crate) struct SharpenedMap {
    bins: Bins,
    /// Expectation at the centre of each bin.
    expected: Vec<f64>,
}

impl SharpenedMap {
    /// The expectation, linear between centres.
    pub(crate) fn at(&self, value: f32) -> f64 {
        let (bin, share) = self.bins.place(value);
        let (low, high) = (self.expected[bin], self.expected[bin + 1]);
        low + (high - low) * share
    }
}

/// Deconvolution of histograms: the histogram V is that of the true image, U, blurred by the Gaussian F of the field.
///
/// U is estimated by the Wiener filter G = F* / (|F|² + noise) and cut at 0; the expected true value for an observed one
/// is E(u | v) = (F ∗ (u U)) / (F ∗ U).
///
/// # Source
/// Sled, Zijdenbos and Evans (1998), equations 9 to 12, with the paddings and the noise term of ITK: Sled's Z² is `noise`.
#[derive(Clone)]
pub(crate) struct Sharpener {
    fwhm: f64,
    noise: f64,
    bins: usize,
    /// Padded length: twice the next power of two, at least.
    length: usize,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
}

impl fmt::Debug for Sharpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fwhm, noise, bins, length, .. } = self;
        write!(f, "Sharpener {{ fwhm: {fwhm}, noise: {noise}, bins: {bins}, length: {length} }}")
    }
}

impl Sharpener {
    pub(crate) fn new(bins: usize, fwhm: f64, noise: f64) -> Self {
        let length = 2 * bins.next_power_of_two();
        // Scalar code: the same bits on every processor, and a small part of the time.
        let mut planner = FftPlannerScalar::new();
        let (forward, inverse) =
            (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        Self { fwhm, noise, bins, length, forward, inverse }
    }

    /// Number of bins of the histograms.
    pub(crate) fn bins(&self) -> usize {
        self.bins
    }

    /// Map from observed to expected true values, of a histogram over `bins`.
    pub(crate) fn map(&self, bins: Bins, histogram: &[f64]) -> SharpenedMap {
        let blur = self.blur(bins.width);
        let offset = (self.length - self.bins) / 2;
        let mut sharp = vec![Complex64::ZERO; self.length];
        for (padded, &count) in sharp[offset..].iter_mut().zip(histogram) {
            padded.re = count;
        }
        // The spectrum of a symmetric blur is real, and so is the filter's.
        self.filter(&mut sharp, |n| blur[n] / (blur[n] * blur[n] + self.noise));
        // One transform for both: numerator as real part, denominator as imaginary part.
        for (n, value) in sharp.iter_mut().enumerate() {
            let density = value.re.max(0.0);
            let centre = bins.least + (n as f64 - offset as f64) * bins.width;
            *value = Complex64::new(centre * density, density);
        }
        self.filter(&mut sharp, |n| blur[n]);
        let ratio = |value: &Complex64| if value.im == 0.0 { 0.0 } else { value.re / value.im };
        let expected = sharp[offset..offset + self.bins].iter().map(ratio).collect();
        SharpenedMap { bins, expected }
    }

    /// Multiplies the spectrum of `values` by a real gain.
    fn filter(&self, values: &mut [Complex64], gain: impl Fn(usize) -> f64) {
        self.forward.process(values);
        let per_length = 1.0 / self.length as f64;
        for (n, value) in values.iter_mut().enumerate() {
            *value *= gain(n) * per_length;
        }
        self.inverse.process(values);
    }

    /// Spectrum of the Gaussian of full width `fwhm` at half maximum, for bins of a width; it is real.
    fn blur(&self, width: f64) -> Vec<f64> {
        let scaled = self.fwhm / width;
        let exponent = 4.0 * LN_2 / (scaled * scaled);
        let scale = 2.0 * (LN_2 / PI).sqrt() / scaled;
        let mut gaussian: Vec<Complex64> = (0..self.length)
            .map(|n| n.min(self.length - n) as f64)
            .map(|distance| Complex64::new(scale * (-distance * distance * exponent).exp(), 0.0))
            .collect();
        self.forward.process(&mut gaussian);
        gaussian.iter().map(|value| value.re).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(values: &[f32], count: usize) -> (Bins, Vec<f64>) {
        let extent = values.iter().fold(Extent::EMPTY, |extent, &value| extent.with(value));
        let bins = Bins::new(extent, count).unwrap();
        let mut histogram = vec![0.0; count];
        values.iter().for_each(|&value| bins.count(value, &mut histogram));
        (bins, histogram)
    }

    #[test]
    fn a_value_is_shared_between_its_two_nearest_bins() {
        let (_, histogram) = histogram(&[0.0, 4.0, 1.25], 5);
        assert_eq!(histogram, [1.0, 0.75, 0.25, 0.0, 1.0]);
    }

    #[test]
    fn values_without_width_have_no_bins() {
        assert!(Bins::new(Extent::EMPTY.with(0.5), 200).is_none());
        assert!(Bins::new(Extent::EMPTY, 200).is_none());
    }

    #[test]
    fn values_about_a_peak_are_drawn_to_it() {
        // Two narrow tissues at 0 and 1, each blurred by ±0.1.
        let values: Vec<f32> =
            (0..2000).map(|i| (i % 2) as f32 + 0.1 * ((i / 2) as f32 / 500.0 - 1.0)).collect();
        let (bins, histogram) = histogram(&values, 200);
        let map = Sharpener::new(200, 0.15, 0.01).map(bins, &histogram);
        for (value, peak) in [(-0.08, 0.0), (0.08, 0.0), (0.92, 1.0), (1.08, 1.0)] {
            let moved = map.at(value) - peak;
            let before = f64::from(value) - peak;
            assert!(moved.abs() < 0.7 * before.abs(), "{value} went to {}", map.at(value));
        }
    }

    proptest! {
        #[test]
        fn values_stay_within_their_extent(
            peaks in prop::collection::vec((-40.0_f32..3.0, 0_u32..6), 2..8), bins in 2_usize..300, fwhm in 0.01_f64..1.0,
        ) {
            prop_assume!(peaks.iter().any(|peak| peak.0 != peaks[0].0));
            let each = |&(value, digits): &(f32, u32)| vec![value; 10_usize.pow(digits)];
            let values: Vec<f32> = peaks.iter().flat_map(each).collect();
            let (bins, histogram) = histogram(&values, bins);
            let map = Sharpener::new(bins.count, fwhm, 0.01).map(bins, &histogram);
            let (least, greatest) = (bins.least, bins.least + bins.width * (bins.count - 1) as f64);
            let slack = 3.0 * (fwhm + bins.width);
            for value in peaks.iter().map(|peak| peak.0) {
                let expected = map.at(value);
                prop_assert!((least - slack..=greatest + slack).contains(&expected), "{value} went to {expected}");
            }
        }
    }
}
