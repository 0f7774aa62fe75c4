//! Solver of the discrete Poisson equation of [`PoissonBlend`](super::PoissonBlend): conjugate gradients.

use super::{bordered_grid::BorderedGrid, multigrid::Multigrid};

/// The residual's norm at which the solution is accepted, relative to that of the first.
const TOLERANCE: f64 = 1e-6;

/// A set of voxels of a canvas on which a discrete Poisson equation is solved.
#[derive(Debug)]
pub(crate) struct Domain {
    /// Voxels of the canvas.
    canvas: usize,
    /// Distance of neighbours in the canvas along `(z, y, x)`.
    strides: [usize; 3],
    /// The box around the voxels to be solved for.
    grid: BorderedGrid,
    voxels: Vec<Voxel>,
    /// 1 for voxels to be solved for, 0 elsewhere.
    inside: Vec<f64>,
    /// Neighbours that count.
    degree: Vec<f64>,
}

/// One unknown.
#[derive(Debug)]
struct Voxel {
    /// Its index in the canvas.
    canvas: usize,
    /// Its index in the grid.
    index: usize,
    /// The neighbours that count: two bits for each axis, before and after.
    counting: u8,
}

impl Domain {
    /// Finds the neighbours of voxels of a canvas, `(z, y, x)`, along some axes; those that are not among the voxels count
    /// only if they are `known`, by their index in the canvas.
    pub(crate) fn new(
        extents: [usize; 3],
        axes: [bool; 3],
        voxels: &[[usize; 3]],
        known: impl Fn(usize) -> bool,
    ) -> Self {
        let first = [0, 1, 2].map(|axis| voxels.iter().map(|v| v[axis]).min().unwrap_or(0));
        let last = [0, 1, 2].map(|axis| voxels.iter().map(|v| v[axis]).max().unwrap_or(0));
        let grid = BorderedGrid::new([0, 1, 2].map(|axis| last[axis] - first[axis] + 1), axes);
        let strides = [extents[1] * extents[2], extents[2], 1];
        let mut domain = Self {
            canvas: extents.iter().product(),
            strides,
            inside: vec![0.0; grid.len()],
            degree: vec![0.0; grid.len()],
            voxels: Vec::with_capacity(voxels.len()),
            grid,
        };
        let index =
            |voxel: [usize; 3]| domain.grid.index([0, 1, 2].map(|axis| voxel[axis] - first[axis]));
        let indices: Vec<usize> = voxels.iter().map(|&voxel| index(voxel)).collect();
        indices.iter().for_each(|&index| domain.inside[index] = 1.0);
        for (voxel, &index) in voxels.iter().zip(&indices) {
            let canvas = (0..3).map(|axis| voxel[axis] * strides[axis]).sum::<usize>();
            let mut unknown = Voxel { canvas, index, counting: 0 };
            for axis in (0..3).filter(|&axis| axes[axis]) {
                // A neighbour lies in the grid or on its border.
                let before = voxel[axis] > 0;
                let after = voxel[axis] + 1 < extents[axis];
                unknown.counting |= domain.counting(&unknown, axis, [before, after], &known);
            }
            domain.degree[index] = f64::from(unknown.counting.count_ones());
            domain.voxels.push(unknown);
        }
        domain
    }

    /// The bits of the neighbours along an axis that exist and count: they are solved for or known.
    fn counting(
        &self,
        voxel: &Voxel,
        axis: usize,
        [before, after]: [bool; 2],
        known: &impl Fn(usize) -> bool,
    ) -> u8 {
        let (near, far) = (self.grid.strides[axis], self.strides[axis]);
        let Voxel { canvas, index, .. } = *voxel;
        let before = before && (self.inside[index - near] > 0.0 || known(canvas - far));
        let after = after && (self.inside[index + near] > 0.0 || known(canvas + far));
        (u8::from(before) | u8::from(after) << 1) << (2 * axis)
    }

    /// Solves `Σ (u(p) − u(q)) = Σ guide(p, q)` over the neighbours q of every p, u = 0 outside the domain; p and q are
    /// indices in the canvas.
    ///
    /// Returns u over the canvas, in order of memory.
    pub(crate) fn solve(&self, guide: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let mut wanted = vec![0.0; self.inside.len()];
        for voxel in &self.voxels {
            wanted[voxel.index] = self.sum(voxel, |neighbour| guide(voxel.canvas, neighbour));
        }
        let solution = self.conjugate_gradients(wanted);
        let mut all = vec![0.0; self.canvas];
        self.voxels.iter().for_each(|voxel| all[voxel.canvas] = solution[voxel.index]);
        all
    }

    /// The sum of something over the neighbours of a voxel that count, as indices in the canvas.
    fn sum(&self, voxel: &Voxel, of: impl Fn(usize) -> f64) -> f64 {
        let mut sum = 0.0;
        for (axis, stride) in self.strides.into_iter().enumerate() {
            let counting = voxel.counting >> (2 * axis);
            if counting & 1 > 0 {
                sum += of(voxel.canvas - stride);
            }
            if counting & 2 > 0 {
                sum += of(voxel.canvas + stride);
            }
        }
        sum
    }

    fn conjugate_gradients(&self, mut residual: Vec<f64>) -> Vec<f64> {
        let zeros = || vec![0.0; residual.len()];
        let (mut solution, mut direction, mut image, mut corrected) =
            (zeros(), zeros(), zeros(), zeros());
        let mut multigrid = Multigrid::new(self.grid.clone(), &self.inside, &self.degree);
        let enough = dot(&residual, &residual) * TOLERANCE * TOLERANCE;
        let mut weighted = 0.0;
        // In exact arithmetic it ends after one step for each unknown.
        for _ in 0..self.voxels.len() {
            if dot(&residual, &residual) <= enough {
                break;
            }
            multigrid.solve(&residual, &mut corrected);
            let next = dot(&residual, &corrected);
            let keep = if weighted > 0.0 { next / weighted } else { 0.0 };
            direction.iter_mut().zip(&corrected).for_each(|(d, c)| *d = c + keep * *d);
            self.differences(&direction, &mut image);
            let curvature = dot(&direction, &image);
            if curvature <= 0.0 || next <= 0.0 {
                break;
            }
            add_scaled(&mut solution, &direction, next / curvature);
            add_scaled(&mut residual, &image, -next / curvature);
            weighted = next;
        }
        solution
    }

    /// The sum of the differences of every voxel to its neighbours; `field` is 0 outside the domain.
    fn differences(&self, field: &[f64], out: &mut [f64]) {
        let inner = self.grid.inner();
        let out = &mut out[inner.clone()];
        let own = self.degree[inner.clone()].iter().zip(&field[inner.clone()]);
        out.iter_mut().zip(own).for_each(|(out, (d, v))| *out = d * v);
        for axis in (0..3).filter(|&axis| self.grid.has_neighbours(axis)) {
            let stride = self.grid.strides[axis];
            let (before, after) = (&field[inner.start - stride..], &field[inner.start + stride..]);
            for (out, (a, b)) in out.iter_mut().zip(before.iter().zip(after)) {
                *out -= a + b;
            }
        }
        out.iter_mut().zip(&self.inside[inner]).for_each(|(out, inside)| *out *= inside);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums side by side: one would wait for each addition.
    let mut sums = [0.0; 4];
    let (left, right) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn add_scaled(to: &mut [f64], values: &[f64], scale: f64) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to += scale * value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The voxels of a disc or ball with a notch.
    fn notched([depth, height, width]: [usize; 3]) -> Vec<[usize; 3]> {
        let square = |at: usize, extent: usize| (at as f64 - (extent as f64 - 1.0) / 2.0).powi(2);
        let all = (0..depth)
            .flat_map(|z| (0..height).flat_map(move |y| (0..width).map(move |x| [z, y, x])));
        all.filter(|&[z, y, x]| {
            square(z, depth) + square(y, height) + square(x, width) < 36.0
                && !(x > width / 2 && y == height / 2)
        })
        .collect()
    }

    #[test]
    fn the_solution_satisfies_the_equation_of_every_voxel() {
        for extents in [[1, 15, 17], [13, 14, 15]] {
            let axes = extents.map(|extent| extent > 1);
            // Without the neighbours in the last rows: there the solution may slope.
            let known = |index: usize| index / extents[2] % extents[1] < 12;
            let domain = Domain::new(extents, axes, &notched(extents), known);
            let guide = |p: usize, q: usize| {
                let value = |index: usize| (index * 7 % 11) as f64 / 11.0;
                (value(p) - value(q)) * if p.is_multiple_of(2) { 0.5 } else { 1.0 }
            };
            let u = domain.solve(guide);
            assert!(u.iter().any(|u| u.abs() > 0.1));
            for voxel in &domain.voxels {
                let p = voxel.canvas;
                let left = domain.sum(voxel, |q| guide(p, q) - (u[p] - u[q]));
                assert!(left.abs() < 1e-5, "{left}");
            }
        }
    }

    proptest! {
        /// Any voxels, in one or many parts and with holes, of a slice or a volume.
        #[test]
        fn every_domain_is_solved_to_the_stated_residual(
            flat in any::<bool>(),
            taken in vec(any::<bool>(), 729),
            values in vec(-1.0..1.0, 1331),
        ) {
            let extents = if flat { [1, 11, 11] } else { [11, 11, 11] };
            let inner = |voxel: &[usize; 3]| {
                (0..3).all(|axis| extents[axis] == 1 || (1..10).contains(&voxel[axis]))
            };
            let all = (0..extents[0]).flat_map(|z| {
                (0..11).flat_map(move |y| (0..11).map(move |x| [z, y, x]))
            });
            let inside = all.filter(inner).zip(&taken).filter(|(_, taken)| **taken);
            let voxels: Vec<[usize; 3]> = inside.map(|(voxel, _)| voxel).collect();
            prop_assume!(!voxels.is_empty());
            let domain = Domain::new(extents, [!flat, true, true], &voxels, |_| true);
            let guide = |p: usize, q: usize| values[p] - values[q];
            let u = domain.solve(guide);
            let (mut left, mut wanted) = (0.0, 0.0);
            for voxel in &domain.voxels {
                let p = voxel.canvas;
                left += domain.sum(voxel, |q| guide(p, q) - (u[p] - u[q])).powi(2);
                wanted += domain.sum(voxel, |q| guide(p, q)).powi(2);
            }
            // Rounding adds to what the recurrence believes to be left.
            prop_assert!(left.sqrt() <= 1.01 * TOLERANCE * wanted.sqrt(), "{left} of {wanted}");
        }
    }

    #[test]
    fn a_large_domain_takes_few_steps() {
        // 60 × 60 voxels: conjugate gradients alone took 170 steps, of which each is half as dear.
        let voxels: Vec<[usize; 3]> =
            (1..61).flat_map(|y| (1..61).map(move |x| [0, y, x])).collect();
        let mut domain = Domain::new([1, 62, 62], [false, true, true], &voxels, |_| true);
        let guide = |p: usize, q: usize| ((p * p % 13) as f64 - (q * q % 13) as f64) / 13.0;
        let exact = domain.solve(guide);
        domain.voxels.truncate(25); // as many steps
        let wanted = Domain::new([1, 62, 62], [false, true, true], &voxels, |_| true);
        let mut right = vec![0.0; wanted.inside.len()];
        for voxel in &wanted.voxels {
            right[voxel.index] = wanted.sum(voxel, |q| guide(voxel.canvas, q));
        }
        let few = domain.conjugate_gradients(right);
        for voxel in &wanted.voxels {
            assert!((few[voxel.index] - exact[voxel.canvas]).abs() < 1e-9);
        }
    }

    #[test]
    fn without_known_neighbours_the_solution_is_any_one_that_fits() {
        let voxels: Vec<[usize; 3]> = (0..20).map(|index| [0, index / 5, index % 5]).collect();
        let domain = Domain::new([1, 4, 5], [false, true, true], &voxels, |_| false);
        let value = |index: usize| (index / 5 * 3 + (index % 5).pow(2)) as f64;
        let solution = domain.solve(|p, q| value(p) - value(q));
        let shift = solution[0];
        for (index, u) in solution.iter().enumerate() {
            assert!((u - shift - value(index)).abs() < 1e-4);
        }
    }

    #[test]
    fn an_empty_domain_changes_nothing() {
        let domain = Domain::new([1, 3, 3], [false, true, true], &[], |_| true);
        assert_eq!(domain.solve(|_, _| 1.0), [0.0; 9]);
    }
}
