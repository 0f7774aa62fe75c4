//! Resampling onto a grid that is turned or sheared against the volume's.
use disyre_core::Affine;
use disyre_core::ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use super::interpolation::{Interpolation, bracket};
use crate::VoxelBox;
use crate::affine::transform;

/// Resampling by `relative` (output to input indices, x first): the input is sampled at the image of every output voxel.
///
/// [`Interpolation::Area`] takes the mean of linear samples on a regular lattice inside the output voxel, as many
/// along each of its axes as the input voxels that it spans.
#[derive(Debug, Clone)]
pub(super) struct ObliquePlan {
    relative: Affine,
    /// Shape of the whole input.
    input: [usize; 3],
    lattice: Vec<[f64; 3]>,
    interpolation: Interpolation,
}

impl ObliquePlan {
    pub(super) fn new(input: [usize; 3], relative: Affine, interpolation: Interpolation) -> Self {
        let lattice = match interpolation {
            Interpolation::Area => lattice(&relative),
            Interpolation::Nearest | Interpolation::Linear => vec![[0.0; 3]],
        };
        Self { relative, input, lattice, interpolation }
    }

    /// Input voxels that a box of the output depends on.
    pub(super) fn input_box(&self, output: VoxelBox) -> VoxelBox {
        image_of(&self.relative, output, self.input)
    }

    /// A box of the output from the voxels of its [`input_box`](Self::input_box).
    pub(super) fn resample(&self, data: ArrayView3<'_, f32>, output: VoxelBox) -> Array3<f32> {
        let shape = output.shape();
        let part = Part { data, start: self.input_box(output).start, whole: self.input };
        let mut out = Array3::zeros(shape);
        let rows: Vec<&mut [f32]> = match out.as_slice_mut() {
            Some(voxels) if shape[2] > 0 => voxels.chunks_exact_mut(shape[2]).collect(),
            _ => Vec::new(),
        };
        rows.into_par_iter().enumerate().for_each(|(row, out)| {
            let z = (output.start[0] + row / shape[1]) as f64;
            let y = (output.start[1] + row % shape[1]) as f64;
            for (x, value) in out.iter_mut().enumerate() {
                let x = (output.start[2] + x) as f64;
                let sum: f64 = self
                    .lattice
                    .iter()
                    .map(|offset| [x + offset[0], y + offset[1], z + offset[2]])
                    .map(|point| transform(&self.relative, point))
                    .map(|point| f64::from(part.sample(point, self.interpolation)))
                    .sum();
                *value = (sum / self.lattice.len() as f64) as f32;
            }
        });
        out
    }
}

/// Voxels of the other grid that could have to do with a box of this one, for an affine from this one to the other (x first).
pub(super) fn image_of(relative: &Affine, region: VoxelBox, other: [usize; 3]) -> VoxelBox {
    let mut low = [f64::INFINITY; 3];
    let mut high = [f64::NEG_INFINITY; 3];
    for corner in 0..8usize {
        // One voxel around the box: linear weights reach so far.
        let side = |axis: usize| match corner >> axis & 1 {
            0 => region.start[axis] as f64 - 1.0,
            _ => region.end[axis] as f64,
        };
        let point = transform(relative, [side(2), side(1), side(0)]);
        for axis in 0..3 {
            low[axis] = low[axis].min(point[2 - axis]);
            high[axis] = high[axis].max(point[2 - axis]);
        }
    }
    // Casts saturate, at 0 for what is not a number.
    let end = [0, 1, 2].map(|axis| ((high[axis].ceil() + 2.0) as usize).min(other[axis]));
    let start = [0, 1, 2].map(|axis| ((low[axis].floor() - 1.0) as usize).min(end[axis]));
    VoxelBox { start, end }
}

/// Offsets inside an output voxel, x first, symmetric about its centre.
fn lattice(relative: &Affine) -> Vec<[f64; 3]> {
    /// At most this many samples along an axis: a bound on time for absurd grids.
    const MOST: f64 = 32.0;
    let counts = [0, 1, 2].map(|column| {
        let span = (0..3).map(|row| relative[row][column].powi(2)).sum::<f64>().sqrt();
        (span - 1e-6).ceil().clamp(1.0, MOST) as usize
    });
    let offset = |index: usize, count: usize| (index as f64 + 0.5) / count as f64 - 0.5;
    let mut offsets = Vec::new();
    for z in 0..counts[2] {
        for y in 0..counts[1] {
            for x in 0..counts[0] {
                offsets.push([offset(x, counts[0]), offset(y, counts[1]), offset(z, counts[2])]);
            }
        }
    }
    offsets
}

/// A box of the input.
#[derive(Clone, Copy)]
struct Part<'a> {
    data: ArrayView3<'a, f32>,
    start: [usize; 3],
    /// Shape of the whole input.
    whole: [usize; 3],
}

impl Part<'_> {
    /// Value at a voxel of the whole input; 0 where it has none.
    fn at(&self, voxel: [usize; 3]) -> f32 {
        let inside = [0, 1, 2].map(|axis| voxel[axis].wrapping_sub(self.start[axis]));
        self.data.get(inside).copied().unwrap_or(0.0)
    }

    fn sample(&self, [x, y, z]: [f64; 3], interpolation: Interpolation) -> f32 {
        let [nz, ny, nx] = self.whole;
        if interpolation == Interpolation::Nearest {
            let index = [z, y, x].map(|coordinate| (coordinate + 0.5).floor());
            if index.iter().any(|&coordinate| coordinate < 0.0) {
                return 0.0;
            }
            return self.at(index.map(|coordinate| coordinate as usize));
        }
        let (Some((z0, fz)), Some((y0, fy)), Some((x0, fx))) =
            (bracket(z, nz), bracket(y, ny), bracket(x, nx))
        else {
            return 0.0;
        };
        let (z1, y1, x1) = ((z0 + 1).min(nz - 1), (y0 + 1).min(ny - 1), (x0 + 1).min(nx - 1));
        let along =
            |z: usize, y: usize| self.at([z, y, x0]) * (1.0 - fx) + self.at([z, y, x1]) * fx;
        let plane = |z: usize| along(z, y0) * (1.0 - fy) + along(z, y1) * fy;
        plane(z0) * (1.0 - fz) + plane(z1) * fz
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voxel_that_spans_two_takes_two_samples() {
        let relative = [[2., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 0.5, 0.], [0., 0., 0., 1.]];
        assert_eq!(lattice(&relative), [[-0.25, 0.0, 0.0], [0.25, 0.0, 0.0]]);
    }
}
