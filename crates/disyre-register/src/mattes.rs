//! Mutual information of two sets of intensities, and its derivative.

use rayon::prelude::*;

/// Mutual information by a joint histogram: cubic B-splines along the scan's axis, boxes along the template's.
///
/// # Source
/// Mattes, Haynor, Vesselle, Lewellen & Eubank, IEEE Transactions on Medical Imaging 22 (2003) 120.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mattes {
    pub(crate) bins: usize,
}

/// Samples of one task; the sums of the tasks are added in order.
const PIECE: usize = 4096;

/// Bins at each end of the scan's axis into which only the splines' tails reach.
const PADDING: usize = 2;

impl Mattes {
    /// Mutual information in nats, and into `slopes` its derivatives by the scan's intensities.
    ///
    /// # Shapes and units
    /// All of one length. Intensities in `[0, 1]`; a scan's intensity that is not a number is left out, and its slope
    /// is 0.
    pub(crate) fn evaluate(self, template: &[f32], scan: &[f32], slopes: &mut [f32]) -> f64 {
        let joint = self.joint_histogram(template, scan);
        let total: f64 = joint.iter().sum();
        if total <= 0.0 {
            slopes.fill(0.0);
            return 0.0;
        }
        let (ratios, information) = self.log_ratios(&joint, total);
        let per_sample = self.scale() / total;
        let pieces = slopes.par_chunks_mut(PIECE).zip(scan.par_chunks(PIECE));
        pieces.zip(template.par_chunks(PIECE)).for_each(|((slopes, scan), template)| {
            for ((slope, &scan), &template) in slopes.iter_mut().zip(scan).zip(template) {
                *slope = 0.0;
                if scan.is_nan() {
                    continue;
                }
                let (first, fraction) = self.place(scan);
                let row = &ratios[self.row(template) + first..][..4];
                let derivative: f64 =
                    spline_derivatives(fraction).iter().zip(row).map(|(d, r)| d * r).sum();
                *slope = (derivative * per_sample) as f32;
            }
        });
        information
    }

    /// Sum of the weights of each pair of bins: template rows, scan columns.
    fn joint_histogram(self, template: &[f32], scan: &[f32]) -> Vec<f64> {
        let pieces = template.par_chunks(PIECE).zip(scan.par_chunks(PIECE));
        let pieces: Vec<Vec<f64>> = pieces
            .map(|(template, scan)| {
                let mut joint = vec![0.0; self.bins * self.bins];
                for (&template, &scan) in template.iter().zip(scan) {
                    if scan.is_nan() {
                        continue;
                    }
                    let (first, fraction) = self.place(scan);
                    let row = &mut joint[self.row(template) + first..][..4];
                    for (sum, weight) in row.iter_mut().zip(spline(fraction)) {
                        *sum += weight;
                    }
                }
                joint
            })
            .collect();
        let mut joint = vec![0.0; self.bins * self.bins];
        for piece in pieces {
            joint.iter_mut().zip(piece).for_each(|(sum, part)| *sum += part);
        }
        joint
    }

    /// log(p(f, m) / p(m)) of every pair of bins, 0 where p(f, m) is 0; and the mutual information.
    fn log_ratios(self, joint: &[f64], total: f64) -> (Vec<f64>, f64) {
        let mut of_scan = vec![0.0; self.bins];
        for row in joint.chunks_exact(self.bins) {
            of_scan.iter_mut().zip(row).for_each(|(sum, part)| *sum += part / total);
        }
        let mut information = 0.0;
        let mut ratios = Vec::with_capacity(joint.len());
        for row in joint.chunks_exact(self.bins) {
            let of_template: f64 = row.iter().sum::<f64>() / total;
            for (&weight, &of_scan) in row.iter().zip(&of_scan) {
                let p = weight / total;
                let ratio = if p > 0.0 { (p / of_scan).ln() } else { 0.0 };
                if p > 0.0 {
                    information += p * (ratio - of_template.ln());
                }
                ratios.push(ratio);
            }
        }
        (ratios, information)
    }

    /// Bins for an intensity difference of 1.
    fn scale(self) -> f64 {
        (self.bins - 2 * PADDING - 1) as f64
    }

    /// First of the four bins that an intensity of the scan adds to, and its fraction within the second.
    fn place(self, scan: f32) -> (usize, f64) {
        let place = PADDING as f64 + f64::from(scan) * self.scale();
        (place as usize - 1, place.fract())
    }

    /// Start of the row of an intensity of the template.
    fn row(self, template: f32) -> usize {
        let bin = (template * self.bins as f32) as usize;
        bin.min(self.bins - 1) * self.bins
    }
}

/// Cubic B-spline weights of the bins at −1, 0, 1 and 2 for a place at `t` in `[0, 1)`.
fn spline(t: f64) -> [f64; 4] {
    let u = 1.0 - t;
    [
        u * u * u / 6.0,
        (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0,
        (4.0 - 6.0 * u * u + 3.0 * u * u * u) / 6.0,
        t * t * t / 6.0,
    ]
}

/// Derivatives of [`spline`].
fn spline_derivatives(t: f64) -> [f64; 4] {
    let u = 1.0 - t;
    [-u * u / 2.0, (3.0 * t - 4.0) * t / 2.0, (4.0 - 3.0 * u) * u / 2.0, t * t / 2.0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Key;
    use disyre_core::rand::RngExt;
    use proptest::prelude::*;

    const MATTES: Mattes = Mattes { bins: 32 };

    fn noise(name: &str, count: usize) -> Vec<f32> {
        let mut rng = Key::new(1).child(name).rng();
        (0..count).map(|_| rng.random()).collect()
    }

    #[test]
    fn two_equal_classes_share_one_bit() {
        // Half of the samples at one intensity, half at another, far apart: log 2 nats.
        let values: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 0.1 } else { 0.9 }).collect();
        let information = MATTES.evaluate(&values, &values, &mut vec![0.0; 1000]);
        assert!((information - 2.0f64.ln()).abs() < 1e-12, "{information}");
        // An inverted contrast informs as much.
        let inverted: Vec<f32> = values.iter().map(|value| 1.0 - value).collect();
        let inverted = MATTES.evaluate(&values, &inverted, &mut vec![0.0; 1000]);
        assert!((inverted - 2.0f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn independent_intensities_share_nothing_but_the_bias_of_the_histogram() {
        let (a, b) = (noise("a", 200_000), noise("b", 200_000));
        let information = MATTES.evaluate(&a, &b, &mut vec![0.0; a.len()]);
        // Without splines the bias is (bins − 1)² / 2n = .0024 nats; splines lower it.
        assert!((0.0..0.0024).contains(&information), "{information}");
    }

    #[test]
    fn unknown_intensities_are_left_out() {
        let (template, mut scan) = (noise("a", 1000), noise("a", 1000));
        scan[500..].fill(f32::NAN);
        let mut slopes = vec![1.0; 1000];
        let whole = MATTES.evaluate(&template, &scan, &mut slopes);
        assert!(slopes[500..].iter().all(|&slope| slope == 0.0));
        let part = MATTES.evaluate(&template[..500], &scan[..500], &mut vec![0.0; 500]);
        assert_eq!(whole, part);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn slopes_are_the_derivative(seed: u64, sample in 0usize..500) {
            let mut rng = Key::new(seed).rng();
            let template: Vec<f32> = (0..500).map(|_| rng.random()).collect();
            let mut scan: Vec<f32> =
                template.iter().map(|t| 0.7 * t + 0.3 * rng.random::<f32>()).collect();
            scan[sample] = 0.05 + 0.9 * scan[sample];
            let mut slopes = vec![0.0; 500];
            MATTES.evaluate(&template, &scan, &mut slopes);
            let at = |step: f32| {
                let mut moved = scan.clone();
                moved[sample] += step;
                let value = MATTES.evaluate(&template, &moved, &mut vec![0.0; 500]);
                (value, f64::from(moved[sample]))
            };
            let (low, high) = (at(-1e-3), at(1e-3));
            let expected = (high.0 - low.0) / (high.1 - low.1);
            prop_assert!((f64::from(slopes[sample]) - expected).abs() < 2e-4, "{}, {expected}", slopes[sample]);
        }
    }
}
