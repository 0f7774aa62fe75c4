//! Feature maps in the memory of a backend: what operations read and write.

use std::fmt::Debug;

use super::Backend;
use crate::{Buffer, Extent};

/// A run of numbers whose count is known without reading it.
pub trait Elements: Debug + Send + Sync {
    /// Count of the numbers.
    fn elem_count(&self) -> usize;
}

impl Elements for Buffer {
    fn elem_count(&self) -> usize {
        self.len()
    }
}

/// Feature maps `(n, h, w, c)`, channels fastest; there are as many values as the shape says.
#[doc(alias = "Maps")]
#[derive(Debug)]
pub struct FeatureMaps<B: Backend + ?Sized> {
    extent: Extent,
    channels: usize,
    pub(super) values: B::Map,
    moments: Option<B::Moments>,
}

impl<B: Backend + ?Sized> FeatureMaps<B> {
    /// Maps of values that lie in memory already, `(n, h, w, c)`.
    ///
    /// # Panics
    /// If there are not as many values as the shape says.
    pub fn new(extent: Extent, channels: usize, values: B::Map) -> Self {
        Self::with_moments(extent, channels, values, None)
    }

    /// The same with mean and sum of squared deviations of each channel of each image, `(n, c)`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with_moments(
        extent: Extent,
        channels: usize,
        values: B::Map,
        moments: Option<B::Moments>,
    ) -> Self {
        let Extent { count, height, width } = extent;
        let sizes = [count, height, width, channels];
        let len = sizes.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        assert_eq!(
            Some(values.elem_count()),
            len,
            "feature maps of {sizes:?} (n, h, w, c) have as many values"
        );
        Self { extent, channels, values, moments }
    }

    /// n, h and w.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// c.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The values, `(n, h, w, c)`.
    pub fn values(&self) -> &B::Map {
        &self.values
    }

    /// The values without their shape.
    pub fn into_values(self) -> B::Map {
        self.values
    }

    /// Those of each channel of each image, if a convolution was asked for them.
    pub fn moments(&self) -> Option<&B::Moments> {
        self.moments.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;

    #[test]
    #[should_panic(expected = "[1, 2, 3, 4] (n, h, w, c)")]
    fn maps_of_another_length_than_their_shape_are_refused() {
        let cpu = Cpu::default();
        let extent = Extent { count: 1, height: 2, width: 3 };
        FeatureMaps::<Cpu>::new(extent, 4, cpu.pool.zeros(23));
    }

    #[test]
    #[should_panic(expected = "have as many values")]
    fn a_shape_of_more_values_than_can_be_counted_is_refused() {
        let cpu = Cpu::default();
        let extent = Extent { count: 1 << 32, height: 1 << 32, width: 1 };
        FeatureMaps::<Cpu>::new(extent, 1, cpu.pool.zeros(0));
    }
}
