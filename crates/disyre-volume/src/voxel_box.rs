//! Boxes of voxels: the foreground's, and cropping.
use disyre_core::ndarray::{ArrayView3, ArrayViewMut3, Slice};
use disyre_core::{Grid, Volume};
use serde::{Deserialize, Serialize};

use crate::affine::rescaled;

/// A box of voxels.
///
/// ```
/// use disyre_volume::{Grid, Volume, crop, foreground_box, nonzero_mask};
///
/// let mut volume = Volume::zeros(Grid::from_spacing([3, 4, 5], [1.0; 3]));
/// volume.data[[1, 2, 3]] = 0.5;
/// let brain = foreground_box(nonzero_mask(volume.data.view()).view()).expect("a voxel");
/// assert_eq!((brain.start, brain.end), ([1, 2, 3], [2, 3, 4]));
/// assert_eq!(crop(&volume, brain).data.len(), 1);
/// ```
///
/// # Shapes and units
/// `(z, y, x)` voxel indices; `end` is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoxelBox {
    /// First voxel.
    pub start: [usize; 3],
    /// One past the last voxel.
    pub end: [usize; 3],
}

impl VoxelBox {
    /// Voxels along `(z, y, x)`.
    pub fn shape(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.end[axis].saturating_sub(self.start[axis]))
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// True if the box has no voxel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The box of an array of this shape.
    pub fn whole(shape: [usize; 3]) -> Self {
        Self { start: [0; 3], end: shape }
    }

    /// The voxels that lie in both boxes; a box without voxels where there are none.
    pub fn intersection(&self, other: Self) -> Self {
        let start = [0, 1, 2].map(|axis| self.start[axis].max(other.start[axis]));
        let end = [0, 1, 2].map(|axis| self.end[axis].min(other.end[axis]).max(start[axis]));
        Self { start, end }
    }

    /// The same voxels, counted from the first voxel of a box around them.
    pub fn relative_to(&self, around: Self) -> Self {
        let from = |voxel: [usize; 3]| {
            [0, 1, 2].map(|axis: usize| voxel[axis].saturating_sub(around.start[axis]))
        };
        Self { start: from(self.start), end: from(self.end) }
    }

    /// The box in slabs of whole planes, of about a million voxels each and at least one plane: work that goes slab by slab
    /// holds little at once.
    pub fn slabs(&self) -> impl Iterator<Item = Self> + use<> {
        const VOXELS: usize = 1 << 20;
        let [_, y, x] = self.shape();
        let planes = (VOXELS / y.saturating_mul(x).max(1)).max(1);
        self.parts(self.shape()[0].div_ceil(planes))
    }

    /// The box in at most so many parts of whole planes.
    pub(crate) fn parts(self, count: usize) -> impl Iterator<Item = Self> {
        let planes = self.shape()[0].div_ceil(count.max(1)).max(1);
        (self.start[0]..self.end[0]).step_by(planes).map(move |first| {
            let last = first.saturating_add(planes).min(self.end[0]);
            let ([_, y0, x0], [_, y1, x1]) = (self.start, self.end);
            Self { start: [first, y0, x0], end: [last, y1, x1] }
        })
    }

    /// The voxels of an array that lie in the box, to be changed.
    ///
    /// # Shapes and units
    /// As [`view_of`](Self::view_of).
    pub fn view_of_mut<'a, T>(&self, array: ArrayViewMut3<'a, T>) -> ArrayViewMut3<'a, T> {
        let (z, y, x) = array.dim();
        let region = self.within([z, y, x]);
        let mut view = array;
        view.slice_each_axis_inplace(|axis| {
            let axis = axis.axis.index();
            Slice::from(region.start[axis]..region.end[axis])
        });
        view
    }

    /// The voxels of an array that lie in the box.
    ///
    /// # Shapes and units
    /// `(z, y, x)`; the part of the box that lies inside `array`.
    pub fn view_of<'a, T>(&self, array: ArrayView3<'a, T>) -> ArrayView3<'a, T> {
        let (z, y, x) = array.dim();
        let region = self.within([z, y, x]);
        let range = |axis: usize| Slice::from(region.start[axis]..region.end[axis]);
        let mut view = array;
        view.slice_each_axis_inplace(|axis| range(axis.axis.index()));
        view
    }

    /// The grid of the voxels that lie in the box; every voxel keeps its world coordinates.
    pub fn grid_of(&self, grid: &Grid) -> Grid {
        let region = self.within(grid.shape);
        let start = [2, 1, 0].map(|axis: usize| region.start[axis] as f64);
        Grid { shape: region.shape(), affine: rescaled(&grid.affine, start, [1.0; 3]) }
    }

    /// The part of the box that lies inside an array of the given shape.
    fn within(self, shape: [usize; 3]) -> Self {
        let end = [0, 1, 2].map(|axis| self.end[axis].min(shape[axis]));
        let start = [0, 1, 2].map(|axis| self.start[axis].min(end[axis]));
        Self { start, end }
    }
}

/// Smallest box that holds every voxel whose mask is not 0; `None` if there is none.
///
/// # Source
/// The published code crops every test volume to this box.
pub fn foreground_box(mask: ArrayView3<'_, u8>) -> Option<VoxelBox> {
    let mut start = [usize::MAX; 3];
    let mut end = [0; 3];
    for (z, plane) in mask.outer_iter().enumerate() {
        for (y, row) in plane.outer_iter().enumerate() {
            let Some(first) = row.iter().position(|&value| value != 0) else { continue };
            let last = row.iter().rposition(|&value| value != 0).unwrap_or(first);
            start = [start[0].min(z), start[1].min(y), start[2].min(first)];
            end = [end[0].max(z + 1), end[1].max(y + 1), end[2].max(last + 1)];
        }
    }
    (end[0] > 0).then_some(VoxelBox { start, end })
}

/// Cuts a box out of a volume; every voxel keeps its world coordinates.
///
/// # Shapes and units
/// The part of `region` that lies inside the volume, `(z, y, x)`.
pub fn crop(volume: &Volume, region: VoxelBox) -> Volume {
    let data = region.view_of(volume.data.view()).to_owned();
    Volume { data, grid: region.grid_of(&volume.grid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    #[test]
    fn the_box_is_tight_and_an_empty_mask_has_none() {
        let mut mask = Array3::zeros((4, 5, 6));
        assert_eq!(foreground_box(mask.view()), None);
        mask[[1, 4, 2]] = 1;
        mask[[2, 0, 5]] = 7;
        let expected = VoxelBox { start: [1, 0, 2], end: [3, 5, 6] };
        assert_eq!(foreground_box(mask.view()), Some(expected));
        assert_eq!(expected.shape(), [2, 5, 4]);
    }

    #[test]
    fn slabs_cover_a_box_once_and_parts_are_found_in_it() {
        let tall = VoxelBox { start: [3, 0, 0], end: [10, 1 << 10, 1 << 9] };
        let slabs: Vec<VoxelBox> = tall.slabs().collect();
        assert_eq!(slabs.iter().map(VoxelBox::len).sum::<usize>(), tall.len());
        assert_eq!((slabs.len(), slabs[0].end[0], slabs[3].start[0]), (4, 5, 9));
        let around = VoxelBox { start: [1, 2, 3], end: [5, 6, 7] };
        let part = VoxelBox { start: [0, 4, 4], end: [3, 9, 5] }.intersection(around);
        assert_eq!(part, VoxelBox { start: [1, 4, 4], end: [3, 6, 5] });
        let there = part.relative_to(around);
        assert_eq!(there, VoxelBox { start: [0, 2, 1], end: [2, 4, 2] });
        assert!(part.intersection(VoxelBox { start: [5; 3], end: [9; 3] }).is_empty());
    }

    #[test]
    fn cropping_moves_the_origin_along() {
        let grid = Grid::from_spacing([4, 5, 6], [3.0, 2.0, 1.0]);
        let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| (z * 100 + y * 10 + x) as f32);
        let volume = Volume::new(data, grid).unwrap();
        let part = crop(&volume, VoxelBox { start: [1, 2, 3], end: [2, 4, 9] });
        assert_eq!(part.data.shape(), [1, 2, 3]);
        assert_eq!(part.data[[0, 0, 0]], 123.0);
        assert_eq!([0, 1, 2].map(|row| part.grid.affine[row][3]), [3.0, 4.0, 3.0]);
        let outside = crop(&volume, VoxelBox { start: [9; 3], end: [12; 3] });
        assert!(outside.data.is_empty() && outside.grid.is_empty());
    }
}
