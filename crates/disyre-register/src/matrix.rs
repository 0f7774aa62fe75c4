//! Arithmetic of 3×3 matrices.

use disyre_core::Affine;

/// A 3×3 matrix, row-major.
pub(crate) type Matrix = [[f64; 3]; 3];

/// The identity.
pub(crate) const IDENTITY: Matrix = [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]];

/// `left · right`.
pub(crate) fn product(left: &Matrix, right: &Matrix) -> Matrix {
    let entry = |row: usize, column: usize| (0..3).map(|k| left[row][k] * right[k][column]).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| entry(row, column)))
}

/// `matrix · vector`.
pub(crate) fn apply(matrix: &Matrix, vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2])
}

/// The transpose.
pub(crate) fn transpose(matrix: &Matrix) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|column| matrix[column][row]))
}

/// The determinant.
pub(crate) fn determinant(m: &Matrix) -> f64 {
    let minor = |c: usize, d: usize| m[1][c] * m[2][d] - m[1][d] * m[2][c];
    m[0][0] * minor(1, 2) - m[0][1] * minor(0, 2) + m[0][2] * minor(0, 1)
}

/// The 3×3 part of an affine.
pub(crate) fn linear_part(affine: &Affine) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|column| affine[row][column]))
}

/// The affine `x ↦ linear · (x − from) + to`.
pub(crate) fn affine_about(linear: &Matrix, from: [f64; 3], to: [f64; 3]) -> Affine {
    let moved = apply(linear, from);
    let row = |r: usize| [linear[r][0], linear[r][1], linear[r][2], to[r] - moved[r]];
    [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
}

/// The rotation by `|vector|` radians about `vector`.
///
/// # Source
/// Rodrigues' formula.
pub(crate) fn rotation([x, y, z]: [f64; 3]) -> Matrix {
    let angle = (x * x + y * y + z * z).sqrt();
    let cross = [[0., -z, y], [z, 0., -x], [-y, x, 0.]];
    let square = product(&cross, &cross);
    // sin(a)/a and (1 − cos a)/a², whose limits are 1 and 1/2.
    let (first, second) = if angle < 1e-6 {
        (1.0, 0.5)
    } else {
        (angle.sin() / angle, (1.0 - angle.cos()) / (angle * angle))
    };
    std::array::from_fn(|r| {
        std::array::from_fn(|c| IDENTITY[r][c] + first * cross[r][c] + second * square[r][c])
    })
}

/// The angle of a rotation in radians, 0 to π.
pub(crate) fn angle(rotation: &Matrix) -> f64 {
    let trace = rotation[0][0] + rotation[1][1] + rotation[2][2];
    ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos()
}

/// The rotation nearest to a matrix of positive determinant: its polar factor.
///
/// # Source
/// Newton's iteration `X ← (X + X⁻ᵀ) / 2` (Higham 1986).
pub(crate) fn nearest_rotation(matrix: &Matrix) -> Matrix {
    /// It converges quadratically: six steps do for any matrix that a registration yields.
    const STEPS: usize = 30;
    let mut x = *matrix;
    for _ in 0..STEPS {
        let inverse_transpose = inverse_transpose(&x);
        x = std::array::from_fn(|r| {
            std::array::from_fn(|c| 0.5 * (x[r][c] + inverse_transpose[r][c]))
        });
    }
    x
}

fn inverse_transpose(m: &Matrix) -> Matrix {
    let determinant = determinant(m);
    let cofactor = |row: usize, column: usize| {
        let (r, s) = ((row + 1) % 3, (row + 2) % 3);
        let (c, d) = ((column + 1) % 3, (column + 2) % 3);
        m[r][c] * m[s][d] - m[r][d] * m[s][c]
    };
    std::array::from_fn(|row| std::array::from_fn(|column| cofactor(row, column) / determinant))
}

/// Factors by which a matrix stretches along its principal axes, ascending: its singular values.
///
/// # Source
/// Jacobi's eigenvalue iteration on `mᵀm`.
pub(crate) fn stretches(m: &Matrix) -> [f64; 3] {
    /// Each sweep squares what is left off the diagonal.
    const SWEEPS: usize = 12;
    let mut a = product(&transpose(m), m);
    for _ in 0..SWEEPS {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[p][q].abs() < 1e-14 {
                continue;
            }
            let theta = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
            let mut turn = IDENTITY;
            (turn[p][p], turn[q][q]) = (theta.cos(), theta.cos());
            (turn[p][q], turn[q][p]) = (theta.sin(), -theta.sin());
            a = product(&product(&transpose(&turn), &a), &turn);
        }
    }
    let mut values = [0, 1, 2].map(|axis| a[axis][axis].max(0.0).sqrt());
    values.sort_by(f64::total_cmp);
    values
}

/// The 24 rotations that map the axes onto the axes, the identity first; no mirror image is among them.
pub(crate) fn axis_rotations() -> Vec<Matrix> {
    const ORDERS: [[usize; 3]; 6] =
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut found = Vec::new();
    for order in ORDERS {
        for signs in 0..8 {
            let mut matrix = [[0.0; 3]; 3];
            for (row, &column) in order.iter().enumerate() {
                matrix[row][column] = if signs & (1 << row) == 0 { 1.0 } else { -1.0 };
            }
            if determinant(&matrix) > 0.0 {
                found.push(matrix);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(a: &Matrix, b: &Matrix) {
        for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
            assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        }
    }

    #[test]
    fn a_quarter_turn_about_z_takes_x_to_y() {
        let turn = rotation([0.0, 0.0, std::f64::consts::FRAC_PI_2]);
        assert_close(&turn, &[[0., -1., 0.], [1., 0., 0.], [0., 0., 1.]]);
        assert!((angle(&turn).to_degrees() - 90.0).abs() < 1e-9);
    }

    #[test]
    fn the_polar_factor_and_the_stretches_of_a_stretched_rotation_are_its_parts() {
        let turn = rotation([0.4, -0.3, 0.7]);
        let other = rotation([0.1, 0.9, 0.2]);
        let scale = [[2.0, 0., 0.], [0., 0.5, 0.], [0., 0., 1.5]];
        // turn · (other · scale · otherᵀ): a rotation after a symmetric stretch.
        let stretch = product(&product(&other, &scale), &transpose(&other));
        let matrix = product(&turn, &stretch);
        assert_close(&nearest_rotation(&matrix), &turn);
        let values = stretches(&matrix);
        for (got, expected) in values.iter().zip([0.5, 1.5, 2.0]) {
            assert!((got - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn the_axis_rotations_are_24_distinct_rotations() {
        let all = axis_rotations();
        assert_eq!((all.len(), all[0]), (24, IDENTITY));
        for (index, rotation) in all.iter().enumerate() {
            assert_close(&product(rotation, &transpose(rotation)), &IDENTITY);
            assert_eq!(determinant(rotation), 1.0);
            assert!(!all[..index].contains(rotation));
        }
    }
}
