/// The residual's norm at which the solution is accepted, relative to that of the first.
const TOLERANCE: f64 = 1e-6;

/// A set of voxels on which a discrete Poisson equation is solved, on a grid with a border of one voxel all around.
///
/// With the border, the neighbour of a voxel is a fixed distance away in memory, and the sums over neighbours are loops
/// without a branch.
#[derive(Debug)]
pub(crate) struct Domain {
    /// Of the canvas, `(z, y, x)`.
    extents: [usize; 3],
    /// Axes along which voxels have neighbours.
    axes: [bool; 3],
    voxels: Vec<[usize; 3]>,
    /// The box around the voxels in the canvas.
    start: [usize; 3],
    /// Extents of the bordered grid.
    grid: [usize; 3],
    /// 1 for voxels to be solved for, 0 elsewhere.
    inside: Vec<f64>,
    /// Neighbours that count.
    degree: Vec<f64>,
    /// Pairs that count: a voxel and its neighbour.
    edges: Vec<[[usize; 3]; 2]>,
}

impl Domain {
    /// An empty one over a canvas.
    pub(crate) fn new(extents: [usize; 3], axes: [bool; 3]) -> Self {
        let empty = Vec::new;
        Self {
            extents,
            axes,
            voxels: Vec::new(),
            start: [0; 3],
            grid: [0; 3],
            inside: empty(),
            degree: empty(),
            edges: Vec::new(),
        }
    }

    /// Adds a voxel to be solved for.
    pub(crate) fn insert(&mut self, voxel: [usize; 3]) {
        self.voxels.push(voxel);
    }

    /// Finds the neighbours of all voxels; outside the domain only `known` ones count.
    pub(crate) fn close(&mut self, known: impl Fn([usize; 3]) -> bool) {
        let bound = |axis: usize| {
            let of = self.voxels.iter().map(move |voxel| voxel[axis]);
            (of.clone().min().unwrap_or(0), of.max().unwrap_or(0))
        };
        let bounds = [bound(0), bound(1), bound(2)];
        self.start = bounds.map(|(first, _)| first);
        self.grid = bounds.map(|(first, last)| last - first + 3);
        self.inside = vec![0.0; self.grid.iter().product()];
        self.degree = vec![0.0; self.inside.len()];
        for index in 0..self.voxels.len() {
            let at = self.index(self.voxels[index]);
            self.inside[at] = 1.0;
        }
        for &voxel in &self.voxels {
            for neighbour in neighbours(voxel, self.extents, self.axes) {
                // A neighbour lies in the box or on its border.
                if self.inside[self.index(neighbour)] > 0.0 || known(neighbour) {
                    self.edges.push([voxel, neighbour]);
                }
            }
        }
        for index in 0..self.edges.len() {
            let at = self.index(self.edges[index][0]);
            self.degree[at] += 1.0;
        }
    }

    /// Index in the bordered grid.
    fn index(&self, voxel: [usize; 3]) -> usize {
        let [z, y, x] = std::array::from_fn(|axis| voxel[axis] + 1 - self.start[axis]);
        (z * self.grid[1] + y) * self.grid[2] + x
    }

    /// Solves `Σ (u(p) − u(q)) = Σ guide(p, q)` over the neighbours q of every p, u = 0 outside the domain.
    ///
    /// Returns u over the canvas, in order of memory.
    pub(crate) fn solve(&self, guide: impl Fn([usize; 3], [usize; 3]) -> f64) -> Vec<f64> {
        let mut wanted = vec![0.0; self.inside.len()];
        for &[voxel, neighbour] in &self.edges {
            wanted[self.index(voxel)] += guide(voxel, neighbour);
        }
        let solution = self.conjugate_gradients(wanted);
        let [_, height, width] = self.extents;
        let mut all = vec![0.0; self.extents.iter().product()];
        for &[z, y, x] in &self.voxels {
            all[(z * height + y) * width + x] = solution[self.index([z, y, x])];
        }
        all
    }

    fn conjugate_gradients(&self, mut residual: Vec<f64>) -> Vec<f64> {
        let mut solution = vec![0.0; residual.len()];
        let mut direction = residual.clone();
        let mut image = vec![0.0; residual.len()];
        let first = dot(&residual, &residual);
        let mut square = first;
        // In exact arithmetic it ends after one step for each unknown.
        for _ in 0..self.voxels.len() {
            if square <= first * TOLERANCE * TOLERANCE {
                break;
            }
            self.differences(&direction, &mut image);
            let curvature = dot(&direction, &image);
            if curvature <= 0.0 {
                break;
            }
            let step = square / curvature;
            add_scaled(&mut solution, &direction, step);
            add_scaled(&mut residual, &image, -step);
            let next = dot(&residual, &residual);
            let keep = next / square;
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + keep * *d);
            square = next;
        }
        solution
    }

    /// The sum of the differences of every voxel to its neighbours; `field` is 0 outside the domain.
    fn differences(&self, field: &[f64], out: &mut [f64]) {
        let (row, plane) = (self.grid[2], self.grid[1] * self.grid[2]);
        let inner = plane + row + 1..field.len() - plane - row - 1;
        let at = |shift: isize| &field[(inner.start as isize + shift) as usize..][..inner.len()];
        let (degree, middle) = (&self.degree[inner.clone()], at(0));
        let out = &mut out[inner.clone()];
        out.iter_mut().zip(degree.iter().zip(middle)).for_each(|(out, (d, v))| *out = d * v);
        for (axis, stride) in [(0, plane), (1, row), (2, 1)] {
            if self.axes[axis] {
                let (before, after) = (at(-(stride as isize)), at(stride as isize));
                for (out, (a, b)) in out.iter_mut().zip(before.iter().zip(after)) {
                    *out -= a + b;
                }
            }
        }
        out.iter_mut().zip(&self.inside[inner]).for_each(|(out, inside)| *out *= inside);
    }
}

/// The neighbours of a voxel inside the canvas.
fn neighbours(
    voxel: [usize; 3],
    extents: [usize; 3],
    axes: [bool; 3],
) -> impl Iterator<Item = [usize; 3]> {
    let beside = move |axis: usize, up: bool| {
        let mut neighbour = voxel;
        let moved = if up { voxel[axis].checked_add(1) } else { voxel[axis].checked_sub(1) };
        neighbour[axis] = moved.filter(|&position| position < extents[axis])?;
        Some(neighbour)
    };
    let all = (0..3).filter(move |&axis| axes[axis]);
    all.flat_map(move |axis| [beside(axis, false), beside(axis, true)]).flatten()
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

    /// A disc or ball with a notch, and everything around it known.
    fn domain(extents: [usize; 3]) -> Domain {
        let mut domain = Domain::new(extents, extents.map(|extent| extent > 1));
        for z in 0..extents[0] {
            for y in 0..extents[1] {
                for x in 0..extents[2] {
                    let off =
                        |at: usize, axis: usize| at as f64 - (extents[axis] as f64 - 1.0) / 2.0;
                    let square = off(z, 0).powi(2) + off(y, 1).powi(2) + off(x, 2).powi(2);
                    if square < 36.0 && !(x > extents[2] / 2 && y == extents[1] / 2) {
                        domain.insert([z, y, x]);
                    }
                }
            }
        }
        domain.close(|_| true);
        domain
    }

    #[test]
    fn the_solution_satisfies_the_equation_of_every_voxel() {
        for extents in [[1, 15, 17], [13, 14, 15]] {
            let domain = domain(extents);
            let guide = |p: [usize; 3], q: [usize; 3]| {
                let value = |v: [usize; 3]| ((v[0] * 7 + v[1] * 5 + v[2] * 3) % 11) as f64 / 11.0;
                (value(p) - value(q)) * if p[1] > 6 { 0.5 } else { 1.0 }
            };
            let solution = domain.solve(guide);
            let at = |[z, y, x]: [usize; 3]| solution[(z * extents[1] + y) * extents[2] + x];
            let mut residuals = vec![0.0; solution.len()];
            for &[p, q] in &domain.edges {
                residuals[(p[0] * extents[1] + p[1]) * extents[2] + p[2]] +=
                    guide(p, q) - (at(p) - at(q));
            }
            assert!(residuals.iter().all(|r: &f64| r.abs() < 1e-5));
        }
    }

    #[test]
    fn without_known_neighbours_the_solution_is_any_one_that_fits() {
        let mut domain = Domain::new([1, 4, 5], [false, true, true]);
        (0..20).for_each(|index| domain.insert([0, index / 5, index % 5]));
        domain.close(|_| false);
        let value = |v: [usize; 3]| (v[1] * 3 + v[2] * v[2]) as f64;
        let solution = domain.solve(|p, q| value(p) - value(q));
        let shift = solution[0];
        for (index, u) in solution.iter().enumerate() {
            assert!((u - shift - value([0, index / 5, index % 5])).abs() < 1e-4);
        }
    }

    #[test]
    fn an_empty_domain_changes_nothing() {
        let mut domain = Domain::new([1, 3, 3], [false, true, true]);
        domain.close(|_| true);
        assert_eq!(domain.solve(|_, _| 1.0), [0.0; 9]);
    }
}
