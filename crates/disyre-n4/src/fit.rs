//! B-spline approximation of scattered data on the samples, which lie on a grid: one axis after another.
use disyre_core::ndarray::{Array2, Array3, Axis};
use rayon::prelude::*;

use crate::basis::Taps;
use crate::samples::{Samples, Slab};

/// Denominators that are at most this count as 0: control points without data get 0.
///
/// ITK's tolerance: a tenth of the machine precision of `f32`.
const LEAST_DENOMINATOR: f64 = 0.1 * f32::EPSILON as f64;

/// Approximation of values on samples by a lattice of control points.
///
/// Each sample p with weight w and B-spline weights b asks control point k for the value b_k v / Σ b²; a control point
/// is the mean of what it is asked for, with weights w b²:
///
/// φ_k = Σ_p w b_k³ v / Σ b² / Σ_p w b_k².
///
/// b is a product over the axes, and so are b³ / Σ b² and b². So the sums are taken along x, then y, then z.
///
/// # Source
/// Lee, Wolberg and Shin, "Scattered data interpolation with multilevel B-splines" (1997), equations 3 and 5, with the
/// weights of Tustison and Gee (2006).
#[derive(Debug)]
pub(crate) struct LatticeFit {
    /// B-spline weights of the samples along `(z, y, x)`.
    basis: [Vec<Taps>; 3],
    /// b³ / Σ b² of the same.
    pull: [Vec<Taps>; 3],
    /// 1 / Σ w b² of each control point, 0 where the sum is.
    per_denominator: Array3<f64>,
}

impl LatticeFit {
    /// Prepares fits to a lattice of `shape` control points.
    pub(crate) fn new(samples: &Samples, shape: [usize; 3]) -> Self {
        let basis = [0, 1, 2].map(|i| {
            let axis = samples.axes[i];
            (0..axis.count).map(|sample| Taps::at(axis.position(sample), shape[i])).collect()
        });
        let each = |change: fn(&[f64; 4], f64) -> f64| {
            basis.each_ref().map(|taps: &Vec<Taps>| taps.iter().map(|t| t.map(change)).collect())
        };
        let squares: [Vec<Taps>; 3] = each(|_, b| b * b);
        let pull = each(|all, b| b * b * b / all.iter().map(|b| b * b).sum::<f64>());
        let sums = project(&samples.slabs, &squares, shape, |slab, i| f64::from(slab.weight[i]));
        let per_denominator =
            sums.mapv(|sum| if sum > LEAST_DENOMINATOR { 1.0 / sum } else { 0.0 });
        Self { basis, pull, per_denominator }
    }

    /// Control points that approximate `value(slab, voxel)` on the samples.
    pub(crate) fn fit(
        &self,
        slabs: &[Slab],
        value: impl Fn(&Slab, usize) -> f64 + Sync,
    ) -> Array3<f64> {
        let weighted = |slab: &Slab, i: usize| f64::from(slab.weight[i]) * value(slab, i);
        let shape = self.per_denominator.dim().into();
        project(slabs, &self.pull, shape, weighted) * &self.per_denominator
    }

    /// Calls `visit(voxel, value)` with the value of the spline on every voxel of a slab.
    pub(crate) fn evaluate(
        &self,
        lattice: &Array3<f64>,
        slab: &Slab,
        mut visit: impl FnMut(usize, f64),
    ) {
        let [z, y, x] = &self.basis;
        let plane = plane(lattice, &z[slab.z]);
        for row in &slab.rows {
            let line = line(&plane, &y[row.y]);
            for i in row.voxels.clone() {
                visit(i, x[slab.x[i] as usize].dot(&line));
            }
        }
    }
}

/// Control points of one slice: the lattice, summed along z.
pub(crate) fn plane(lattice: &Array3<f64>, z: &Taps) -> Array2<f64> {
    let (_, ny, nx) = lattice.dim();
    let mut plane = Array2::zeros((ny, nx));
    for (k, &weight) in z.weights.iter().enumerate() {
        plane.scaled_add(weight, &lattice.index_axis(Axis(0), z.first + k));
    }
    plane
}

/// Control points of one row: a plane, summed along y.
pub(crate) fn line(plane: &Array2<f64>, y: &Taps) -> Vec<f64> {
    let mut line = vec![0.0; plane.ncols()];
    for (k, &weight) in y.weights.iter().enumerate() {
        for (sum, value) in line.iter_mut().zip(plane.row(y.first + k)) {
            *sum += weight * value;
        }
    }
    line
}

/// Σ over voxels of `value` times the product of the taps of its axes, for every control point.
fn project(
    slabs: &[Slab],
    [z, y, x]: &[Vec<Taps>; 3],
    shape: [usize; 3],
    value: impl Fn(&Slab, usize) -> f64 + Sync,
) -> Array3<f64> {
    let [_, ny, nx] = shape;
    let project_slab = |slab: &Slab| {
        let mut plane = vec![0.0; ny * nx];
        let mut line = vec![0.0; nx];
        for row in &slab.rows {
            line.fill(0.0);
            for i in row.voxels.clone() {
                x[slab.x[i] as usize].spread(value(slab, i), &mut line);
            }
            let y = &y[row.y];
            for (sums, weight) in plane[y.first * nx..].chunks_mut(nx).zip(y.weights) {
                sums.iter_mut().zip(&line).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        plane
    };
    let planes: Vec<Vec<f64>> = slabs.par_iter().map(project_slab).collect();
    let mut sums = vec![0.0; shape.iter().product()];
    for (slab, plane) in slabs.iter().zip(&planes) {
        let z = &z[slab.z];
        for (sums, weight) in sums[z.first * ny * nx..].chunks_mut(ny * nx).zip(z.weights) {
            sums.iter_mut().zip(plane).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    Array3::from_shape_vec(shape, sums).expect("one sum for each control point")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basis::refine;

    /// Samples of a slanted part of a 5 × 6 × 7 image, with weights from 1 to 3.
    fn samples() -> Samples {
        let image = Array3::from_shape_fn((5, 6, 7), |(z, y, x)| 1.0 + (z + 2 * y + x * x) as f32);
        let weight =
            |[z, y, x]: [usize; 3]| if z + y + x > 4 { 1.0 + ((y + x) % 3) as f32 } else { 0.0 };
        Samples::take(image.view(), 1, weight)
    }

    /// All samples as (B-spline weights of every control point, weight, logarithm).
    fn scattered(samples: &Samples, shape: [usize; 3]) -> Vec<(Array3<f64>, f64, f64)> {
        let mut found = Vec::new();
        for slab in &samples.slabs {
            for row in &slab.rows {
                for i in row.voxels.clone() {
                    let voxel = [slab.z, row.y, slab.x[i] as usize];
                    let taps =
                        [0, 1, 2].map(|a| Taps::at(samples.axes[a].position(voxel[a]), shape[a]));
                    let one = |a: usize, k: usize| match k.checked_sub(taps[a].first) {
                        Some(j @ 0..4) => taps[a].weights[j],
                        _ => 0.0,
                    };
                    let b =
                        Array3::from_shape_fn(shape, |(z, y, x)| one(0, z) * one(1, y) * one(2, x));
                    found.push((b, f64::from(slab.weight[i]), f64::from(slab.log[i])));
                }
            }
        }
        found
    }

    #[test]
    fn the_fit_along_axes_is_that_of_scattered_data() {
        let (samples, shape) = (samples(), [4, 5, 7]);
        let (mut sums, mut denominators) = (Array3::zeros(shape), Array3::zeros(shape));
        for (b, weight, value) in scattered(&samples, shape) {
            let squares = b.mapv(|b: f64| b * b);
            sums += &(b.mapv(|b| b.powi(3)) * (weight * value / squares.sum()));
            denominators += &(squares * weight);
        }
        let lattice =
            LatticeFit::new(&samples, shape).fit(&samples.slabs, |slab, i| f64::from(slab.log[i]));
        for ((&found, sum), denominator) in lattice.iter().zip(&sums).zip(&denominators) {
            let expected = if *denominator > LEAST_DENOMINATOR { sum / denominator } else { 0.0 };
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn values_on_the_samples_are_the_sums_over_control_points() {
        let (samples, shape) = (samples(), [4, 5, 7]);
        let lattice =
            Array3::from_shape_fn(shape, |(z, y, x)| ((3 * z + 5 * y + 7 * x) % 11) as f64);
        let fit = LatticeFit::new(&samples, shape);
        let refined = refine(&lattice);
        let finer = LatticeFit::new(&samples, refined.dim().into());
        let (mut values, mut same) = (Vec::new(), Vec::new());
        for slab in &samples.slabs {
            fit.evaluate(&lattice, slab, |_, value| values.push(value));
            finer.evaluate(&refined, slab, |_, value| same.push(value));
        }
        let expected = scattered(&samples, shape).into_iter().map(|(b, ..)| (b * &lattice).sum());
        for ((value, same), expected) in values.iter().zip(same).zip(expected) {
            assert!((value - expected).abs() < 1e-12 && (same - expected).abs() < 1e-12);
        }
    }
}
