//! [`Rotation`]: a random rotation of a shape in its window.

use disyre_core::{KeyRng, rand::RngExt};

/// A rotation about the window's centre, in voxels, axes `(z, y, x)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotation {
    matrix: [[f64; 3]; 3],
    centre: [f64; 3],
}

impl Rotation {
    /// The rotation that leaves all as it is.
    pub(crate) fn none(window: [usize; 3]) -> Self {
        let matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        Self { matrix, centre: window.map(|extent| (extent as f64 - 1.0) / 2.0) }
    }

    /// An angle from `±max_degrees` in each plane; only planes in which the window has an extent turn.
    pub(crate) fn draw(rng: &mut KeyRng, max_degrees: f64, window: [usize; 3]) -> Self {
        let mut rotation = Self::none(window);
        for (a, b) in [(1, 2), (0, 2), (0, 1)] {
            let angle = max_degrees.to_radians() * (2.0 * rng.random::<f64>() - 1.0);
            if window[a] > 1 && window[b] > 1 {
                rotation.turn(a, b, angle);
            }
        }
        rotation
    }

    fn turn(&mut self, a: usize, b: usize, angle: f64) {
        let (sine, cosine) = angle.sin_cos();
        for row in &mut self.matrix {
            (row[a], row[b]) = (cosine * row[a] + sine * row[b], cosine * row[b] - sine * row[a]);
        }
    }

    /// Its matrix, applied to `(z, y, x)`.
    pub(crate) fn matrix(&self) -> [[f64; 3]; 3] {
        self.matrix
    }

    /// The centre of the window.
    pub(crate) fn centre(&self) -> [f64; 3] {
        self.centre
    }

    /// Position that a voxel of the window shows, relative to the window's centre.
    pub(crate) fn offset(&self, voxel: [usize; 3]) -> [f64; 3] {
        let from: [f64; 3] = std::array::from_fn(|axis| voxel[axis] as f64 - self.centre[axis]);
        self.matrix.map(|row| row[0] * from[0] + row[1] * from[1] + row[2] * from[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Key;

    #[test]
    fn a_slice_turns_in_its_plane_only() {
        let rotation = Rotation::draw(&mut Key::new(3).rng(), 15.0, [1, 64, 64]);
        for voxel in [[0, 0, 0], [0, 12, 60]] {
            let [z, y, x] = rotation.offset(voxel);
            let from = [voxel[1] as f64 - 31.5, voxel[2] as f64 - 31.5];
            assert_eq!(z, 0.0);
            assert!((y.hypot(x) - from[0].hypot(from[1])).abs() < 1e-9);
            assert!((y - from[0]).abs() > 1e-3);
        }
    }

    #[test]
    fn a_quarter_turn_exchanges_the_axes() {
        let mut rotation = Rotation::none([1, 3, 3]);
        rotation.turn(1, 2, std::f64::consts::FRAC_PI_2);
        let [_, y, x] = rotation.offset([0, 0, 1]);
        assert!(y.abs() < 1e-12 && (x.abs() - 1.0).abs() < 1e-12);
    }
}
