//! Sliding windows over an image, with padding: the first step of every tiled inference.

use std::ops::Range;

use disyre_core::ensure_same_shape;
use disyre_core::ndarray::{ArrayView4, ArrayViewMut4, Axis, Slice};

use crate::PatchError;

/// The window of the published model: one axial slice, 128 × 128 voxels, in `(z, y, x)`.
///
/// # Source
/// The published code, full evaluation.
pub const PUBLISHED_WINDOW: [usize; 3] = [1, 128, 128];

/// The stride that goes with [`PUBLISHED_WINDOW`], in voxels `(z, y, x)`.
///
/// # Source
/// The published code, where it is a parameter called overlap = 0.25 that is used as a *stride* of 0.25 windows.
pub const PUBLISHED_STRIDE: [usize; 3] = [1, 32, 32];

/// Windows that cover an image of any size: it is zero-padded until windows at the given stride tile it exactly.
///
/// ```
/// use disyre_core::ndarray::Array4;
/// use disyre_patch::TilePlan;
/// let plan = TilePlan::new([1, 50, 61], [1, 32, 32], [1, 8, 8])?;
/// assert_eq!((plan.padded(), plan.counts(), plan.len()), ([1, 56, 64], [1, 4, 5], 20));
/// let image = Array4::ones((1, 1, 50, 61)); // (c, z, y, x)
/// let mut patch = Array4::zeros((1, 1, 32, 32));
/// let first = plan.window(0).ok_or("no window")?;
/// plan.extract(image.view(), first, patch.view_mut())?;
/// assert_eq!(patch.sum(), 29.0 * 31.0); // 3 rows and 1 column of padding lie before the image
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// The published code's padding rule, for any number of axes: every axis grows to at least the window, then until
/// `padded − window` is a multiple of the stride; the lesser half of the padding (rounded down) lies before the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePlan {
    image: [usize; 3],
    window: [usize; 3],
    stride: [usize; 3],
    padded: [usize; 3],
}

impl TilePlan {
    /// Plans windows over an image.
    ///
    /// # Shapes and units
    /// All arguments in voxels, `(z, y, x)`. `stride` is the distance between neighbouring windows.
    ///
    /// # Errors
    /// [`PatchError::ZeroAxis`] if a length is 0, [`PatchError::StrideExceedsWindow`] if windows would leave gaps,
    /// [`PatchError::TooLarge`] if the padded image cannot be addressed.
    pub fn new(
        image: [usize; 3],
        window: [usize; 3],
        stride: [usize; 3],
    ) -> Result<Self, PatchError> {
        for (what, got) in [("image", image), ("window", window), ("stride", stride)] {
            if got.contains(&0) {
                return Err(PatchError::ZeroAxis { what, got });
            }
        }
        if (0..3).any(|axis| stride[axis] > window[axis]) {
            return Err(PatchError::StrideExceedsWindow { stride, window });
        }
        let mut padded = [0; 3];
        for axis in 0..3 {
            padded[axis] = padded_length(image[axis], window[axis], stride[axis])
                .ok_or(PatchError::TooLarge { what: "a padded image", shape: image })?;
        }
        if !is_addressable(padded) {
            return Err(PatchError::TooLarge { what: "a padded image", shape: image });
        }
        Ok(Self { image, window, stride, padded })
    }

    /// Shape of the image, `(z, y, x)`.
    pub fn image(&self) -> [usize; 3] {
        self.image
    }

    /// Shape of every window, `(z, y, x)`.
    pub fn window_shape(&self) -> [usize; 3] {
        self.window
    }

    /// Distance between neighbouring windows in voxels, `(z, y, x)`.
    pub fn stride(&self) -> [usize; 3] {
        self.stride
    }

    /// Shape of the image with its padding, `(z, y, x)`.
    pub fn padded(&self) -> [usize; 3] {
        self.padded
    }

    /// Number of windows along `(z, y, x)`.
    pub fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| (self.padded[axis] - self.window[axis]) / self.stride[axis] + 1)
    }

    /// Number of windows; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a plan has at least one window")]
    pub fn len(&self) -> usize {
        self.counts().iter().product()
    }

    /// All windows, row-major over `(z, y, x)`.
    pub fn windows(&self) -> impl ExactSizeIterator<Item = Window> + use<> {
        let plan = *self;
        (0..plan.len()).map(move |index| plan.place(index))
    }

    /// The window of an index below [`len`](Self::len).
    pub fn window(&self, index: usize) -> Option<Window> {
        (index < self.len()).then(|| self.place(index))
    }

    /// Copies one window of an image, with zeros where it reaches into the padding. Values are not judged.
    ///
    /// # Shapes and units
    /// `image` is `(c, z, y, x)` of the plan's image shape, `out` is `(c, z, y, x)` of its window shape.
    ///
    /// # Errors
    /// [`PatchError::Shape`] or [`PatchError::ForeignWindow`]; `out` is then untouched.
    pub fn extract(
        &self,
        image: ArrayView4<'_, f32>,
        window: Window,
        mut out: ArrayViewMut4<'_, f32>,
    ) -> Result<(), PatchError> {
        let channels = image.shape()[0];
        ensure_same_shape("image", &with_channels(channels, self.image), image.shape())?;
        ensure_same_shape("window output", &with_channels(channels, self.window), out.shape())?;
        self.ensure_own(window)?;
        if window.size != self.window {
            out.fill(0.0);
        }
        let (inside, padded) = (window.region(), window.region_in_window());
        out.slice_each_axis_mut(|axis| after_channels(&padded, axis.axis))
            .assign(&image.slice_each_axis(|axis| after_channels(&inside, axis.axis)));
        Ok(())
    }

    /// Checks that this plan would have made `window`.
    pub(crate) fn ensure_own(&self, window: Window) -> Result<(), PatchError> {
        if self.window(window.index) == Some(window) {
            return Ok(());
        }
        Err(PatchError::ForeignWindow {
            index: window.index,
            start: window.start(),
            windows: self.len(),
        })
    }

    /// The window at a row-major index below `len`.
    fn place(&self, index: usize) -> Window {
        let [_, rows, columns] = self.counts();
        let position = [index / (rows * columns), index / columns % rows, index % columns];
        let mut window = Window { index, image_start: [0; 3], window_start: [0; 3], size: [0; 3] };
        for (axis, position) in position.into_iter().enumerate() {
            let before = (self.padded[axis] - self.image[axis]) / 2;
            let start = position * self.stride[axis];
            let end = (start + self.window[axis]).saturating_sub(before).min(self.image[axis]);
            window.image_start[axis] = start.saturating_sub(before);
            window.window_start[axis] = before.saturating_sub(start);
            window.size[axis] = end - window.image_start[axis];
        }
        window
    }
}

/// One window of a [`TilePlan`]: its index and its part of the image, at least one voxel.
///
/// ```
/// let plan = disyre_patch::TilePlan::new([1, 3, 5], [1, 4, 4], [1, 2, 2])?;
/// let last = plan.windows().last().ok_or("no window")?;
/// assert_eq!((last.index(), last.start()), (1, [0, 0, 2])); // (z, y, x)
/// assert_eq!(last.region(), [0..1, 0..3, 2..5]); // in the image
/// assert_eq!(last.region_in_window(), [0..1, 0..3, 0..3]); // the rest is padding
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    index: usize,
    image_start: [usize; 3],
    window_start: [usize; 3],
    size: [usize; 3],
}

impl Window {
    /// Row-major index among the windows of its plan.
    pub fn index(&self) -> usize {
        self.index
    }

    /// First voxel of the window in the image, `(z, y, x)`; negative in the padding.
    pub fn start(&self) -> [isize; 3] {
        [0, 1, 2].map(|axis| self.image_start[axis] as isize - self.window_start[axis] as isize)
    }

    /// The voxels of the image that the window sees, `(z, y, x)`.
    pub fn region(&self) -> [Range<usize>; 3] {
        [0, 1, 2].map(|axis| self.image_start[axis]..self.image_start[axis] + self.size[axis])
    }

    /// The same voxels as [`region`](Self::region), counted from the first of the window, `(z, y, x)`; its other voxels
    /// are padding.
    pub fn region_in_window(&self) -> [Range<usize>; 3] {
        [0, 1, 2].map(|axis| self.window_start[axis]..self.window_start[axis] + self.size[axis])
    }
}

/// Length of one axis with its padding; nothing if it overflows.
fn padded_length(image: usize, window: usize, stride: usize) -> Option<usize> {
    let length = image.max(window);
    match (length - window) % stride {
        0 => Some(length),
        rest => length.checked_add(stride - rest),
    }
}

/// True if memory can address an array of `f64` of this shape.
pub(crate) fn is_addressable(shape: [usize; 3]) -> bool {
    let bytes = shape.iter().try_fold(size_of::<f64>(), |bytes, &n| bytes.checked_mul(n));
    bytes.is_some_and(|bytes| bytes <= isize::MAX as usize)
}

/// The slice of one axis of `(c, z, y, x)`: all channels, and a range of each other axis.
fn after_channels(ranges: &[Range<usize>; 3], axis: Axis) -> Slice {
    match axis.index() {
        0 => Slice::from(..),
        other => Slice::from(ranges[other - 1].clone()),
    }
}

fn with_channels(channels: usize, [z, y, x]: [usize; 3]) -> [usize; 4] {
    [channels, z, y, x]
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array4;

    #[test]
    fn a_typical_slice_has_six_published_windows() {
        let plan = TilePlan::new([1, 140, 175], PUBLISHED_WINDOW, PUBLISHED_STRIDE).unwrap();
        assert_eq!(plan.padded(), [1, 160, 192]);
        assert_eq!(plan.counts(), [1, 2, 3]);
        assert_eq!(plan.windows().len(), 6);
        let starts: Vec<_> = plan.windows().map(|window| window.start()).collect();
        assert_eq!(starts[0], [0, -10, -8]); // 20 and 17 of padding, the lesser half before
        assert_eq!(starts[1], [0, -10, 24]);
        assert_eq!(starts[5], [0, 22, 56]);
    }

    #[test]
    fn an_image_smaller_than_the_window_lies_in_its_middle() {
        let plan = TilePlan::new([2, 1, 3], [3, 4, 4], [3, 2, 1]).unwrap();
        assert_eq!((plan.padded(), plan.len()), ([3, 4, 4], 1));
        let window = plan.window(0).unwrap();
        assert_eq!(window.region(), [0..2, 0..1, 0..3]);
        assert_eq!(window.region_in_window(), [0..2, 1..2, 0..3]);
        let mut out = Array4::from_elem((1, 3, 4, 4), 9.0);
        plan.extract(Array4::ones((1, 2, 1, 3)).view(), window, out.view_mut()).unwrap();
        assert_eq!(out.sum(), 6.0);
        assert_eq!(out[[0, 1, 1, 2]], 1.0);
        assert_eq!(out[[0, 1, 1, 3]], 0.0);
    }

    #[test]
    fn a_size_without_a_tiling_is_refused() {
        let plan = |window, stride| TilePlan::new([4, 4, 4], window, stride).unwrap_err();
        assert_eq!(
            plan([1, 0, 2], [1, 1, 1]).to_string(),
            "the window is [1, 0, 2] in (z, y, x); every axis needs at least 1 voxel"
        );
        assert!(matches!(plan([1; 3], [1, 1, 0]), PatchError::ZeroAxis { what: "stride", .. }));
        assert!(matches!(plan([2; 3], [2, 3, 2]), PatchError::StrideExceedsWindow { .. }));
        let empty = TilePlan::new([0, 4, 4], [1; 3], [1; 3]).unwrap_err();
        assert!(matches!(empty, PatchError::ZeroAxis { what: "image", .. }));
        for image in [[usize::MAX, 1, 1], [1 << 31, 1 << 31, 4]] {
            let error = TilePlan::new(image, [3; 3], [3; 3]).unwrap_err();
            assert!(matches!(error, PatchError::TooLarge { .. }));
        }
    }

    #[test]
    fn a_window_of_another_plan_and_a_wrong_shape_are_refused() {
        let plan = TilePlan::new([1, 8, 8], [1, 4, 4], [1, 2, 2]).unwrap();
        let other = TilePlan::new([1, 8, 9], [1, 4, 4], [1, 2, 2]).unwrap();
        let image = Array4::<f32>::ones((1, 1, 8, 8));
        let mut out = Array4::from_elem((1, 1, 4, 4), 7.0);
        let foreign = plan.extract(image.view(), other.window(11).unwrap(), out.view_mut());
        assert_eq!(
            foreign.unwrap_err().to_string(),
            "window 11 starting at [0, 4, 6] is none of this plan's 9 windows; use the plan that made it"
        );
        let own = plan.window(0).unwrap();
        let channels = Array4::<f32>::ones((2, 1, 8, 8));
        assert!(plan.extract(channels.view(), own, out.view_mut()).is_err());
        assert!(other.extract(image.view(), other.window(0).unwrap(), out.view_mut()).is_err());
        assert_eq!(out.sum(), 7.0 * 16.0);
    }
}
