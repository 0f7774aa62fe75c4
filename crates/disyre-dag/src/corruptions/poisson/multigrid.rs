//! A V-cycle over coarser and coarser grids, as a preconditioner: it removes from a residual what conjugate gradients
//! would spend most of their steps on, the differences between far voxels.
//!
//! # Source
//! Braess, "Towards algebraic multigrid for elliptic problems of second order" (1995): voxels are joined two by two along
//! each axis, and coarse operators are half the sums of the joined ones, as a constant within each join demands.

use super::bordered_grid::BorderedGrid;

/// The share of a Jacobi step that is taken.
const DAMPING: f32 = 0.8;

/// Jacobi steps on the coarsest grid, which has few voxels.
const COARSEST_STEPS: usize = 6;

/// One grid: weighted differences between neighbours.
#[derive(Debug)]
struct Level {
    grid: BorderedGrid,
    /// Of a voxel and the next one along each axis; empty along axes without neighbours.
    weights: [Vec<f32>; 3],
    diagonal: Vec<f32>,
    /// A Jacobi step for a residual of 1; 0 outside the domain.
    step: Vec<f32>,
    /// Working memory: right-hand side, solution and residual.
    wanted: Vec<f32>,
    solution: Vec<f32>,
    residual: Vec<f32>,
}

/// The grids from the finest to the coarsest.
#[derive(Debug)]
pub(super) struct Multigrid {
    levels: Vec<Level>,
}

impl Multigrid {
    /// Takes a domain: 1 inside and 0 outside, and the number of neighbours that count of each voxel.
    pub(super) fn new(grid: BorderedGrid, inside: &[f64], degree: &[f64]) -> Self {
        let pairs = |axis: usize| {
            let stride = if grid.has_neighbours(axis) {
                grid.strides[axis]
            } else {
                return Vec::new();
            };
            let mut weights = vec![0.0; inside.len()];
            for ((weight, a), b) in weights.iter_mut().zip(inside).zip(&inside[stride..]) {
                *weight = (a * b) as f32;
            }
            weights
        };
        let weights = [pairs(0), pairs(1), pairs(2)];
        let diagonal = degree.iter().map(|&degree| degree as f32).collect();
        let mut levels = vec![Level::new(grid, weights, diagonal)];
        while let Some(coarser) = levels.last().and_then(Level::coarser) {
            levels.push(coarser);
        }
        Self { levels }
    }

    /// Approximately solves for a residual.
    pub(super) fn solve(&mut self, residual: &[f64], out: &mut [f64]) {
        let finest = &mut self.levels[0];
        finest.wanted.iter_mut().zip(residual).for_each(|(to, &from)| *to = from as f32);
        cycle(&mut self.levels);
        let finest = &self.levels[0];
        // Joins reach beyond the domain; what they brought there counts for nothing.
        let solution = finest.solution.iter().zip(&finest.step);
        out.iter_mut().zip(solution).for_each(|(to, (&from, &step))| {
            *to = if step > 0.0 { from.into() } else { 0.0 };
        });
    }
}

fn cycle(levels: &mut [Level]) {
    let Some((level, coarser)) = levels.split_first_mut() else { return };
    level.begin();
    let Some(next) = coarser.first_mut() else {
        (1..COARSEST_STEPS).for_each(|_| level.smooth());
        return;
    };
    level.find_residual();
    level.grid.join(&next.grid, &level.residual, &mut next.wanted);
    cycle(coarser);
    level.grid.spread(&coarser[0].grid, &coarser[0].solution, &mut level.solution);
    level.smooth();
}

impl Level {
    fn new(grid: BorderedGrid, weights: [Vec<f32>; 3], diagonal: Vec<f32>) -> Self {
        let step = |&diagonal: &f32| if diagonal > 0.0 { DAMPING / diagonal } else { 0.0 };
        let empty = || vec![0.0; diagonal.len()];
        Self {
            step: diagonal.iter().map(step).collect(),
            wanted: empty(),
            solution: empty(),
            residual: empty(),
            grid,
            weights,
            diagonal,
        }
    }

    /// The grid of half the voxels along each axis; `None` if there are too few to be worth it.
    fn coarser(&self) -> Option<Self> {
        let grid = self.grid.coarser()?;
        let mut diagonal = vec![0.0; grid.len()];
        self.grid.join(&grid, &self.diagonal, &mut diagonal);
        let mut joined = [const { Vec::new() }; 3];
        for axis in (0..3).filter(|&axis| !self.weights[axis].is_empty()) {
            let mut weights = vec![0.0; grid.len()];
            self.grid.for_each(|index, voxel| {
                let (weight, coarse) = (self.weights[axis][index], grid.of_finer(voxel));
                // A pair within a join: it and its mirror image leave the sum.
                if grid.halved[axis] && voxel[axis] % 2 == 0 || grid.extents[axis] == 1 {
                    diagonal[coarse] -= 2.0 * weight;
                } else {
                    weights[coarse] += 0.5 * weight;
                }
            });
            joined[axis] = weights;
        }
        // What rounding leaves of nothing is nothing.
        diagonal
            .iter_mut()
            .for_each(|value| *value = if *value > 0.25 { 0.5 * *value } else { 0.0 });
        Some(Self::new(grid, joined, diagonal))
    }

    /// The first Jacobi step, from 0.
    fn begin(&mut self) {
        let steps = self.step.iter().zip(&self.wanted);
        self.solution.iter_mut().zip(steps).for_each(|(x, (step, wanted))| *x = step * wanted);
    }

    fn smooth(&mut self) {
        self.find_residual();
        let steps = self.step.iter().zip(&self.residual);
        self.solution.iter_mut().zip(steps).for_each(|(x, (step, left))| *x += step * left);
    }

    /// The residual: right-hand side minus the operator on the solution.
    fn find_residual(&mut self) {
        let inner = self.grid.inner();
        let out = &mut self.residual[inner.clone()];
        let own = self.diagonal[inner.clone()].iter().zip(&self.solution[inner.clone()]);
        for ((out, wanted), (d, x)) in out.iter_mut().zip(&self.wanted[inner.clone()]).zip(own) {
            *out = wanted - d * x;
        }
        for (axis, weights) in self.weights.iter().enumerate() {
            if weights.is_empty() {
                continue;
            }
            let stride = self.grid.strides[axis];
            let after = weights[inner.clone()].iter().zip(&self.solution[inner.start + stride..]);
            let before =
                weights[inner.start - stride..].iter().zip(&self.solution[inner.start - stride..]);
            for (out, ((w, x), (v, y))) in out.iter_mut().zip(after.zip(before)) {
                *out += w * x + v * y;
            }
        }
    }
}
