//! Voxel grids with a border, on which the Poisson equation is solved from coarse to fine.

use std::ops::Range;

/// Fewest voxels along an axis that are joined into half as many.
const FEWEST: usize = 3;

/// Voxels in memory, `(z, y, x)`, with a border of one voxel along the axes with neighbours.
///
/// With the border, the neighbour of a voxel is a fixed distance away, and sums over neighbours are loops without a
/// branch.
#[derive(Debug, Clone)]
pub(super) struct BorderedGrid {
    /// Without the border.
    pub(super) extents: [usize; 3],
    border: [usize; 3],
    /// Distance of neighbours along each axis.
    pub(super) strides: [usize; 3],
    /// Along which axes two voxels of the finer grid are one of this.
    pub(super) halved: [bool; 3],
}

impl BorderedGrid {
    pub(super) fn new(extents: [usize; 3], axes: [bool; 3]) -> Self {
        Self::with(extents, axes.map(usize::from), [false; 3])
    }

    fn with(extents: [usize; 3], border: [usize; 3], halved: [bool; 3]) -> Self {
        let row = extents[2] + 2 * border[2];
        let strides = [(extents[1] + 2 * border[1]) * row, row, 1];
        Self { extents, border, strides, halved }
    }

    pub(super) fn has_neighbours(&self, axis: usize) -> bool {
        self.border[axis] > 0
    }

    /// Voxels in memory.
    pub(super) fn len(&self) -> usize {
        (self.extents[0] + 2 * self.border[0]) * self.strides[0]
    }

    pub(super) fn index(&self, voxel: [usize; 3]) -> usize {
        (0..3).map(|axis| (voxel[axis] + self.border[axis]) * self.strides[axis]).sum()
    }

    /// From the first to the last voxel; in between lie border voxels too.
    pub(super) fn inner(&self) -> Range<usize> {
        let last = self.extents.map(|extent| extent - 1);
        self.index([0; 3])..self.index(last) + 1
    }

    /// Half as many voxels along each long axis; `None` if all are short.
    pub(super) fn coarser(&self) -> Option<Self> {
        let halved = [0, 1, 2].map(|axis| self.border[axis] > 0 && self.extents[axis] >= FEWEST);
        let half = |axis: usize| match halved[axis] {
            true => self.extents[axis].div_ceil(2),
            false => self.extents[axis],
        };
        let extents = [half(0), half(1), half(2)];
        halved.contains(&true).then(|| Self::with(extents, self.border, halved))
    }

    /// The index of a voxel of the finer grid.
    pub(super) fn of_finer(&self, voxel: [usize; 3]) -> usize {
        self.index([0, 1, 2].map(|axis| voxel[axis] >> usize::from(self.halved[axis])))
    }

    /// Calls `visit` for all voxels with their indices.
    pub(super) fn for_each(&self, mut visit: impl FnMut(usize, [usize; 3])) {
        for z in 0..self.extents[0] {
            for y in 0..self.extents[1] {
                let start = self.index([z, y, 0]);
                (0..self.extents[2]).for_each(|x| visit(start + x, [z, y, x]));
            }
        }
    }

    /// Sums values of this grid over the voxels of a coarser one.
    pub(super) fn join(&self, coarser: &Self, values: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        self.rows(coarser, |from, to| {
            let (values, out) = (&values[from..][..self.extents[2]], &mut out[to..]);
            if coarser.halved[2] {
                let (pairs, rest) = values.as_chunks::<2>();
                for (sum, [a, b]) in out.iter_mut().zip(pairs) {
                    *sum += a + b;
                }
                rest.iter().for_each(|value| out[pairs.len()] += value);
            } else {
                out.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        });
    }

    /// Adds the values of a coarser grid to its voxels here.
    pub(super) fn spread(&self, coarser: &Self, values: &[f32], out: &mut [f32]) {
        self.rows(coarser, |to, from| {
            let (values, out) = (&values[from..], &mut out[to..][..self.extents[2]]);
            if coarser.halved[2] {
                let (pairs, rest) = out.as_chunks_mut::<2>();
                rest.iter_mut().for_each(|out| *out += values[pairs.len()]);
                for ([a, b], value) in pairs.iter_mut().zip(values) {
                    *a += value;
                    *b += value;
                }
            } else {
                out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
            }
        });
    }

    /// Calls `visit` with where each row starts here and in a coarser grid.
    fn rows(&self, coarser: &Self, mut visit: impl FnMut(usize, usize)) {
        for z in 0..self.extents[0] {
            for y in 0..self.extents[1] {
                visit(self.index([z, y, 0]), coarser.of_finer([z, y, 0]));
            }
        }
    }
}
