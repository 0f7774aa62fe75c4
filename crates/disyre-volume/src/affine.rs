//! Arithmetic of affines: from voxel indices to world millimetres and back.
//!
//! ```
//! use disyre_volume::affine::{compose, invert, transform};
//! let affine = [[2., 0., 0., 5.], [0., 2., 0., 6.], [0., 0., 2., 7.], [0., 0., 0., 1.]];
//! assert_eq!(transform(&affine, [1.0, 0.0, 0.0]), [7.0, 6.0, 7.0]);
//! let inverse = invert(&affine).expect("it has one");
//! assert_eq!(transform(&compose(&inverse, &affine), [1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
//! ```
use disyre_core::{Affine, Grid};

/// Maps voxel coordinates `(x, y, z)` to world millimetres, or along any other affine.
pub fn transform(affine: &Affine, point: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|row| {
        let r = &affine[row];
        r[0] * point[0] + r[1] * point[1] + r[2] * point[2] + r[3]
    })
}

/// `left · right`: the affine that applies `right` first.
pub fn compose(left: &Affine, right: &Affine) -> Affine {
    let entry = |row: usize, column: usize| (0..4).map(|k| left[row][k] * right[k][column]).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| entry(row, column)))
}

/// Inverse, or `None` if the matrix is not finite, or so flat that its voxels have no volume.
pub fn invert(affine: &Affine) -> Option<Affine> {
    let a = affine;
    if !a.iter().flatten().all(|value| value.is_finite()) {
        return None;
    }
    let cofactor = |row: usize, column: usize| {
        let (r, s) = ((row + 1) % 3, (row + 2) % 3);
        let (c, d) = ((column + 1) % 3, (column + 2) % 3);
        a[r][c] * a[s][d] - a[r][d] * a[s][c]
    };
    let determinant: f64 = (0..3).map(|column| a[0][column] * cofactor(0, column)).sum();
    let norms = [0, 1, 2].map(|c| (0..3).map(|r| a[r][c] * a[r][c]).sum::<f64>().sqrt());
    let box_volume: f64 = norms.iter().product();
    // 1e-6 of the box that the columns would span if they were orthogonal.
    if !(determinant.is_finite() && box_volume > 0.0 && determinant.abs() > 1e-6 * box_volume) {
        return None;
    }
    let linear = |row: usize, column: usize| cofactor(column, row) / determinant;
    let shift = |row: usize| -(0..3).map(|k| linear(row, k) * a[k][3]).sum::<f64>();
    let row = |row: usize| [linear(row, 0), linear(row, 1), linear(row, 2), shift(row)];
    let inverse = [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]];
    inverse.iter().flatten().all(|value| value.is_finite()).then_some(inverse)
}

/// Affine of a grid whose voxel 0 sits at `start` of the old one and whose axes step `step` old voxels, `(x, y, z)`.
pub(crate) fn rescaled(affine: &Affine, start: [f64; 3], step: [f64; 3]) -> Affine {
    let origin = transform(affine, start);
    let mut new = *affine;
    for (row, origin) in new.iter_mut().zip(origin) {
        for (value, step) in row.iter_mut().zip(step) {
            *value *= step;
        }
        row[3] = origin;
    }
    new
}

/// Greatest distance in millimetres between corresponding corner voxels of two grids of equal shape.
pub(crate) fn corner_distance_mm(a: &Grid, b: &Grid) -> f64 {
    let [nz, ny, nx] = a.shape.map(|n| n.saturating_sub(1) as f64);
    let mut greatest = 0.0f64;
    for corner in 0..8 {
        let pick = |bit: usize, last: f64| if corner & bit == 0 { 0.0 } else { last };
        let point = [pick(1, nx), pick(2, ny), pick(4, nz)];
        let (p, q) = (transform(&a.affine, point), transform(&b.affine, point));
        let distance = (0..3).map(|d| (p[d] - q[d]).powi(2)).sum::<f64>().sqrt();
        greatest = greatest.max(distance);
    }
    greatest
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBLIQUE: Affine =
        [[1.2, -0.3, 0.1, -30.0], [0.4, 0.9, -0.5, 12.0], [0.0, 0.6, 2.0, 7.0], [0., 0., 0., 1.]];

    #[test]
    fn a_matrix_times_its_inverse_is_the_identity() {
        let product = compose(&OBLIQUE, &invert(&OBLIQUE).unwrap());
        for (row, values) in product.iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                assert!((value - f64::from(u8::from(row == column))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_flat_or_infinite_matrix_has_no_inverse() {
        let mut flat = OBLIQUE;
        for row in &mut flat[..3] {
            row[2] = row[0] * 2.0;
        }
        assert_eq!(invert(&flat), None);
        let mut infinite = OBLIQUE;
        infinite[1][3] = f64::INFINITY;
        assert_eq!(invert(&infinite), None);
        assert_eq!(invert(&[[0.0; 4]; 4]), None);
    }

    #[test]
    fn a_shifted_grid_is_as_far_as_its_shift() {
        let a = Grid { shape: [3, 4, 5], affine: OBLIQUE };
        let mut b = a;
        b.affine[2][3] += 0.25;
        assert!((corner_distance_mm(&a, &b) - 0.25).abs() < 1e-12);
        assert_eq!(corner_distance_mm(&a, &a), 0.0);
    }
}
