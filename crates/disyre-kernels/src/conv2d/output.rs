//! Result of a convolution.

use super::input::InputPart;
use crate::{Buffer, Extent};

/// Result of a convolution: feature maps `(n, h, w, c)`, channels fastest.
#[doc(alias = "Images")]
#[derive(Debug)]
pub struct ConvOutput {
    /// n.
    pub count: usize,
    /// h.
    pub height: usize,
    /// w.
    pub width: usize,
    /// c.
    pub channels: usize,
    /// The values.
    pub values: Buffer,
    /// Mean and sum of squared deviations of each channel of each image, `(n, c)`; empty if not asked for.
    pub moments: Vec<[f64; 2]>,
}

impl ConvOutput {
    /// All channels, as a part of what a convolution reads.
    pub fn part(&self) -> InputPart<'_> {
        InputPart::new(&self.values, self.channels)
    }

    /// Pixels of one image.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// n, h and w.
    pub fn extent(&self) -> Extent {
        Extent { count: self.count, height: self.height, width: self.width }
    }
}
