//! Uniform cubic B-splines on one axis: their weights at positions, and their refinement.
use disyre_core::ndarray::{Array3, Axis};

/// Order of the splines; an axis of n spans has n + 3 control points.
pub(crate) const ORDER: usize = 3;

/// Weights of the four control points that matter at one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Taps {
    /// Index of the first of the four.
    pub(crate) first: usize,
    /// Weights; of a spline they sum to 1.
    pub(crate) weights: [f64; 4],
}

impl Taps {
    /// Weights at a position in `[0, 1]` along an axis with `control_points` control points.
    pub(crate) fn at(position: f64, control_points: usize) -> Self {
        let spans = control_points - ORDER;
        let u = position * spans as f64;
        let first = (u as usize).min(spans - 1);
        Self { first, weights: cubic(u - first as f64) }
    }

    /// Each weight through a function of the four.
    pub(crate) fn map(self, change: impl Fn(&[f64; 4], f64) -> f64) -> Self {
        Self { weights: self.weights.map(|weight| change(&self.weights, weight)), ..self }
    }

    /// The weighted sum of four of `values`.
    pub(crate) fn dot(&self, values: &[f64]) -> f64 {
        let four = &values[self.first..self.first + 4];
        self.weights.iter().zip(four).map(|(weight, value)| weight * value).sum()
    }

    /// Adds `value`, weighted, to four of `sums`.
    pub(crate) fn spread(&self, value: f64, sums: &mut [f64]) {
        let four = &mut sums[self.first..self.first + 4];
        for (sum, weight) in four.iter_mut().zip(self.weights) {
            *sum += weight * value;
        }
    }
}

/// The four cubic B-splines that overlap a span, at `t` in `[0, 1]` of it.
fn cubic(t: f64) -> [f64; 4] {
    let s = 1.0 - t;
    let (t2, t3) = (t * t, t * t * t);
    let inner = |t2: f64, t3: f64| (3.0 * t3 - 6.0 * t2 + 4.0) / 6.0;
    [s * s * s / 6.0, inner(t2, t3), inner(s * s, s * s * s), t3 / 6.0]
}

/// The same spline function with half the distance between control points: n → 2n − 3 along each axis.
///
/// # Source
/// The two-scale relation of cubic B-splines: new control points are (a + b)/2 and (a + 6b + c)/8 by turns.
pub(crate) fn refine(lattice: &Array3<f64>) -> Array3<f64> {
    (0..3).fold(lattice.clone(), |lattice, axis| refine_axis(&lattice, Axis(axis)))
}

fn refine_axis(lattice: &Array3<f64>, axis: Axis) -> Array3<f64> {
    let mut shape = lattice.raw_dim();
    shape[axis.0] = 2 * lattice.len_of(axis) - ORDER;
    let mut refined = Array3::zeros(shape);
    for (mut new, old) in refined.lanes_mut(axis).into_iter().zip(lattice.lanes(axis)) {
        for (index, value) in new.iter_mut().enumerate() {
            let i = index / 2;
            *value = match index % 2 {
                0 => 0.5 * (old[i] + old[i + 1]),
                _ => (old[i] + 6.0 * old[i + 1] + old[i + 2]) / 8.0,
            };
        }
    }
    refined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_the_cubic_b_spline_and_sum_to_one() {
        assert_eq!(Taps::at(0.0, 4).weights, [1.0 / 6.0, 4.0 / 6.0, 1.0 / 6.0, 0.0]);
        let middle = Taps::at(0.5, 5);
        assert_eq!((middle.first, middle.weights), (1, [1.0 / 6.0, 4.0 / 6.0, 1.0 / 6.0, 0.0]));
        let last = Taps::at(1.0, 11);
        assert_eq!((last.first, last.weights[0]), (7, 0.0));
        for step in 0..=20 {
            let sum: f64 = Taps::at(f64::from(step) / 20.0, 7).weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn refinement_leaves_the_function_as_it_is() {
        let line: Vec<f64> = [3.0, -1.0, 4.0, 1.5, -0.5].to_vec();
        let lattice = Array3::from_shape_vec((5, 1, 1), line.clone()).unwrap();
        let refined = refine_axis(&lattice, Axis(0)).into_raw_vec_and_offset().0;
        assert_eq!(refined.len(), 7);
        for step in 0..=50 {
            let at = f64::from(step) / 50.0;
            let (before, after) = (Taps::at(at, 5).dot(&line), Taps::at(at, 7).dot(&refined));
            assert!((before - after).abs() < 1e-14, "{at}: {before} {after}");
        }
    }
}
