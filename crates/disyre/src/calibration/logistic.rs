//! Logistic regression with an L2 penalty.

use rayon::prelude::*;

/// Half of this times each squared coefficient is added to the mean loss; the intercept is free.
const PENALTY: f64 = 1e-3;
/// Steps of Newton's method after which the coefficients are taken as they are.
const STEPS: usize = 100;
/// A step that changes no coefficient by more than this is the last.
const TOLERANCE: f64 = 1e-6;
/// Sweeps over the coefficients that solve for one step.
const SWEEPS: usize = 1000;

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
    /// Newton's method (iteratively reweighted least squares), each step halved until the loss does not rise; the loss is
    /// convex.
    pub(super) fn fit(&self) -> Vec<f64> {
        let ones = vec![1f32; self.classes.len()];
        let columns: Vec<&[f32]> =
            self.features.iter().map(Vec::as_slice).chain([ones.as_slice()]).collect();
        let mut found = vec![0f64; columns.len()];
        let mut loss = self.loss(&columns, &found);
        for _ in 0..STEPS {
            let mut step = self.newton_step(&columns, &found);
            let (next, next_loss) = loop {
                let next: Vec<f64> = found.iter().zip(&step).map(|(a, b)| a + b).collect();
                let next_loss = self.loss(&columns, &next);
                // Where no step is left that the numbers can tell, the last one counts.
                if next_loss <= loss || step.iter().all(|step| step.abs() < TOLERANCE) {
                    break (next, next_loss);
                }
                step.iter_mut().for_each(|step| *step /= 2.0);
            };
            (found, loss) = (next, next_loss);
            if step.iter().all(|step| step.abs() < TOLERANCE) {
                break;
            }
        }
        found.truncate(self.features.len());
        found
    }

    /// The penalty of a coefficient, for the sum of losses.
    fn penalty(&self, index: usize) -> f64 {
        let total: f64 = self.weights.iter().sum();
        if index == self.features.len() { 0.0 } else { PENALTY * total }
    }

    /// Sum of losses and penalties.
    fn loss(&self, columns: &[&[f32]], found: &[f64]) -> f64 {
        let margins = self.margins(columns, found);
        // log(1 + exp(-m)), which does not overflow.
        let loss = |m: f64| (-m.abs()).exp().ln_1p() + (-m).max(0.0);
        let losses = margins.iter().zip(&self.weights).map(|(&m, weight)| weight * loss(m));
        let penalties = found.iter().enumerate();
        let penalties = penalties.map(|(index, value)| self.penalty(index) * value * value / 2.0);
        losses.sum::<f64>() + penalties.sum::<f64>()
    }

    /// Class times sum of coefficients and features, for each observation.
    fn margins(&self, columns: &[&[f32]], found: &[f64]) -> Vec<f64> {
        let mut margins = vec![0f64; self.classes.len()];
        for (column, coefficient) in columns.iter().zip(found) {
            let sums = margins.iter_mut().zip(*column);
            sums.for_each(|(sum, &value)| *sum += coefficient * f64::from(value));
        }
        margins.iter_mut().zip(&self.classes).for_each(|(sum, class)| *sum *= class);
        margins
    }

    /// The step to the minimum of the quadratic that touches the loss: Gauss and Seidel's sweeps over its coefficients.
    fn newton_step(&self, columns: &[&[f32]], found: &[f64]) -> Vec<f64> {
        let margins = self.margins(columns, found);
        let wrong: Vec<f64> = margins.iter().map(|margin| 1.0 / (1.0 + margin.exp())).collect();
        let observations = || self.weights.iter().zip(&wrong);
        let slopes: Vec<f64> = observations().map(|(weight, wrong)| weight * wrong).collect();
        let slopes: Vec<f64> = slopes.iter().zip(&self.classes).map(|(a, b)| a * b).collect();
        let bends: Vec<f64> = observations().map(|(w, wrong)| w * wrong * (1.0 - wrong)).collect();
        let rows = (0..columns.len()).into_par_iter().map(|i| {
            let bent: Vec<f64> = product(columns[i], &bends).collect();
            let row = columns.iter().map(|column| product(column, &bent).sum::<f64>());
            let slope = self.penalty(i) * found[i] - product(columns[i], &slopes).sum::<f64>();
            (slope, row.collect::<Vec<f64>>())
        });
        let rows: Vec<(f64, Vec<f64>)> = rows.collect();
        let mut step = vec![0f64; rows.len()];
        for _ in 0..SWEEPS {
            for (index, (slope, row)) in rows.iter().enumerate() {
                let penalty = self.penalty(index);
                let at_step: f64 = row.iter().zip(&step).map(|(a, b)| a * b).sum();
                let rest = slope + at_step + penalty * step[index];
                step[index] -= rest / (row[index] + penalty).max(1e-12);
            }
        }
        step
    }
}

/// Products of a feature and a number, one for each observation.
fn product<'a>(column: &'a [f32], numbers: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    column.iter().zip(numbers).map(|(&value, number)| f64::from(value) * number)
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
