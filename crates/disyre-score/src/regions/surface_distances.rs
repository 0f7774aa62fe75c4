//! Distances between the surfaces of a prediction and of the lesions.

use disyre_core::ndarray::{Array3, ArrayView3, AxisDescription, Slice};
use disyre_core::{Component, Components};
use serde::{Deserialize, Serialize};

use super::Lesions;
use super::distance_transform::SliceDistances;
use crate::ScoreError;
use crate::arithmetic::quantile;

/// Distances between two surfaces, in mm.
///
/// From each voxel of either surface the distance to the nearest voxel of the other surface, centre to centre. A
/// surface has the voxels of the mask with a face neighbour outside it; beyond the grid is outside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurfaceDistances {
    /// Hausdorff distance: the greatest of all distances.
    pub hausdorff_mm: f64,
    /// Hausdorff 95: the greater of the two 95th percentiles, from prediction to lesions and from lesions to
    /// prediction; linear between ranks.
    pub hausdorff_95_mm: f64,
    /// Mean of all distances in both directions.
    pub mean_mm: f64,
}

/// Hausdorff 95 in mm between a prediction and the lesions; see [`surface_distances`], also for what a mean over cases
/// leaves out.
///
/// # Errors
/// Those of [`surface_distances`].
///
/// ```
/// use disyre_score::{ndarray::array, regions::{Lesions, hausdorff_95_mm}};
/// let lesions = Lesions::new(array![[[1, 0, 0, 0]]].view(), None, [1.0, 1.0, 1.5])?;
/// assert_eq!(hausdorff_95_mm(&lesions, array![[[0, 0, 1, 0]]].view())?, Some(3.0));
/// assert_eq!(hausdorff_95_mm(&lesions, array![[[0, 0, 0, 0]]].view())?, None);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn hausdorff_95_mm(
    lesions: &Lesions<'_>,
    prediction: ArrayView3<'_, u8>,
) -> Result<Option<f64>, ScoreError> {
    Ok(surface_distances(lesions, prediction)?.map(|distances| distances.hausdorff_95_mm))
}

/// Distances between the surface of a prediction and that of all lesions together, inside the brain; none if either
/// has no voxel.
///
/// A case without a prediction has no distance, so a mean over cases leaves out the worst misses: print the number of
/// cases beside it.
///
/// # Shapes and units
/// `prediction` is `(z, y, x)` on the grid of the lesions, non-zero = predicted.
///
/// # Errors
/// [`ScoreError::Shape`] if the shapes differ.
///
/// # Source
/// MONAI's `compute_hausdorff_distance` with `percentile=95` and `compute_average_surface_distance` with
/// `symmetric=True`, whose values these are. DeepMind's `surface-distance` differs: its surfaces lie between voxels and
/// are weighted by area.
///
/// ```
/// use disyre_score::{ndarray::array, regions::{Lesions, surface_distances}};
/// let lesions = Lesions::new(array![[[1, 1, 0, 0]]].view(), None, [1.0; 3])?;
/// let found = surface_distances(&lesions, array![[[0, 1, 1, 1]]].view())?.unwrap();
/// assert_eq!((found.hausdorff_mm, found.hausdorff_95_mm), (2.0, 1.9)); // 0, 1, 2 and 1, 0
/// assert_eq!(found.mean_mm, 0.8);
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn surface_distances(
    lesions: &Lesions<'_>,
    prediction: ArrayView3<'_, u8>,
) -> Result<Option<SurfaceDistances>, ScoreError> {
    let findings = lesions.findings(prediction)?;
    let Some(bounds) = bounds(lesions.components().iter().chain(findings.iter())) else {
        return Ok(None);
    };
    let [of_lesions, of_prediction] =
        [lesions.components(), &findings].map(|found| surface(found, bounds));
    let spacing_mm = lesions.spacing_mm();
    let to_lesions = distances_mm(&of_prediction, &of_lesions, spacing_mm);
    let to_prediction = distances_mm(&of_lesions, &of_prediction, spacing_mm);
    if to_lesions.is_empty() || to_prediction.is_empty() {
        return Ok(None);
    }
    let greatest = |share| quantile(&to_lesions, share).max(quantile(&to_prediction, share));
    let voxels = (to_lesions.len() + to_prediction.len()) as f64;
    let sum: f64 = to_lesions.iter().sum::<f64>() + to_prediction.iter().sum::<f64>();
    Ok(Some(SurfaceDistances {
        hausdorff_mm: greatest(1.0),
        hausdorff_95_mm: greatest(0.95),
        mean_mm: sum / voxels,
    }))
}

/// The box of components, as least and greatest index plus 1.
fn bounds<'a>(components: impl Iterator<Item = &'a Component>) -> Option<[[usize; 3]; 2]> {
    components.map(|component| [component.lower, component.upper]).reduce(|a, b| {
        let axes = [0, 1, 2];
        [axes.map(|axis| a[0][axis].min(b[0][axis])), axes.map(|axis| a[1][axis].max(b[1][axis]))]
    })
}

/// The voxels of components with a face neighbour outside them, within a box that holds them all.
fn surface(found: &Components, [lower, upper]: [[usize; 3]; 2]) -> Array3<u8> {
    let within = |axis: AxisDescription| {
        let axis = axis.axis.index();
        Slice::from(lower[axis]..upper[axis])
    };
    let mask = found.mask(|_| true).slice_each_axis(within).to_owned();
    let shape: [usize; 3] = mask.dim().into();
    let mut surface = mask.clone();
    for ((z, y, x), inside) in surface.indexed_iter_mut().filter(|(_, inside)| **inside != 0) {
        let outside = |axis: usize| {
            let mut other = [z, y, x];
            if other[axis] == 0 || other[axis] + 1 == shape[axis] {
                return true;
            }
            other[axis] -= 1;
            let before = mask[other] == 0;
            other[axis] += 2;
            before || mask[other] == 0
        };
        *inside = u8::from((0..3).any(outside));
    }
    surface
}

/// Distances from the voxels of one surface to the nearest of another, ascending.
fn distances_mm(from: &Array3<u8>, to: &Array3<u8>, spacing_mm: [f64; 3]) -> Vec<f64> {
    let nearest = SliceDistances::new(to.view(), spacing_mm);
    let voxels = from.indexed_iter().filter(|(_, inside)| **inside != 0);
    let mut distances: Vec<f64> =
        voxels.map(|((z, y, x), _)| nearest.nearest_mm([z, y, x])).collect();
    distances.retain(|distance| distance.is_finite());
    distances.sort_unstable_by(f64::total_cmp);
    distances
}
