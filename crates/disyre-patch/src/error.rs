//! Errors of plans, weights and blends.

use disyre_core::ShapeError;

/// Failure to make a plan, or to use a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// An image, window or stride has an axis of length 0.
    #[error("the {what} is {got:?} in (z, y, x); every axis needs at least 1 voxel")]
    ZeroAxis {
        /// `image`, `window` or `stride`.
        what: &'static str,
        /// Its size.
        got: [usize; 3],
    },
    /// Voxels between two neighbouring windows would belong to none.
    #[error(
        "the stride {stride:?} exceeds the window {window:?} and would leave gaps; choose a stride of at most the window on every axis"
    )]
    StrideExceedsWindow {
        /// The stride.
        stride: [usize; 3],
        /// The window.
        window: [usize; 3],
    },
    /// The number of voxels does not fit the address space.
    #[error("{what} of shape {shape:?} has more voxels than memory can address")]
    TooLarge {
        /// The padded image, or the window.
        what: &'static str,
        /// Its shape before padding.
        shape: [usize; 3],
    },
    /// A window that another plan made.
    #[error(
        "window {index} starting at {start:?} is none of this plan's {windows} windows; use the plan that made it"
    )]
    ForeignWindow {
        /// The window's index in its own plan.
        index: usize,
        /// Its first voxel in the image, `(z, y, x)`.
        start: [isize; 3],
        /// Number of windows of the plan at hand.
        windows: usize,
    },
    /// An array does not fit the plan, or a value is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}
