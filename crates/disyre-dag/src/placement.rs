use disyre_core::{
    Key,
    ndarray::{ArrayView2, ArrayView4, Axis},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use crate::{DagError, region::Region};

/// Where the anomaly window goes, drawn before any image is seen.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), location of the anomaly: a foreground voxel, uniformly. Ours: the voxel is recorded
/// as a fraction of the eligible voxels, so that drawing needs no image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementParams {
    /// In `[0, 1)`: which of the eligible foreground voxels, in order of memory, is the window's centre.
    pub voxel: f64,
    /// In `[0, 1)` along `(z, y, x)`: where the window goes if no eligible voxel is foreground.
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
        let (_, z, y, x) = clean.dim();
        let image = [z, y, x];
        if (0..3).any(|axis| window[axis] > image[axis]) {
            return Err(DagError::WindowTooLarge { window, image });
        }
        let free: [usize; 3] = std::array::from_fn(|axis| image[axis] - window[axis]);
        // The published interval of centres excludes the last window that would fit.
        let starts = free.map(|free| free.max(1));
        let centres = Region::at(window.map(|extent| extent / 2), starts).of(clean);
        Ok(pick(centres, self.voxel).unwrap_or_else(|| {
            std::array::from_fn(|axis| index(self.fallback[axis], free[axis] + 1))
        }))
    }
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
    fn a_window_larger_than_the_image_is_refused() {
        let clean = Array4::zeros((1, 1, 8, 8));
        let error = place(0.0).origin([1, 9, 4], clean.view()).unwrap_err();
        assert_eq!(error, DagError::WindowTooLarge { window: [1, 9, 4], image: [1, 8, 8] });
    }
}
