//! Collects the voxels of cases in bounded memory: sorted runs above a budget go to a temporary file.

use std::path::PathBuf;

use disyre_core::ndarray::ArrayView1;
use disyre_core::{ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use super::keys::Spill;
use super::levels::Run;
use super::split::Split;
use crate::{RankedScores, ScoreError};

/// Bytes that a voxel takes: its key, which is sorted in place.
const BYTES_PER_VOXEL: usize = size_of::<u32>();

/// Settings of a [`ScorePool`].
///
/// ```
/// use disyre_score::ScorePoolConfig;
/// let mut pool = ScorePoolConfig { budget_bytes: 1 << 20, ..Default::default() }.build();
/// pool.add(&[0.1, 0.8], &[0, 1])?;
/// assert_eq!(pool.rank()?.average_precision()?, 1.0);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScorePoolConfig {
    /// Memory for voxels, in bytes: 4 for each. Voxels beyond it are sorted and written to a temporary file, 4 bytes each,
    /// which stays open until the ranking is dropped. A single case is held in any event.
    pub budget_bytes: usize,
    /// Folder of the temporary file, which has no name there; default: that of the system.
    pub folder: Option<PathBuf>,
}

/// 1 GiB: 33 volumes of 8 million voxels.
impl Default for ScorePoolConfig {
    fn default() -> Self {
        Self { budget_bytes: 1 << 30, folder: None }
    }
}

impl ScorePoolConfig {
    /// An empty pool.
    pub fn build(self) -> ScorePool {
        ScorePool { config: self, ..ScorePool::default() }
    }
}

/// The voxels of one or many cases, collected for metrics over all of them: pooled ones.
///
/// Holds as much memory as [`ScorePoolConfig::budget_bytes`] says, however many cases are added; the metrics are the same
/// to the bit for any budget. The order of cases and voxels has no effect.
///
/// ```
/// use disyre_score::ScorePool;
/// let mut pool = ScorePool::default();
/// pool.add(&[0.1, 0.8], &[0, 1])?; // one case
/// pool.add(&[0.9, 0.4], &[0, 0])?; // another, without a lesion
/// let pooled = pool.rank()?;
/// assert_eq!((pooled.positives(), pooled.negatives()), (1, 3));
/// assert_eq!(pooled.average_precision()?, 0.5);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Default)]
pub struct ScorePool {
    config: ScorePoolConfig,
    pending: Split,
    spilled: Vec<Run>,
    file: Spill,
}

impl ScorePool {
    /// Adds the voxels of a case.
    ///
    /// # Shapes and units
    /// One label for each score; non-zero = lesion. Any finite score, greater = more abnormal.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the lengths differ or a score is not finite; [`ScoreError::Spill`] if the temporary file
    /// cannot be written. The pool then holds the same voxels as before.
    pub fn add(&mut self, scores: &[f32], labels: &[u8]) -> Result<(), ScoreError> {
        ensure_same_shape("labels", &[scores.len()], &[labels.len()])?;
        ensure_finite("scores", &ArrayView1::from(scores))?;
        let voxels = self.pending.voxels();
        if voxels > 0 && (voxels + scores.len()) * BYTES_PER_VOXEL > self.config.budget_bytes {
            self.spill()?;
        }
        self.pending.append(scores, labels);
        Ok(())
    }

    /// Sorts and merges all voxels. Holds up to 16 MiB of the runs that were written to the temporary file.
    ///
    /// # Errors
    /// [`ScoreError::Spill`] if the temporary file cannot be read.
    pub fn rank(mut self) -> Result<RankedScores, ScoreError> {
        if self.spilled.is_empty() {
            return RankedScores::of_split(self.pending);
        }
        self.spilled.push(self.pending.into_run());
        RankedScores::of_runs(self.spilled)
    }

    /// Writes the pending voxels to the temporary file, as a sorted run.
    fn spill(&mut self) -> Result<(), ScoreError> {
        self.pending.sort();
        let lists = [&self.pending.positives[..], &self.pending.negatives[..]];
        let spilled = self.file.write(lists, self.config.folder.as_deref());
        let [positives, negatives] = spilled.map_err(ScoreError::spill)?;
        self.spilled.push(Run { positives, negatives });
        self.pending = Split::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_case_is_refused_and_leaves_the_pool_as_it_was() {
        let mut pool = ScorePool::default();
        pool.add(&[0.1, 0.2], &[0, 1]).unwrap();
        let error = pool.add(&[0.1, f32::NAN], &[0, 0]).unwrap_err();
        assert!(error.to_string().starts_with("scores holds a value that is not finite"));
        let error = pool.add(&[0.1], &[0, 0]).unwrap_err();
        assert_eq!(error.to_string(), "labels has shape [2], expected [1]");
        let ranked = pool.rank().unwrap();
        assert_eq!((ranked.positives(), ranked.negatives()), (1, 1));
        assert!(ranked.at(f32::NAN).is_err());
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error_and_keeps_the_voxels() {
        let folder = Some("no/such/folder".into());
        let mut pool = ScorePoolConfig { budget_bytes: 4, folder }.build();
        pool.add(&[0.5], &[1]).unwrap();
        let error = pool.add(&[0.25], &[0]).unwrap_err();
        assert!(error.to_string().contains("temporary file (No such"), "{error}");
        let ranked = pool.rank().unwrap();
        assert_eq!((ranked.positives(), ranked.negatives()), (1, 0));
    }

    #[test]
    fn held_voxels_stay_within_the_budget() {
        let budget_bytes = 100 * BYTES_PER_VOXEL;
        let mut pool = ScorePoolConfig { budget_bytes, folder: None }.build();
        for case in 0..50 {
            let scores: Vec<f32> = (0..30).map(|voxel| (voxel * case % 17) as f32).collect();
            let labels: Vec<u8> = (0..30).map(|voxel| u8::from(voxel % 4 == 0)).collect();
            pool.add(&scores, &labels).unwrap();
            assert!(pool.pending.voxels() * BYTES_PER_VOXEL <= budget_bytes);
        }
        // Three cases a run, the last two still pending.
        assert_eq!((pool.spilled.len(), pool.pending.voxels()), (16, 60));
        assert_eq!(pool.rank().unwrap().positives(), 50 * 8);
    }
}
