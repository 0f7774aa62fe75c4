//! Resampling onto a grid that is turned or sheared against the volume's.
use disyre_core::Affine;
use disyre_core::ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use super::interpolation::{Interpolation, bracket};
use crate::affine::transform;

/// Samples the input at the image of every output voxel under `relative` (output to input indices, x first).
///
/// [`Interpolation::Area`] takes the mean of linear samples on a regular lattice inside the output voxel, as many
/// along each of its axes as the input voxels that it spans.
pub(super) fn resample(
    data: ArrayView3<'_, f32>,
    shape: [usize; 3],
    relative: &Affine,
    interpolation: Interpolation,
) -> Array3<f32> {
    let lattice = match interpolation {
        Interpolation::Area => lattice(relative),
        Interpolation::Nearest | Interpolation::Linear => vec![[0.0; 3]],
    };
    let mut output = Array3::zeros(shape);
    let rows: Vec<&mut [f32]> = match output.as_slice_mut() {
        Some(voxels) => voxels.chunks_exact_mut(shape[2]).collect(),
        None => Vec::new(),
    };
    rows.into_par_iter().enumerate().for_each(|(row, out)| {
        let (z, y) = ((row / shape[1]) as f64, (row % shape[1]) as f64);
        for (x, value) in out.iter_mut().enumerate() {
            let sum: f64 = lattice
                .iter()
                .map(|offset| [x as f64 + offset[0], y + offset[1], z + offset[2]])
                .map(|point| transform(relative, point))
                .map(|point| f64::from(sample(data, point, interpolation)))
                .sum();
            *value = (sum / lattice.len() as f64) as f32;
        }
    });
    output
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

fn sample(data: ArrayView3<'_, f32>, [x, y, z]: [f64; 3], interpolation: Interpolation) -> f32 {
    let (nz, ny, nx) = data.dim();
    if interpolation == Interpolation::Nearest {
        let index = [z, y, x].map(|coordinate| (coordinate + 0.5).floor());
        if index.iter().any(|&coordinate| coordinate < 0.0) {
            return 0.0;
        }
        return data.get(index.map(|coordinate| coordinate as usize)).copied().unwrap_or(0.0);
    }
    let (Some((z0, fz)), Some((y0, fy)), Some((x0, fx))) =
        (bracket(z, nz), bracket(y, ny), bracket(x, nx))
    else {
        return 0.0;
    };
    let (z1, y1, x1) = ((z0 + 1).min(nz - 1), (y0 + 1).min(ny - 1), (x0 + 1).min(nx - 1));
    let along = |z: usize, y: usize| data[[z, y, x0]] * (1.0 - fx) + data[[z, y, x1]] * fx;
    let plane = |z: usize| along(z, y0) * (1.0 - fy) + along(z, y1) * fy;
    plane(z0) * (1.0 - fz) + plane(z1) * fz
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
