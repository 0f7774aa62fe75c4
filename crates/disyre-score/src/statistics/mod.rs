//! How sure a measure is, and whether two methods differ: bootstrap intervals over subjects, tests, and their correction
//! where there are several.
//!
//! The unit is the subject (the case), never the voxel: voxels of one scan are not independent of each other.

mod bootstrap;
mod correction;
mod interval;
mod normal;
mod paired;
mod ranks;
mod replicates;
mod sign_flip;
mod unpaired;
mod wilcoxon;

pub use bootstrap::{Bootstrap, BootstrapConfig};
pub use correction::{benjamini_hochberg, holm};
pub use interval::Interval;
pub use paired::{PairedComparison, compare_paired};
pub use replicates::{IntervalMethod, Replicates};
pub use sign_flip::sign_flip;
pub use unpaired::{Alternative, UnpairedComparison, compare_unpaired, mann_whitney};
pub use wilcoxon::wilcoxon;

use crate::ScoreError;
use disyre_core::ShapeError;

/// Refuses an empty list of values, or one with a value that is not finite.
fn ensure_values(array: &'static str, values: &[f64]) -> Result<(), ScoreError> {
    if values.is_empty() {
        return Err(ShapeError::Empty { array }.into());
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(ShapeError::NotFinite { array, index: vec![index] }.into()),
        None => Ok(()),
    }
}
