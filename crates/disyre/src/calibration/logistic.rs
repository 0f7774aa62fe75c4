//! Logistic regression with an L2 penalty.

/// Half of this times each squared coefficient is added to the mean loss; the intercept is free.
const PENALTY: f64 = 1e-3;
/// Sweeps over all coefficients after which the last is taken as it is.
const SWEEPS: usize = 2000;
/// A sweep that changes no coefficient by more than this is the last.
const TOLERANCE: f64 = 1e-5;

/// Observations with features, a class and a weight each.
#[derive(Debug, Default)]
pub(super) struct Logistic {
    /// Values of each feature.
    features: Vec<Vec<f32>>,
    /// −1 or 1.
    classes: Vec<f64>,
    weights: Vec<f64>,
}

impl Logistic {
    /// Adds an observation; all have the same number of features.
    pub(super) fn add(&mut self, features: impl Iterator<Item = f32>, class: bool, weight: f64) {
        for (index, value) in features.enumerate() {
            if index == self.features.len() {
                self.features.push(Vec::new());
            }
            self.features[index].push(value);
        }
        self.classes.push(if class { 1.0 } else { -1.0 });
        self.weights.push(weight);
    }

    /// The coefficients, without the intercept.
    ///
    /// # Source
    /// Steps along one coefficient after the other, none of which can raise the loss: Genkin, Lewis and Madigan (2007), CLG.
    pub(super) fn fit(&self) -> Vec<f64> {
        let total: f64 = self.weights.iter().sum();
        let ones = vec![1f32; self.classes.len()];
        let columns: Vec<&[f32]> =
            self.features.iter().map(Vec::as_slice).chain([ones.as_slice()]).collect();
        let mut found = vec![0f64; columns.len()];
        let mut bounds = vec![1f64; columns.len()];
        let mut sums = vec![0f64; self.classes.len()];
        for _ in 0..SWEEPS {
            let mut most = 0f64;
            for (index, column) in columns.iter().enumerate() {
                let penalty = if index == self.features.len() { 0.0 } else { PENALTY * total };
                let (slope, curvature) = self.derivatives(column, &sums, bounds[index]);
                let step = -(slope + penalty * found[index]) / (curvature + penalty).max(1e-12);
                let step = step.clamp(-bounds[index], bounds[index]);
                bounds[index] = (2.0 * step.abs()).max(bounds[index] / 2.0);
                found[index] += step;
                let moved = sums.iter_mut().zip(*column);
                moved.for_each(|(sum, &value)| *sum += step * f64::from(value));
                most = most.max(step.abs());
            }
            if most < TOLERANCE {
                break;
            }
        }
        found.truncate(self.features.len());
        found
    }

    /// First derivative of the loss along one coefficient, and the greatest second one within a bound of it.
    fn derivatives(&self, column: &[f32], sums: &[f64], bound: f64) -> (f64, f64) {
        let observations = self.classes.iter().zip(&self.weights).zip(sums).zip(column);
        observations.fold((0.0, 0.0), |(slope, curvature), (((class, weight), sum), &value)| {
            let value = f64::from(value);
            let wrong = 1.0 / (1.0 + (class * sum).exp());
            let slope = slope - weight * class * wrong * value;
            let nearest = (sum.abs() - (bound * value).abs()).max(0.0);
            let steepest = 1.0 / (2.0 + nearest.exp() + (-nearest).exp());
            (slope, curvature + weight * steepest * value * value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn 1.9: `LogisticRegression(C=1 / (0.001 * 6.5), tol=1e-12, max_iter=100000)` with `sample_weight`.
    #[test]
    fn coefficients_are_those_of_scikit_learn() {
        let mut regression = Logistic::default();
        for (features, class, weight) in [
            ([0.0, 1.0], false, 1.0),
            ([1.0, 0.5], false, 2.0),
            ([2.0, 0.0], true, 1.0),
            ([0.5, 2.0], true, 1.0),
            ([1.5, 1.0], false, 0.5),
            ([1.0, 2.0], true, 1.0),
        ] {
            regression.add(features.into_iter(), class, weight);
        }
        let found = regression.fit();
        for (got, expected) in found.iter().zip([4.532551, 3.668585]) {
            assert!((got - expected).abs() < 1e-3 * expected, "{found:?}");
        }
    }
}
