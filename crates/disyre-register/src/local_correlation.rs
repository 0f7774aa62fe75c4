//! Squared correlation within blocks, and its derivative.

use rayon::prelude::*;

/// Mean over blocks of the squared correlation of two sets of intensities.
///
/// # Source
/// The measure of Avants, Epstein, Grossman & Gee, Medical Image Analysis 12 (2008) 26, over blocks side by side instead
/// of one around each voxel (ours: blocks are independent, so that their number can be chosen).
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalCorrelation {
    /// Samples of a block.
    pub(crate) block: usize,
}

/// Variance that counts as noise, of intensities in `[0, 1]`: a standard deviation of a hundredth.
const NOISE: f64 = 1e-4;

impl LocalCorrelation {
    /// The mean squared correlation, in `[0, 1]`, and into `slopes` its derivatives by the scan's intensities.
    ///
    /// # Shapes and units
    /// All of one length, a multiple of `block`. Intensities in `[0, 1]`; a scan's intensity that is not a number is
    /// left out, and its slope is 0. A block of which less than half is known does not count.
    pub(crate) fn evaluate(self, template: &[f32], scan: &[f32], slopes: &mut [f32]) -> f64 {
        let blocks = slopes.par_chunks_mut(self.block).zip(scan.par_chunks(self.block));
        let blocks = blocks.zip(template.par_chunks(self.block));
        let values: Vec<Option<f64>> = blocks
            .map(|((slopes, scan), template)| squared_correlation(template, scan, slopes))
            .collect();
        let count = values.iter().flatten().count();
        if count == 0 {
            return 0.0;
        }
        slopes.iter_mut().for_each(|slope| *slope /= count as f32);
        values.iter().flatten().sum::<f64>() / count as f64
    }
}

/// Squared correlation of one block and its derivatives; `None`, and derivatives of 0, if too little is known.
fn squared_correlation(template: &[f32], scan: &[f32], slopes: &mut [f32]) -> Option<f64> {
    slopes.fill(0.0);
    let known = || {
        let pairs = template.iter().zip(scan).filter(|(_, scan)| !scan.is_nan());
        pairs.map(|(&template, &scan)| (f64::from(template), f64::from(scan)))
    };
    let count = known().count();
    if count == 0 || 2 * count < scan.len() {
        return None;
    }
    let n = count as f64;
    let sum = known().fold([0.0; 2], |sum, (f, m)| [sum[0] + f, sum[1] + m]);
    let mean = sum.map(|sum| sum / n);
    let [mut ff, mut mm, mut fm] = [NOISE, NOISE, 0.0];
    for (f, m) in known() {
        let (f, m) = (f - mean[0], m - mean[1]);
        ff += f * f / n;
        mm += m * m / n;
        fm += f * m / n;
    }
    let value = fm * fm / (ff * mm);
    let factor = 2.0 * fm / (ff * mm * n);
    for ((slope, &scan), &template) in slopes.iter_mut().zip(scan).zip(template) {
        if !scan.is_nan() {
            let (f, m) = (f64::from(template) - mean[0], f64::from(scan) - mean[1]);
            *slope = (factor * (f - fm / mm * m)) as f32;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Key;
    use disyre_core::rand::RngExt;
    use proptest::prelude::*;

    #[test]
    fn any_linear_relation_within_each_block_is_a_correlation_of_one() {
        let template: Vec<f32> = (0..16).map(|i| (i % 8) as f32 / 8.0).collect();
        // Rising in the first block, falling in the second.
        let scan: Vec<f32> = (0..16)
            .map(|i| if i < 8 { 0.5 * template[i] + 0.1 } else { 0.9 - 0.8 * template[i] })
            .collect();
        let value = LocalCorrelation { block: 8 }.evaluate(&template, &scan, &mut [0.0; 16]);
        assert!((0.99..1.0).contains(&value), "{value}");
    }

    #[test]
    fn flat_and_unknown_blocks_add_nothing() {
        let template: Vec<f32> = (0..16).map(|i| (i % 8) as f32 / 8.0).collect();
        let mut scan = template.clone();
        scan[8..13].fill(f32::NAN);
        let mut slopes = [1.0; 16];
        let half = LocalCorrelation { block: 8 }.evaluate(&template, &scan, &mut slopes);
        assert!(half > 0.99 && slopes[8..].iter().all(|&slope| slope == 0.0));
        let flat = LocalCorrelation { block: 8 }.evaluate(&template, &[0.5; 16], &mut slopes);
        assert_eq!(flat, 0.0);
    }

    proptest! {
        #[test]
        fn slopes_are_the_derivative(seed: u64, sample in 0usize..54) {
            let mut rng = Key::new(seed).rng();
            let template: Vec<f32> = (0..54).map(|_| rng.random()).collect();
            let scan: Vec<f32> =
                template.iter().map(|t| 0.5 * t + 0.5 * rng.random::<f32>()).collect();
            let metric = LocalCorrelation { block: 27 };
            let mut slopes = vec![0.0; 54];
            metric.evaluate(&template, &scan, &mut slopes);
            let at = |step: f32| {
                let mut moved = scan.clone();
                moved[sample] += step;
                let value = metric.evaluate(&template, &moved, &mut vec![0.0; 54]);
                (value, f64::from(moved[sample]))
            };
            let (low, high) = (at(-1e-3), at(1e-3));
            let expected = (high.0 - low.0) / (high.1 - low.1);
            prop_assert!((f64::from(slopes[sample]) - expected).abs() < 1e-4);
        }
    }
}
