//! Batches of volumes as batches of images, and back: the network is 2D.

use std::borrow::Cow;
use std::ops::Range;

use disyre_core::ndarray::{ArrayView5, ArrayViewMut5, CowArray, Ix5};

/// Images for the 2D network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageBatch {
    /// `(n, c, y, x)`.
    pub(crate) values: Vec<f32>,
    pub(crate) shape: [usize; 4],
}

impl ImageBatch {
    /// `count` images: these, and the last one again and again.
    ///
    /// # Panics
    /// If there is no image.
    pub(crate) fn padded(&self, count: usize) -> Cow<'_, Self> {
        let [n, c, y, x] = self.shape;
        let missing = count.saturating_sub(n);
        if missing == 0 {
            return Cow::Borrowed(self);
        }
        let last = &self.values[(n - 1) * c * y * x..];
        let values = [&self.values[..], &last.repeat(missing)].concat();
        Cow::Owned(Self { values, shape: [count, c, y, x] })
    }
}

/// A batch of volumes as a batch of images: slice z of item i becomes image i·z + z.
///
/// # Shapes and units
/// From `(n, c, z, y, x)` to `(n·z, c, y, x)`.
pub(crate) fn to_images(batch: &ArrayView5<'_, f32>) -> ImageBatch {
    let (n, c, z, y, x) = batch.dim();
    let sliced: CowArray<'_, f32, Ix5> = batch.view().permuted_axes([0, 2, 1, 3, 4]).into();
    let values = sliced.as_standard_layout().iter().copied().collect();
    ImageBatch { values, shape: [n * z, c, y, x] }
}

/// The reverse of [`to_images`].
pub(crate) fn from_images(values: &[f32], batch: ArrayViewMut5<'_, f32>) {
    let mut sliced = batch.permuted_axes([0, 2, 1, 3, 4]);
    for (out, &value) in sliced.iter_mut().zip(values) {
        *out = value;
    }
}

/// Some channels of images `(n, channels, pixels)`.
pub(crate) fn some_channels(
    images: &[f32],
    [channels, pixels]: [usize; 2],
    range: Range<usize>,
) -> Cow<'_, [f32]> {
    if range == (0..channels) {
        return Cow::Borrowed(images);
    }
    let within = range.start * pixels..range.end * pixels;
    let each = images.chunks_exact(channels * pixels);
    Cow::Owned(each.flat_map(|image| &image[within.clone()]).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array5;

    #[test]
    fn slices_become_images_and_back() {
        let batch = Array5::from_shape_fn((2, 3, 4, 1, 2), |(n, c, z, _, x)| {
            (1000 * n + 100 * c + 10 * z + x) as f32
        });
        let images = to_images(&batch.view());
        assert_eq!(images.shape, [8, 3, 1, 2]);
        assert_eq!(images.values[6 * 6..7 * 6], [1020.0, 1021.0, 1120.0, 1121.0, 1220.0, 1221.0]);
        let mut back = Array5::zeros(batch.dim());
        from_images(&images.values, back.view_mut());
        assert_eq!(back, batch);
    }

    #[test]
    fn channels_are_taken_out_of_every_image() {
        let images: Vec<f32> = (0..12).map(|i| i as f32).collect();
        assert_eq!(*some_channels(&images, [3, 2], 0..3), images);
        assert_eq!(*some_channels(&images, [3, 2], 0..1), [0.0, 1.0, 6.0, 7.0]);
        assert_eq!(*some_channels(&images, [3, 2], 2..3), [4.0, 5.0, 10.0, 11.0]);
    }

    #[test]
    fn the_last_image_fills_a_batch() {
        let images = ImageBatch { values: vec![1.0, 2.0, 3.0, 4.0], shape: [2, 1, 1, 2] };
        let values = vec![1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 3.0, 4.0];
        let expected = ImageBatch { values, shape: [4, 1, 1, 2] };
        assert_eq!(*images.padded(4), expected);
        assert_eq!(*images.padded(2), images);
    }
}
