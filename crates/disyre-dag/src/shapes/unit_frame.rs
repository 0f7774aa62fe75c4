//! [`UnitFrame`]: boxes and balls filled row by row, for discs, ellipsoids, rectangles and patches.

use disyre_core::ndarray::{ArrayViewMut3, Axis, Slice};

/// Affine map from voxels of a window to the coordinates of a unit solid: `matrix · voxel + offset`, `(z, y, x)`.
///
/// A row of voxels is a line in that frame, and a line meets a convex solid in one interval: two divisions for a row
/// replace a test for every voxel.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnitFrame {
    pub(super) matrix: [[f64; 3]; 3],
    pub(super) offset: [f64; 3],
}

impl UnitFrame {
    /// A frame around a centre: first rotated, then each axis divided by a length.
    pub(super) fn new(rotation: [[f64; 3]; 3], centre: [f64; 3], lengths: [f64; 3]) -> Self {
        let matrix: [[f64; 3]; 3] =
            std::array::from_fn(|axis| rotation[axis].map(|entry| entry / lengths[axis]));
        let along = |row: [f64; 3]| -row.iter().zip(centre).map(|(a, b)| a * b).sum::<f64>();
        Self { matrix, offset: matrix.map(along) }
    }

    /// Coordinates of the first voxel of a row.
    fn start(&self, z: usize, y: usize) -> [f64; 3] {
        std::array::from_fn(|axis| {
            let row = self.matrix[axis];
            row[0] * z as f64 + row[1] * y as f64 + self.offset[axis]
        })
    }

    /// 1 where all coordinates `c` satisfy `first ≤ c < end`, else 0.
    pub(super) fn fill_box(&self, shape: ArrayViewMut3<'_, f32>, bounds: [[f64; 2]; 3]) {
        fill_rows(shape, |z, y| {
            let start = self.start(z, y);
            let mut inside = [f64::NEG_INFINITY, f64::INFINITY];
            for axis in 0..3 {
                let [first, end] = crossing(start[axis], self.matrix[axis][2], bounds[axis]);
                inside = [inside[0].max(first), inside[1].min(end)];
            }
            inside
        });
    }

    /// 1 within a distance of 1 from the frame's origin, else 0.
    pub(super) fn fill_ball(&self, shape: ArrayViewMut3<'_, f32>) {
        let step = self.matrix.map(|row| row[2]);
        let square = |v: [f64; 3]| v.iter().map(|c| c * c).sum::<f64>();
        let a = square(step);
        fill_rows(shape, |z, y| {
            let start = self.start(z, y);
            let c = square(start) - 1.0;
            if a == 0.0 {
                return if c <= 0.0 { [0.0, f64::INFINITY] } else { [0.0, 0.0] };
            }
            let b: f64 = start.iter().zip(step).map(|(p, s)| p * s).sum();
            let root = (b * b - a * c).sqrt(); // not a number where the row misses the ball
            [((-b - root) / a).ceil(), ((-b + root) / a).floor() + 1.0]
        });
    }
}

/// The whole numbers x, first and end, with `low ≤ start + step · x < high`.
fn crossing(start: f64, step: f64, [low, high]: [f64; 2]) -> [f64; 2] {
    if step > 0.0 {
        [((low - start) / step).ceil(), ((high - start) / step).ceil()]
    } else if step < 0.0 {
        [((high - start) / step).floor() + 1.0, ((low - start) / step).floor() + 1.0]
    } else if low <= start && start < high {
        [f64::NEG_INFINITY, f64::INFINITY]
    } else {
        [0.0, 0.0]
    }
}

/// Writes 1 into the voxels of every row from the first to before the end that `inside(z, y)` names, 0 elsewhere.
fn fill_rows(mut shape: ArrayViewMut3<'_, f32>, inside: impl Fn(usize, usize) -> [f64; 2]) {
    let (_, height, width) = shape.dim();
    for (index, mut row) in shape.rows_mut().into_iter().enumerate() {
        let [first, end] = inside(index / height, index % height);
        row.fill(0.0);
        if first < end && end > 0.0 && first < width as f64 {
            let voxels = first.max(0.0) as usize..end.min(width as f64) as usize;
            row.slice_axis_mut(Axis(0), Slice::from(voxels)).fill(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::rotation::Rotation;
    use disyre_core::{Key, ndarray::Array3, rand::RngExt};

    #[test]
    fn rows_agree_with_a_test_of_every_voxel() {
        let extents = [9, 14, 17];
        for index in 0..40u64 {
            let key = Key::new(3).child(index);
            let mut rng = key.rng();
            let lengths: [f64; 3] = std::array::from_fn(|_| 2.0 + 5.0 * rng.random::<f64>());
            let centre = extents.map(|extent| extent as f64 * rng.random::<f64>());
            let rotation = Rotation::draw(&mut rng, 180.0, extents).matrix();
            let frame = UnitFrame::new(rotation, centre, lengths);
            let at = |(z, y, x): (usize, usize, usize)| {
                let start = frame.start(z, y);
                [0, 1, 2].map(|axis| start[axis] + frame.matrix[axis][2] * x as f64)
            };
            let (mut solid, mut ball) = (Array3::ones(extents), Array3::ones(extents));
            frame.fill_box(solid.view_mut(), [[-0.5, 0.5]; 3]);
            frame.fill_ball(ball.view_mut());
            for (voxel, &value) in solid.indexed_iter() {
                let inside = at(voxel).iter().all(|c| (-0.5..0.5).contains(c));
                assert_eq!(value == 1.0, inside);
            }
            for (voxel, &value) in ball.indexed_iter() {
                let inside = at(voxel).iter().map(|c| c * c).sum::<f64>() <= 1.0;
                assert_eq!(value == 1.0, inside);
            }
        }
    }

    #[test]
    fn a_row_along_which_nothing_changes_is_inside_or_outside() {
        let still = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0; 3]];
        let frame = UnitFrame { matrix: still, offset: [0.0, -1.0, 0.0] };
        let mut shape = Array3::zeros((1, 3, 2));
        frame.fill_ball(shape.view_mut());
        assert_eq!(shape.sum(), 6.0);
        frame.fill_box(shape.view_mut(), [[-0.5, 0.5]; 3]);
        assert_eq!((shape.sum(), shape[[0, 1, 0]]), (2.0, 1.0));
    }
}
