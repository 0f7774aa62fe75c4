//! [`FrocPool`]: the FROC curve of many scans up to a rate of false positives, without the thresholds that lie below it.

use super::froc::{FrocCase, FrocCurve, froc, threshold_beyond};
use crate::ScoreError;

/// Changes of counts that may be held before those below the rate are looked for: 12 MiB.
const LEAST_HELD: usize = 1 << 20;

/// The FROC curve of many scans up to a rate of false positives per scan, in memory that hardly grows with their number.
///
/// Once the scans so far have more false findings at a threshold than all scans may have at the rate, no lower threshold
/// matters, of these scans or of later ones. So some changes of counts for each false finding within the rate are held, and
/// not one for each voxel; the sensitivities up to the rate are those of [`froc`], to the bit.
///
/// ```
/// use disyre_score::regions::{FrocPool, LesionConfig, Lesions};
/// use disyre_score::ndarray::array;
/// let label = array![[[1, 0, 0, 0, 1, 0, 0]]]; // (z, y, x): two lesions
/// let score = array![[[0.9, 0.0, 0.7, 0.0, 0.5, 0.0, 0.1]]];
/// let lesions = Lesions::new(label.view(), None, [1.0; 3])?;
/// let mut pool = FrocPool::new(1, 8.0);
/// pool.add(LesionConfig::default().build()?.froc_case(&lesions, score.view())?);
/// assert_eq!(pool.curve()?.sensitivity_at(1.0), 1.0);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
///
/// # Source
/// Ours.
#[derive(Debug, Clone)]
pub struct FrocPool {
    cases: Vec<FrocCase>,
    /// False findings of all scans together beyond which no threshold matters.
    most: u64,
    /// The least threshold that matters, as it is encoded.
    least: u32,
    /// Number of changes to hold before the next look.
    limit: usize,
}

impl FrocPool {
    /// A pool for so many scans or fewer, and for rates up to `rate` false positives per scan. `usize::MAX` scans: their
    /// number is not known, and all thresholds are held.
    pub fn new(scans: usize, rate: f64) -> Self {
        let most = (rate * scans as f64).ceil() as u64;
        Self { cases: Vec::new(), most, least: 0, limit: LEAST_HELD }
    }

    /// Adds a scan.
    pub fn add(&mut self, mut case: FrocCase) {
        case.keep_above(self.least);
        self.cases.push(case);
        if self.held() > self.limit {
            if let Some(key) = threshold_beyond(&self.cases, self.most) {
                self.least = key;
                self.cases.iter_mut().for_each(|case| case.keep_above(key));
            }
            self.limit = LEAST_HELD.max(2 * self.held());
        }
    }

    /// The curve up to the rate, and a little beyond it.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] if no scan has a lesion.
    pub fn curve(&self) -> Result<FrocCurve, ScoreError> {
        froc(&self.cases)
    }

    fn held(&self) -> usize {
        self.cases.iter().map(FrocCase::changes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regions::{LUNA16_RATES, LesionConfig, Lesions};
    use disyre_core::ndarray::Array3;
    use disyre_core::rand::RngExt;
    use disyre_core::{Key, ndarray::Zip};

    /// A noisy map with a lesion that scores a little more.
    fn case(key: Key) -> FrocCase {
        let mut rng = key.rng();
        let label = Array3::from_shape_fn([12, 40, 40], |(z, y, x)| {
            u8::from((3..8).contains(&z) && (9..14).contains(&y) && (20..24).contains(&x))
        });
        let mut score = Array3::from_shape_simple_fn([12, 40, 40], || rng.random::<f32>());
        Zip::from(&mut score).and(&label).for_each(|score, &label| {
            *score += 0.1 * f32::from(label);
        });
        let lesions = Lesions::new(label.view(), None, [1.0; 3]).unwrap();
        LesionConfig::default().build().unwrap().froc_case(&lesions, score.view()).unwrap()
    }

    #[test]
    fn sensitivities_up_to_the_rate_are_those_of_all_thresholds() {
        let cases: Vec<FrocCase> = (0..8u64).map(|index| case(Key::new(3).child(index))).collect();
        let whole = froc(&cases).unwrap();
        for limit in [0, 2000, 20_000] {
            let mut pool = FrocPool { limit, ..FrocPool::new(10, 8.0) };
            for case in &cases {
                pool.add(case.clone());
                // The limit of a real pool is that of thousands of voxels.
                pool.limit = limit;
            }
            let curve = pool.curve().unwrap();
            for rate in LUNA16_RATES.into_iter().chain([0.0, 3.3]) {
                assert_eq!(curve.sensitivity_at(rate), whole.sensitivity_at(rate), "{rate}");
            }
            assert!(whole.sensitivity_at(8.0) > 0.0 && whole.sensitivity_at(0.5) < 1.0);
        }
        let all: usize = cases.iter().map(FrocCase::changes).sum();
        let mut pool = FrocPool { limit: 0, ..FrocPool::new(8, 8.0) };
        cases.into_iter().for_each(|case| {
            pool.limit = 0;
            pool.add(case);
        });
        assert!(pool.held() * 50 < all, "{} of {all}", pool.held());
    }
}
