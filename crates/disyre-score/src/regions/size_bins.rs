//! Bins of lesion volumes.

use serde::{Deserialize, Serialize};

use crate::ScoreError;

/// Bins of lesion volumes, by the limits between them in mm³; a lesion at a limit is in the greater bin.
///
/// The default has limits of 100 mm³, 1 ml and 10 ml: balls of 5.8, 12.4 and 26.7 mm in diameter. Decades are ours:
/// published bins differ between lesions of multiple sclerosis (a few voxels) and strokes or tumours (many ml), and
/// these span both.
///
/// ```
/// use disyre_score::regions::SizeBins;
/// let bins = SizeBins::new(vec![100.0, 1000.0])?;
/// assert_eq!(bins.len(), 3);
/// assert_eq!((bins.index(99.9), bins.index(100.0), bins.index(5e4)), (0, 1, 2));
/// assert_eq!(bins.range_mm3(1), (100.0, Some(1000.0)));
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct SizeBins {
    limits_mm3: Vec<f64>,
}

impl Default for SizeBins {
    fn default() -> Self {
        Self { limits_mm3: vec![100.0, 1_000.0, 10_000.0] }
    }
}

impl SizeBins {
    /// Bins between these limits, one more than limits.
    ///
    /// # Errors
    /// [`ScoreError::SizeBins`] unless the limits ascend and are above 0 and finite.
    pub fn new(limits_mm3: Vec<f64>) -> Result<Self, ScoreError> {
        let ascending = limits_mm3.is_sorted_by(|a, b| a < b);
        if ascending && limits_mm3.iter().all(|&limit| limit > 0.0 && limit.is_finite()) {
            Ok(Self { limits_mm3 })
        } else {
            Err(ScoreError::SizeBins { limits_mm3 })
        }
    }

    /// Number of bins.
    #[expect(clippy::len_without_is_empty, reason = "there is always a bin")]
    pub fn len(&self) -> usize {
        self.limits_mm3.len() + 1
    }

    /// Bin of a volume in mm³.
    pub fn index(&self, volume_mm3: f64) -> usize {
        self.limits_mm3.partition_point(|&limit| reaches(volume_mm3, limit))
    }

    /// Least volume of a bin and the least of the next, in mm³; the last has no end.
    pub fn range_mm3(&self, bin: usize) -> (f64, Option<f64>) {
        let low = bin.checked_sub(1).and_then(|index| self.limits_mm3.get(index));
        (low.copied().unwrap_or(0.0), self.limits_mm3.get(bin).copied())
    }
}

/// Share of a limit by which a volume may fall short of it: a spacing of 32 bits is off by 6e-8, its cube by three times
/// as much.
const SLACK: f64 = 1e-6;

/// Whether a volume is at least a limit, but for rounding.
pub(super) fn reaches(volume_mm3: f64, limit_mm3: f64) -> bool {
    volume_mm3 >= limit_mm3 * (1.0 - SLACK)
}

impl TryFrom<Vec<f64>> for SizeBins {
    type Error = ScoreError;

    fn try_from(limits_mm3: Vec<f64>) -> Result<Self, ScoreError> {
        Self::new(limits_mm3)
    }
}

impl From<SizeBins> for Vec<f64> {
    fn from(bins: SizeBins) -> Self {
        bins.limits_mm3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_voxels_reach_the_volume_of_ten_voxels_at_any_spacing() {
        let cubes = [0.7, f64::from(0.7_f32), 0.9, f64::from(1.1_f32), 3.0];
        for (edge_mm, limit_mm3) in cubes.into_iter().zip([3.43, 3.43, 7.29, 13.31, 270.0]) {
            let bins = SizeBins::new(vec![limit_mm3]).unwrap();
            let voxel_mm3: f64 = [edge_mm; 3].iter().product();
            assert_eq!(bins.index(10.0 * voxel_mm3), 1, "{edge_mm}");
            assert_eq!(bins.index(9.0 * voxel_mm3), 0, "{edge_mm}");
        }
    }

    #[test]
    fn limits_that_do_not_ascend_are_refused_in_files_too() {
        for bad in [vec![2.0, 1.0], vec![1.0, 1.0], vec![0.0], vec![f64::NAN], vec![f64::INFINITY]]
        {
            assert!(SizeBins::new(bad).is_err());
        }
        assert!(serde_json::from_str::<SizeBins>("[3.0, 2.0]").is_err());
        let bins: SizeBins = serde_json::from_str("[2.0, 3.0]").unwrap();
        assert_eq!(serde_json::to_string(&bins).unwrap(), "[2.0,3.0]");
        assert_eq!(SizeBins::new(Vec::new()).unwrap().range_mm3(0), (0.0, None));
    }
}
