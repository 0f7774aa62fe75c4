//! Number and size of images: given to every operation.

/// Number and size of images.
///
/// ```
/// use disyre_kernels::Extent;
///
/// let extent = Extent { count: 2, height: 3, width: 4 };
/// assert_eq!([extent.image_pixels(), extent.pixels(), extent.len(5)], [12, 24, 120]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of images.
    pub count: usize,
    /// Their height in pixels.
    pub height: usize,
    /// Their width in pixels.
    pub width: usize,
}

impl Extent {
    /// Pixels of one image.
    ///
    /// # Panics
    /// If they are more than a `usize` counts.
    pub fn image_pixels(&self) -> usize {
        checked(self.height, self.width)
    }

    /// Pixels of all images.
    ///
    /// # Panics
    /// If they are more than a `usize` counts.
    pub fn pixels(&self) -> usize {
        checked(self.count, self.image_pixels())
    }

    /// Numbers of all images with `channels` channels: the length of `(n, h, w, c)`.
    ///
    /// # Panics
    /// If they are more than a `usize` counts.
    pub fn len(&self, channels: usize) -> usize {
        checked(self.pixels(), channels)
    }
}

/// A product that must not wrap: lengths of slices are compared with it.
fn checked(a: usize, b: usize) -> usize {
    a.checked_mul(b).expect("images that memory can hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "images that memory can hold")]
    fn an_extent_that_wraps_to_a_small_number_is_refused() {
        // 2³² · 2³² + … wraps to 0 on 64 bits.
        let side = 1 << (usize::BITS / 2);
        Extent { count: 1, height: side, width: side }.len(1);
    }
}
