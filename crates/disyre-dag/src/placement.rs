//! [`PlacementParams`]: the drawn place of an anomaly's window, and the voxel that it means in an image.

use disyre_core::{
    Key, ensure_same_shape,
    ndarray::{ArrayView2, ArrayView3, ArrayView4, Axis},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use crate::{error::DagError, region::Region};

/// The place of the anomaly window, drawn before any image is seen.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), location of the anomaly: a foreground voxel, uniformly. Ours: the voxel is recorded
/// as a fraction of the eligible voxels, so that drawing needs no image.
///
/// ```
/// use disyre_dag::{PlacementParams, ndarray::Array4};
///
/// let mut clean = Array4::zeros((1, 1, 8, 8));
/// clean[[0, 0, 4, 3]] = 0.5; // the only foreground voxel becomes the centre
/// let placement = PlacementParams { voxel: 0.7, fallback: [0.0; 3] };
/// assert_eq!(placement.origin([1, 4, 4], clean.view())?, [0, 2, 1]);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementParams {
    /// The window's centre, as a fraction in `[0, 1)` of the eligible foreground voxels in order of memory.
    pub voxel: f64,
    /// The window's start where no eligible voxel is foreground, as fractions in `[0, 1)` along `(z, y, x)`.
    pub fallback: [f64; 3],
}

impl PlacementParams {
    /// Draws a place.
    pub fn draw(key: Key) -> Self {
        let mut rng = key.rng();
        Self { voxel: rng.random(), fallback: std::array::from_fn(|_| rng.random()) }
    }

    /// The first voxel of the window.
    ///
    /// The window's centre (voxel `extent / 2` of it) is a foreground voxel whose window lies in the image.
    ///
    /// # Shapes and units
    /// `clean` is `(c, z, y, x)`; `window` is `(z, y, x)` in voxels. Foreground: any channel above 0.
    ///
    /// # Errors
    /// [`DagError::WindowTooLarge`].
    pub fn origin(
        &self,
        window: [usize; 3],
        clean: ArrayView4<'_, f32>,
    ) -> Result<[usize; 3], DagError> {
        let (centres, free) = centres(window, &clean)?;
        Ok(pick(centres.of(clean), self.voxel).unwrap_or_else(|| {
            std::array::from_fn(|axis| index(self.fallback[axis], free[axis] + 1))
        }))
    }

    /// The first voxel of the window, where a map says how probable each voxel is as its centre.
    ///
    /// Voxels whose window would reach out of the image do not count.
    ///
    /// # Shapes and units
    /// `clean` is `(c, z, y, x)`, `places` `(z, y, x)`: weights ≥ 0 of any sum.
    ///
    /// # Errors
    /// [`DagError::WindowTooLarge`]; [`DagError::Shape`] if the map is not of the image's extents;
    /// [`DagError::Weight`] for one that is negative or not finite; [`DagError::NoPlace`] if no weight counts.
    ///
    /// # Source
    /// Ours.
    pub fn origin_in(
        &self,
        window: [usize; 3],
        clean: ArrayView4<'_, f32>,
        places: ArrayView3<'_, f32>,
    ) -> Result<[usize; 3], DagError> {
        let (centres, _) = centres(window, &clean)?;
        ensure_same_shape("the map of places", &clean.shape()[1..], places.shape())?;
        let wrong = |(_, weight): &(_, &f32)| !(weight.is_finite() && **weight >= 0.0);
        if let Some((index, &value)) = places.indexed_iter().find(wrong) {
            return Err(DagError::Weight { index: index.into(), value });
        }
        pick_weighted(centres.of(places), self.voxel).ok_or(DagError::NoPlace { window })
    }
}

/// The voxels whose windows lie in the image, and the number of places less one along each axis.
fn centres(
    window: [usize; 3],
    clean: &ArrayView4<'_, f32>,
) -> Result<(Region, [usize; 3]), DagError> {
    let (_, z, y, x) = clean.dim();
    let image = [z, y, x];
    if (0..3).any(|axis| window[axis] > image[axis]) {
        return Err(DagError::WindowTooLarge { window, image });
    }
    let free: [usize; 3] = std::array::from_fn(|axis| image[axis] - window[axis]);
    // The published interval of centres excludes the last window that would fit.
    let starts = free.map(|free| free.max(1));
    Ok((Region::at(window.map(|extent| extent / 2), starts), free))
}

/// The voxel of a map of weights at `fraction` of their sum; `None` if all are 0.
fn pick_weighted(weights: ArrayView3<'_, f32>, fraction: f64) -> Option<[usize; 3]> {
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let positive = || weights.indexed_iter().filter(|(_, weight)| **weight > 0.0);
    let mut left = fraction * total;
    for (voxel, &weight) in positive() {
        left -= f64::from(weight);
        if left < 0.0 {
            return Some(voxel.into());
        }
    }
    // Rounding may leave a little of the last one.
    positive().last().map(|(voxel, _)| voxel.into())
}

/// The voxel that a fraction in `[0, 1)` means among `count`.
fn index(fraction: f64, count: usize) -> usize {
    ((fraction * count as f64) as usize).min(count - 1)
}

/// The foreground voxel of an image at `fraction` of all of them.
fn pick(image: ArrayView4<'_, f32>, fraction: f64) -> Option<[usize; 3]> {
    let (_, depth, height, _) = image.dim();
    let row = |z: usize, y: usize| image.index_axis_move(Axis(1), z).index_axis_move(Axis(1), y);
    let rows = || (0..depth).flat_map(|z| (0..height).map(move |y| (z, y)));
    let counts: Vec<usize> = rows().map(|(z, y)| count(row(z, y))).collect();
    let total: usize = counts.iter().sum();
    let mut left = index(fraction, total.max(1));
    for ((z, y), count) in rows().zip(counts) {
        if left < count {
            let row = row(z, y);
            let x = (0..row.ncols()).filter(|&x| is_foreground(row, x)).nth(left)?;
            return Some([z, y, x]);
        }
        left -= count;
    }
    None
}

fn count(row: ArrayView2<'_, f32>) -> usize {
    match row.as_slice() {
        Some(values) if row.nrows() == 1 => values.iter().filter(|&&value| value > 0.0).count(),
        _ => (0..row.ncols()).filter(|&x| is_foreground(row, x)).count(),
    }
}

fn is_foreground(row: ArrayView2<'_, f32>, x: usize) -> bool {
    row.column(x).iter().any(|&value| value > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array4;

    fn place(voxel: f64) -> PlacementParams {
        PlacementParams { voxel, fallback: [0.0, 0.5, 0.999] }
    }

    #[test]
    fn the_centre_is_the_chosen_foreground_voxel() {
        let mut clean = Array4::zeros((2, 1, 8, 8));
        clean[[0, 0, 2, 3]] = 0.5;
        clean[[1, 0, 4, 2]] = 0.5;
        clean[[0, 0, 7, 7]] = 0.5; // its window would not fit
        let origin = |voxel| place(voxel).origin([1, 4, 4], clean.view()).unwrap();
        assert_eq!(origin(0.0), [0, 0, 1]);
        assert_eq!(origin(0.49), [0, 0, 1]);
        assert_eq!(origin(0.5), [0, 2, 0]);
        assert_eq!(origin(0.99), [0, 2, 0]);
    }

    #[test]
    fn without_foreground_the_window_goes_anywhere() {
        let clean = Array4::zeros((1, 1, 8, 8));
        assert_eq!(place(0.3).origin([1, 4, 4], clean.view()).unwrap(), [0, 2, 4]);
    }

    #[test]
    fn a_window_as_large_as_the_image_starts_at_its_origin() {
        for value in [0.0, 1.0] {
            let clean = Array4::from_elem((1, 3, 4, 4), value);
            assert_eq!(place(0.9).origin([3, 4, 4], clean.view()).unwrap(), [0, 0, 0]);
        }
    }

    #[test]
    fn a_map_of_places_is_followed_in_proportion() {
        let clean = Array4::from_elem((1, 1, 8, 8), 0.5);
        let mut places = disyre_core::ndarray::Array3::zeros((1, 8, 8));
        places[[0, 2, 3]] = 1.0;
        places[[0, 4, 2]] = 3.0;
        places[[0, 7, 7]] = 9.0; // its window would not fit
        let origin = |voxel| place(voxel).origin_in([1, 4, 4], clean.view(), places.view());
        assert_eq!(origin(0.24), Ok([0, 0, 1]));
        assert_eq!(origin(0.26), Ok([0, 2, 0]));
        assert_eq!(origin(0.999), Ok([0, 2, 0]));
        let empty = places.mapv(|_| 0.0);
        let short = disyre_core::ndarray::Array3::ones((1, 8, 7));
        let error = place(0.5).origin_in([1, 4, 4], clean.view(), empty.view()).unwrap_err();
        assert_eq!(error, DagError::NoPlace { window: [1, 4, 4] });
        let error = place(0.5).origin_in([1, 4, 4], clean.view(), short.view()).unwrap_err();
        assert!(matches!(error, DagError::Shape(_)));
        let wrong = places.mapv(|weight| -weight);
        let error = place(0.5).origin_in([1, 4, 4], clean.view(), wrong.view()).unwrap_err();
        assert!(matches!(error, DagError::Weight { .. }), "{error}");
    }

    #[test]
    fn a_window_larger_than_the_image_is_refused() {
        let clean = Array4::zeros((1, 1, 8, 8));
        let error = place(0.0).origin([1, 9, 4], clean.view()).unwrap_err();
        assert_eq!(error, DagError::WindowTooLarge { window: [1, 9, 4], image: [1, 8, 8] });
    }
}
