//! [`Region`]: a box of voxels, by which masks, canvases and banks cut their windows.

use disyre_core::ndarray::{ArrayBase, Dimension, RawData, Slice};

/// A box of voxels, `(z, y, x)`; `end` is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: [usize; 3],
    pub(crate) end: [usize; 3],
}

impl Region {
    /// The box of the given extents at a voxel.
    pub(crate) fn at(start: [usize; 3], extents: [usize; 3]) -> Self {
        Self { start, end: std::array::from_fn(|axis| start[axis] + extents[axis]) }
    }

    /// Voxels along each axis.
    pub(crate) fn extents(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.end[axis] - self.start[axis])
    }

    /// Voxels in all.
    pub(crate) fn voxels(&self) -> usize {
        self.extents().iter().product()
    }

    /// This part of a view whose last three axes are `(z, y, x)`; it has to lie inside.
    pub(crate) fn of<S, D>(&self, mut view: ArrayBase<S, D>) -> ArrayBase<S, D>
    where
        S: RawData,
        D: Dimension,
    {
        let before = view.ndim() - 3;
        view.slice_each_axis_inplace(|axis| match axis.axis.index().checked_sub(before) {
            Some(axis) => Slice::from(self.start[axis]..self.end[axis]),
            None => Slice::from(..),
        });
        view
    }

    /// This region and a margin around it, cut at the bounds of an image of the given extents.
    pub(crate) fn widened(&self, margin: [usize; 3], image: [usize; 3]) -> Self {
        let start = std::array::from_fn(|axis| self.start[axis].saturating_sub(margin[axis]));
        let end = std::array::from_fn(|axis| {
            self.end[axis].saturating_add(margin[axis]).min(image[axis])
        });
        Self { start, end }
    }

    /// The same voxels, counted from the start of a region that contains this one.
    pub(crate) fn inside(&self, outer: &Self) -> Self {
        let shift = |at: [usize; 3]| std::array::from_fn(|axis| at[axis] - outer.start[axis]);
        Self { start: shift(self.start), end: shift(self.end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array4;

    #[test]
    fn a_widened_region_stops_at_the_image_and_contains_the_first() {
        let image = Array4::from_shape_fn((2, 1, 9, 9), |(c, _, y, x)| c * 81 + y * 9 + x);
        let region = Region::at([0, 1, 6], [1, 2, 2]);
        let wide = region.widened([4, 4, 1], [1, 9, 9]);
        assert_eq!(wide, Region { start: [0, 0, 5], end: [1, 7, 9] });
        let direct = region.of(image.view());
        assert_eq!(direct.dim(), (2, 1, 2, 2));
        assert_eq!(direct[[1, 0, 0, 0]], 81 + 9 + 6);
        assert_eq!(region.inside(&wide).of(wide.of(image.view())), direct);
    }
}
