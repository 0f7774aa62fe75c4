//! The parameters of an affine map, and which of them are free.

use disyre_core::Affine;
use serde::{Deserialize, Serialize};

use crate::matrix::{Matrix, affine_about, product, rotation};

/// Number of parameters of a [`Pose`].
const PARAMETERS: usize = 12;

/// Distance from the template's centre at which a change of 1 of any parameter moves a point by about 1 mm.
const RADIUS_MM: f64 = 60.0;

/// Degrees of freedom of the map from template to scan.
///
/// All of them keep left and right: no freedom contains a mirror image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freedom {
    /// Rotation and translation: 6.
    Rigid,
    /// Rotation, translation and one scale: 7.
    Similarity,
    /// Rotation, translation and a scale along each axis of the template: 9.
    Scaling,
    /// Rotation, translation, three scales and three shears: 12.
    Affine,
}

impl Freedom {
    /// Number of free parameters.
    ///
    /// ```
    /// assert_eq!(disyre_register::Freedom::Affine.degrees(), 12);
    /// ```
    pub fn degrees(self) -> usize {
        self.directions().len()
    }

    /// Orthonormal directions of [`Pose::values`] along which a fit moves.
    pub(crate) fn directions(self) -> Vec<[f64; PARAMETERS]> {
        let axis = |parameter: usize| {
            let mut direction = [0.0; PARAMETERS];
            direction[parameter] = 1.0;
            direction
        };
        let free = match self {
            Self::Rigid | Self::Similarity => 6,
            Self::Scaling => 9,
            Self::Affine => PARAMETERS,
        };
        let mut directions: Vec<_> = (0..free).map(axis).collect();
        if self == Self::Similarity {
            let mut scale = [0.0; PARAMETERS];
            scale[6..9].fill((1.0f64 / 3.0).sqrt());
            directions.push(scale);
        }
        directions
    }
}

/// An affine map of positive determinant from template to scan: `x ↦ R₀ · R · S · U · (x − centre) + t`.
///
/// R₀ is a fixed rotation, R a rotation, S = diag(exp s) and U unit upper triangular.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pose {
    /// R₀.
    pub(crate) start_rotation: Matrix,
    /// Centre of the template's brain, world millimetres.
    pub(crate) centre: [f64; 3],
    /// Rotation vector (3), t (3), s (3) and the shears of U (3); all but t in units of 1 / [`RADIUS_MM`].
    pub(crate) values: [f64; PARAMETERS],
}

impl Pose {
    /// A map that takes `centre` to `target` with one scale; a scale that no brain has is brought to 1/4 or 4.
    ///
    /// So the foreground may be a single point, whose size is 0, and the map has an inverse still.
    pub(crate) fn new(
        start_rotation: Matrix,
        centre: [f64; 3],
        target: [f64; 3],
        scale: f64,
    ) -> Self {
        let mut values = [0.0; PARAMETERS];
        values[3..6].copy_from_slice(&target);
        values[6..9].fill(scale.clamp(0.25, 4.0).ln() * RADIUS_MM);
        Self { start_rotation, centre, values }
    }

    /// The same map with its parameters moved.
    pub(crate) fn moved(&self, directions: &[[f64; PARAMETERS]], by: &[f64]) -> Self {
        let mut pose = *self;
        for (direction, by) in directions.iter().zip(by) {
            for (value, share) in pose.values.iter_mut().zip(direction) {
                *value += share * by;
            }
        }
        pose
    }

    /// Template world millimetres → scan world millimetres.
    pub(crate) fn affine(&self) -> Affine {
        let v = &self.values;
        let unit = |index: usize| v[index] / RADIUS_MM;
        let turn = product(&self.start_rotation, &rotation([unit(0), unit(1), unit(2)]));
        let scale = [6, 7, 8].map(|index| unit(index).exp());
        let shear = [[1.0, unit(9), unit(10)], [0.0, 1.0, unit(11)], [0.0, 0.0, 1.0]];
        let stretch = std::array::from_fn(|row| shear[row].map(|value| scale[row] * value));
        affine_about(&product(&turn, &stretch), self.centre, [v[3], v[4], v[5]])
    }

    /// Derivatives of a function along directions, from its derivatives by the affine's first three rows.
    pub(crate) fn along(
        &self,
        directions: &[[f64; PARAMETERS]],
        by_affine: &[[f64; 4]; 3],
    ) -> Vec<f64> {
        /// Central differences of a smooth function of order 1 to 100 mm: exact to about 1e-9.
        const STEP: f64 = 1e-4;
        let derivative = |direction: &[f64; PARAMETERS]| {
            let ahead = self.moved(&[*direction], &[STEP]).affine();
            let behind = self.moved(&[*direction], &[-STEP]).affine();
            let mut sum = 0.0;
            for (row, by) in by_affine.iter().enumerate() {
                for (column, by) in by.iter().enumerate() {
                    sum += by * (ahead[row][column] - behind[row][column]) / (2.0 * STEP);
                }
            }
            sum
        };
        directions.iter().map(derivative).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{IDENTITY, determinant, linear_part};
    use disyre_volume::affine::transform;
    use proptest::prelude::*;

    #[test]
    fn the_start_takes_the_centre_to_the_target() {
        let pose = Pose::new(IDENTITY, [1.0, 2.0, 3.0], [10.0, 20.0, 30.0], 2.0);
        let affine = pose.affine();
        let close = |got: [f64; 3], expected: [f64; 3]| {
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9)
        };
        assert!(close(transform(&affine, [1.0, 2.0, 3.0]), [10.0, 20.0, 30.0]));
        assert!(close(transform(&affine, [2.0, 2.0, 3.0]), [12.0, 20.0, 30.0]));
    }

    #[test]
    fn each_freedom_has_its_degrees() {
        let all = [Freedom::Rigid, Freedom::Similarity, Freedom::Scaling, Freedom::Affine];
        assert_eq!(all.map(Freedom::degrees), [6, 7, 9, 12]);
    }

    proptest! {
        #[test]
        fn no_parameters_mirror(values in prop::array::uniform12(-100.0f64..100.0)) {
            let pose = Pose { start_rotation: IDENTITY, centre: [0.0; 3], values };
            prop_assert!(determinant(&linear_part(&pose.affine())) > 0.0);
        }

        #[test]
        fn derivatives_are_the_chain_rule(values in prop::array::uniform12(-20.0f64..20.0)) {
            // f = Σ k · A[row][column]², k = 1 to 12.
            let f = |a: &Affine| -> f64 {
                (0..12).map(|k| (k + 1) as f64 * a[k / 4][k % 4].powi(2)).sum()
            };
            let pose = Pose { start_rotation: IDENTITY, centre: [3.0, -4.0, 5.0], values };
            let a = pose.affine();
            let mut by = [[0.0; 4]; 3];
            for k in 0..12 {
                by[k / 4][k % 4] = 2.0 * (k + 1) as f64 * a[k / 4][k % 4];
            }
            let directions = Freedom::Affine.directions();
            let step = 1e-3;
            for (index, got) in pose.along(&directions, &by).into_iter().enumerate() {
                let at = |h: f64| f(&pose.moved(&[directions[index]], &[h]).affine());
                let expected = (at(step) - at(-step)) / (2.0 * step);
                prop_assert!((got - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{got}, {expected}");
            }
        }
    }
}
