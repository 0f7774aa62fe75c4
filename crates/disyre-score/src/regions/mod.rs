//! Measures of regions: lesions and findings, FROC, PRO, distances of surfaces, volumes.
//!
//! A **lesion** is a 26-connected component of the label, a **finding** one of the prediction. [`Lesions`] holds those
//! of a case, with the brain and the spacing; every measure takes it:
//!
//! | measure | item | averaging |
//! | --- | --- | --- |
//! | lesion-wise recall by size, precision over findings, F1, false positives per scan | [`LesionMatcher::measures`] | counts that add up over cases |
//! | FROC: sensitivity at false positives per scan | [`LesionMatcher::froc_case`], [`froc`] | pooled over cases |
//! | PRO: mean overlap of lesions up to a rate of false positive voxels | [`ProCase`], [`pro`] | per volume with one case, pooled with all |
//! | Hausdorff 95, mean distance of surfaces | [`hausdorff_95_mm`], [`surface_distances`] | per volume |
//! | predicted volume minus that of the lesions | [`volume_error`] | per volume |
//!
//! ```
//! use disyre_score::ndarray::array;
//! use disyre_score::regions::{LesionConfig, Lesions, hausdorff_95_mm, volume_error};
//!
//! let label = array![[[1, 1, 0, 0, 0, 1]]]; // (z, y, x): two lesions
//! let score = array![[[0.9, 0.2, 0.1, 0.7, 0.1, 0.3]]];
//! let lesions = Lesions::new(label.view(), None, [1.0, 1.0, 2.0])?;
//! let prediction = lesions.predicted(score.view(), 0.5)?; // score ≥ 0.5: two findings
//! let found = LesionConfig::default().build()?.measures(&lesions, prediction.view())?;
//! assert_eq!((found.recall(), found.precision()), (Some(0.5), Some(0.5)));
//! assert_eq!(found.false_positives_per_scan(), Some(1.0));
//! assert_eq!(hausdorff_95_mm(&lesions, prediction.view())?, Some(3.8));
//! assert_eq!(volume_error(&lesions, prediction.view())?.signed_mm3(), -2.0);
//! # Ok::<(), disyre_score::ScoreError>(())
//! ```

mod distance_transform;
mod froc;
mod froc_pool;
mod lesion_matcher;
mod lesion_measures;
mod lesions;
mod overlap_rule;
mod pro;
mod size_bins;
mod surface_distances;
mod sweep;
mod tally;
mod volume_error;

use disyre_core::ndarray::ArrayView3;

pub use disyre_core::{Component, Components, Connectivity};
pub use froc::{FrocCase, FrocCurve, FrocPoint, LUNA16_RATES, froc};
pub use froc_pool::FrocPool;
pub use lesion_matcher::{LesionConfig, LesionMatcher};
pub use lesion_measures::{LesionMeasures, SizeBinCount};
pub use lesions::Lesions;
pub use overlap_rule::OverlapRule;
pub use pro::{MVTEC_LIMIT, ProCase, pro};
pub use size_bins::SizeBins;
pub use surface_distances::{SurfaceDistances, hausdorff_95_mm, surface_distances};
pub use volume_error::{VolumeError, volume_error};

/// The 26-connected components of a mask, which count as lesions or findings.
///
/// # Shapes and units
/// `mask` is `(z, y, x)`, non-zero = inside.
///
/// ```
/// use disyre_score::{ndarray::array, regions::components};
/// let found = components(array![[[1, 0, 0], [0, 1, 0], [0, 0, 0]]].view());
/// assert_eq!(found.sizes(), [2]); // neighbours at a corner
/// ```
pub fn components(mask: ArrayView3<'_, u8>) -> Components {
    Components::new(mask, Connectivity::Corners)
}
