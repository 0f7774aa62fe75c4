use crate::{Buffer, Part};

/// Feature maps `(n, h, w, c)`, channels fastest.
#[derive(Debug)]
pub struct Images {
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
    /// Mean and sum of squared deviations of each channel of each image, `(n, c)`; empty if nobody asked.
    pub moments: Vec<[f64; 2]>,
}

impl Images {
    /// All channels, as a part of what a convolution reads.
    pub fn part(&self) -> Part<'_> {
        Part::new(&self.values, self.channels)
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

/// How many images, and how large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of images.
    pub count: usize,
    /// Their height in pixels.
    pub height: usize,
    /// Their width in pixels.
    pub width: usize,
}
