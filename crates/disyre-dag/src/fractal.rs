//! Fractal gradient noise, row by row, for blobs and noise textures.

use disyre_core::{Key, rand::RngExt};

use crate::scratch::ScratchBuffer;

/// Each layer is finer than the one before by this factor: irrational, so that their lattices do not align.
const LACUNARITY: f64 = std::f64::consts::PI * 2.0 / 3.0;

/// Each layer is weaker than the one before by this factor.
const PERSISTENCE: f64 = 0.5;

/// Fractal gradient noise on a regular grid, in `[-1, 1]`.
///
/// A row of the grid is evaluated at once: along it, the noise of one lattice cell is a blend of two ramps, whose
/// coefficients are shared by all voxels of the cell.
///
/// # Source
/// Perlin, "Improving noise" (SIGGRAPH 2002), summed over octaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fractal {
    pub(crate) octaves: usize,
    /// Extents of the grid `(z, y, x)`; noise over a single slice is two-dimensional.
    pub(crate) extents: [usize; 3],
    /// Cycles of the coarsest layer from one voxel to the next.
    pub(crate) step: [f64; 3],
}

impl Fractal {
    /// Calls `visit(z, y, noise of that row)` for every row, in order of memory.
    pub(crate) fn for_each_row(&self, key: Key, mut visit: impl FnMut(usize, usize, &[f32])) {
        let mut rng = key.rng();
        let place: [f64; 3] = std::array::from_fn(|_| 256.0 * rng.random::<f64>());
        let total: f64 = (0..self.octaves).map(|octave| PERSISTENCE.powi(octave as i32)).sum();
        let mut layers: Vec<Octave> = (0..self.octaves as i32)
            .map(|octave| {
                let scale = LACUNARITY.powi(octave);
                let amplitude = (PERSISTENCE.powi(octave) / total) as f32;
                let (place, step) = (place.map(|p| p * scale), self.step.map(|s| s * scale));
                Octave::new(rng.random(), amplitude, self.extents, place, step)
            })
            .collect();
        let mut row = ScratchBuffer::zeros(self.extents[2]);
        for z in 0..self.extents[0] {
            for y in 0..self.extents[1] {
                row.fill(0.0);
                for layer in &mut layers {
                    layer.add_row(z, y, &mut row);
                }
                visit(z, y, &row);
            }
        }
    }
}

/// A line over a lattice cell: noise from the gradient of one node is `slope · distance + height`.
#[derive(Debug, Clone, Copy, Default)]
struct Ramp {
    slope: f32,
    height: f32,
}

/// One octave.
#[derive(Debug)]
struct Octave {
    seed: u64,
    amplitude: f32,
    flat: bool,
    place: [f64; 3],
    step: [f64; 3],
    /// Distance of every voxel of a row from the node before it, and its fade weight.
    distance: Vec<f32>,
    fade: Vec<f32>,
    /// First voxel of every lattice cell, and the end of the row.
    cells: Vec<usize>,
    first_node: i64,
    /// Gradients `(z, y, x)` at the four lattice lines around a row, node by node.
    gradients: Vec<[[f32; 3]; 4]>,
    /// The lattice cell `(z, y)` that they belong to.
    at: Option<[i64; 2]>,
    ramps: Vec<Ramp>,
}

impl Octave {
    fn new(
        seed: u64,
        amplitude: f32,
        extents: [usize; 3],
        place: [f64; 3],
        step: [f64; 3],
    ) -> Self {
        let flat = extents[0] == 1;
        let first_node = place[2].floor() as i64;
        let mut layer = Self {
            seed,
            amplitude,
            flat,
            place,
            step,
            distance: Vec::with_capacity(extents[2]),
            fade: Vec::with_capacity(extents[2]),
            cells: vec![0],
            first_node,
            gradients: Vec::new(),
            at: None,
            ramps: Vec::new(),
        };
        for x in 0..extents[2] {
            let (cell, distance) = split(place[2] + x as f64 * step[2]);
            // A step longer than a cell leaves cells without voxels.
            while layer.cells.len() <= (cell - first_node) as usize {
                layer.cells.push(x);
            }
            layer.distance.push(distance);
            layer.fade.push(fade(distance));
        }
        layer.cells.push(extents[2]);
        layer
    }

    fn add_row(&mut self, z: usize, y: usize, row: &mut [f32]) {
        self.find_ramps(z, y);
        for (cell, bounds) in self.cells.windows(2).enumerate() {
            let (before, after) = (self.ramps[cell], self.ramps[cell + 1]);
            let voxels = bounds[0]..bounds[1];
            let places = self.distance[voxels.clone()].iter().zip(&self.fade[voxels.clone()]);
            for (value, (&distance, &fade)) in row[voxels].iter_mut().zip(places) {
                let left = before.slope * distance + before.height;
                let right = after.slope * (distance - 1.0) + after.height;
                *value += left + fade * (right - left);
            }
        }
    }

    /// The ramps of all nodes along a row.
    fn find_ramps(&mut self, z: usize, y: usize) {
        let (cell_z, z) = split(self.place[0] + z as f64 * self.step[0]);
        let (cell_y, y) = split(self.place[1] + y as f64 * self.step[1]);
        self.find_gradients([cell_z, cell_y]);
        let (fade_z, fade_y) = if self.flat { (0.0, fade(y)) } else { (fade(z), fade(y)) };
        let around = [
            (z, y, (1.0 - fade_z) * (1.0 - fade_y)),
            (z, y - 1.0, (1.0 - fade_z) * fade_y),
            (z - 1.0, y, fade_z * (1.0 - fade_y)),
            (z - 1.0, y - 1.0, fade_z * fade_y),
        ];
        let around = around.map(|(z, y, weight)| (z, y, weight * self.amplitude));
        self.ramps.clear();
        self.ramps.extend(self.gradients.iter().map(|gradients| {
            let mut line = Ramp::default();
            // In the plane the last two weigh nothing.
            for (gradient, (z, y, weight)) in gradients.iter().zip(around) {
                line.slope += weight * gradient[2];
                line.height += weight * (gradient[0] * z + gradient[1] * y);
            }
            line
        }));
    }

    fn find_gradients(&mut self, [cell_z, cell_y]: [i64; 2]) {
        let cell_z = if self.flat { 0 } else { cell_z };
        if self.at.replace([cell_z, cell_y]) == Some([cell_z, cell_y]) {
            return;
        }
        let (flat, first, nodes) = (self.flat, self.first_node, self.cells.len() as i64);
        let lines = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .map(|(dz, dy)| mix(mix(self.seed, cell_z + dz), cell_y + dy));
        let gradient = |line: usize, x: i64| match flat {
            true if line > 1 => [0.0; 3],
            true => DIAGONALS[(mix(lines[line], x) >> 62) as usize],
            false => EDGES[(((mix(lines[line], x) >> 32) * 12) >> 32) as usize],
        };
        self.gradients.clear();
        self.gradients.extend(
            (first..first + nodes)
                .map(|x| [gradient(0, x), gradient(1, x), gradient(2, x), gradient(3, x)]),
        );
    }
}

/// Gradients in the plane, `(z, y, x)`: two ones each, so that the middle of a cell is at most 1.
const DIAGONALS: [[f32; 3]; 4] = [[0., 1., 1.], [0., 1., -1.], [0., -1., 1.], [0., -1., -1.]];

/// Gradients in space, `(z, y, x)`: the middles of a cube's edges.
const EDGES: [[f32; 3]; 12] = [
    [0., 1., 1.],
    [0., 1., -1.],
    [0., -1., 1.],
    [0., -1., -1.],
    [1., 0., 1.],
    [1., 0., -1.],
    [-1., 0., 1.],
    [-1., 0., -1.],
    [1., 1., 0.],
    [1., -1., 0.],
    [-1., 1., 0.],
    [-1., -1., 0.],
];

/// The lattice cell of a coordinate and the distance from its start.
fn split(coordinate: f64) -> (i64, f32) {
    let cell = coordinate.floor();
    (cell as i64, (coordinate - cell) as f32)
}

/// `6t⁵ − 15t⁴ + 10t³`: 0 to 1 with no slope and no curvature at either end.
fn fade(t: f32) -> f32 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

/// Mixes one more coordinate of a lattice node into its hash.
///
/// # Source
/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): the finaliser of SplitMix64.
fn mix(hash: u64, coordinate: i64) -> u64 {
    let mut mixed = (hash ^ coordinate as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(extents: [usize; 3], step: f64, octaves: usize, key: Key) -> Vec<f32> {
        let mut all = Vec::new();
        let fractal = Fractal { octaves, extents, step: [step; 3] };
        fractal.for_each_row(key, |_, _, row| all.extend_from_slice(row));
        all
    }

    #[test]
    fn one_layer_is_zero_at_its_nodes_and_smooth_between() {
        let fractal = Fractal { octaves: 1, extents: [4, 5, 6], step: [1.0; 3] };
        let mut layer = Octave::new(7, 1.0, fractal.extents, [3.0, -2.0, 0.0], fractal.step);
        let mut row = [0.0; 6];
        layer.add_row(2, 3, &mut row);
        assert_eq!(row, [0.0; 6]);
        let fine = noise([1, 1, 400], 0.01, 1, Key::new(1));
        assert!(fine.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.05));
    }

    #[test]
    fn values_fill_most_of_the_unit_interval_on_both_sides() {
        for extents in [[1, 64, 64], [16, 16, 16]] {
            let (mut least, mut greatest, mut sum) = (0f32, 0f32, 0f64);
            for index in 0..50u64 {
                for value in noise(extents, 0.21, 3, Key::new(2).child(index)) {
                    (least, greatest) = (least.min(value), greatest.max(value));
                    sum += f64::from(value);
                }
            }
            assert!(least >= -1.0 && greatest <= 1.0);
            assert!(least < -0.5 && greatest > 0.5, "{least} {greatest}");
            assert!((sum / (50.0 * 4096.0)).abs() < 0.03);
        }
    }

    #[test]
    fn a_step_over_several_cells_is_evaluated_at_its_own_cell() {
        let mut coarse = Octave::new(9, 1.0, [1, 1, 8], [0.5, 0.5, 0.25], [0.0, 0.0, 3.0]);
        let mut fine = Octave::new(9, 1.0, [1, 1, 22], [0.5, 0.5, 0.25], [0.0, 0.0, 1.0]);
        let (mut few, mut all) = ([0.0; 8], [0.0; 22]);
        coarse.add_row(0, 0, &mut few);
        fine.add_row(0, 0, &mut all);
        assert!(few.iter().zip(all.iter().step_by(3)).all(|(a, b)| a == b));
    }
}
