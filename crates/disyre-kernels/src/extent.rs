//! Number and size of images: given to every operation.

/// Number and size of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of images.
    pub count: usize,
    /// Their height in pixels.
    pub height: usize,
    /// Their width in pixels.
    pub width: usize,
}
