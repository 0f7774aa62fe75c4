//! Logistic regression with an L2 penalty.

use rayon::prelude::*;

/// Half of this times each squared coefficient is added to the mean loss; the intercept is free.
const PENALTY: f64 = 1e-3;
/// Steps of Newton's method after which the coefficients are taken as they are.
const STEPS: usize = 100;
/// A step that changes no coefficient by more than this is the last.
const TOLERANCE: f64 = 1e-6;
/// Halvings of a step at most.
const HALVINGS: i32 = 40;
/// Sweeps over the coefficients that solve for one step, at most.
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
    /// Newton's method (iteratively reweighted least squares), each step halved until the loss falls; the loss is
    /// convex.
    pub(super) fn fit(&self) -> Vec<f64> {
        let ones = vec![1f32; self.classes.len()];
        let columns: Vec<&[f32]> =
            self.features.iter().map(Vec::as_slice).chain([ones.as_slice()]).collect();
        let mut penalties = vec![PENALTY * self.weights.iter().sum::<f64>(); self.features.len()];
        penalties.push(0.0);
        let mut found = vec![0f64; columns.len()];
        let mut loss = self.loss(&columns, &penalties, &found);
        for _ in 0..STEPS {
            let step = self.newton_step(&columns, &penalties, &found);
            let shorter = (0..HALVINGS).map(|halvings| 0.5f64.powi(halvings)).find_map(|share| {
                let next: Vec<f64> = found.iter().zip(&step).map(|(a, b)| a + share * b).collect();
                let next_loss = self.loss(&columns, &penalties, &next);
                (next_loss < loss).then_some((next, next_loss))
            });
            // No step lowers the loss any more: this is the minimum, as far as numbers can tell.
            let Some(next) = shorter else { break };
            (found, loss) = next;
            if step.iter().all(|step| step.abs() < TOLERANCE) {
                break;
            }
        }
        found.truncate(self.features.len());
        found
    }

    /// Sum of losses and penalties.
    fn loss(&self, columns: &[&[f32]], penalties: &[f64], found: &[f64]) -> f64 {
        let margins = self.margins(columns, found);
        // log(1 + exp(-m)), which does not overflow.
        let loss = |m: f64| (-m.abs()).exp().ln_1p() + (-m).max(0.0);
        let losses = margins.iter().zip(&self.weights).map(|(&m, weight)| weight * loss(m));
        let penalties = penalties.iter().zip(found).map(|(penalty, x)| penalty * x * x / 2.0);
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

    /// The step to the minimum of the quadratic that touches the loss.
    fn newton_step(&self, columns: &[&[f32]], penalties: &[f64], found: &[f64]) -> Vec<f64> {
        let margins = self.margins(columns, found);
        let wrong: Vec<f64> = margins.iter().map(|margin| 1.0 / (1.0 + margin.exp())).collect();
        let observations = || self.weights.iter().zip(&wrong);
        let slopes = observations().zip(&self.classes).map(|((w, wrong), class)| w * wrong * class);
        let slopes: Vec<f64> = slopes.collect();
        let bends: Vec<f64> = observations().map(|(w, wrong)| w * wrong * (1.0 - wrong)).collect();
        let rows = (0..columns.len()).into_par_iter().map(|i| {
            let bent: Vec<f64> = product(columns[i], &bends).collect();
            let row = columns.iter().map(|column| product(column, &bent).sum());
            let mut row: Vec<f64> = row.collect();
            row[i] += penalties[i];
            let slope = product(columns[i], &slopes).sum::<f64>() - penalties[i] * found[i];
            (row, slope)
        });
        solve(&rows.collect::<Vec<_>>())
    }
}

/// Solves rows of a positive definite matrix and their right sides by Gauss and Seidel's sweeps.
fn solve(rows: &[(Vec<f64>, f64)]) -> Vec<f64> {
    let mut found = vec![0f64; rows.len()];
    for _ in 0..SWEEPS {
        let mut most = 0f64;
        for (index, (row, right)) in rows.iter().enumerate() {
            let left: f64 = row.iter().zip(&found).map(|(a, b)| a * b).sum();
            let change = (right - left) / row[index].max(1e-12);
            found[index] += change;
            most = most.max(change.abs());
        }
        if most < TOLERANCE / 1e3 {
            break;
        }
    }
    found
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

    /// Full steps of Newton's method raise the loss here. scikit-learn 1.9, `C=1 / (0.001 * 986.7)`, else as above.
    #[test]
    fn steps_that_go_too_far_are_halved() {
        let mut regression = Logistic::default();
        for (feature, class, weight) in [
            (16.4, false, 0.1),
            (11.2, true, 47.0),
            (-19.6, true, 8.8),
            (7.7, false, 0.2),
            (1.4, true, 14.9),
            (-23.6, false, 915.7),
        ] {
            regression.add([feature].into_iter(), class, weight);
        }
        let found = regression.fit();
        assert!((found[0] - 1.628039).abs() < 1e-3, "{found:?}");
    }

    /// Nearly separable classes with two features that are nearly one.
    #[test]
    fn steep_and_correlated_features_have_a_minimum_that_threads_do_not_move() {
        let mut regression = Logistic::default();
        for index in 0..400 {
            let x = (index as f32 - 200.0) / 4.0;
            let near = x + ((index * 7) % 5) as f32 / 100.0;
            let heavy = if index == 50 { 1e3 } else { 1.0 };
            regression.add([x, near].into_iter(), (index >= 200) != (index == 50), heavy);
        }
        let found = regression.fit();
        let columns: Vec<&[f32]> = regression.features.iter().map(Vec::as_slice).collect();
        let penalties = [PENALTY * regression.weights.iter().sum::<f64>(); 2];
        let loss = |intercept: f64, at: &[f64]| {
            let ones = vec![1f32; 400];
            let columns = [&columns[..], &[ones.as_slice()]].concat();
            let penalties = [&penalties[..], &[0.0]].concat();
            regression.loss(&columns, &penalties, &[at, &[intercept]].concat())
        };
        // The best intercept for given coefficients, by a fine search.
        let least = |at: &[f64]| {
            let tried = (-40_000..40_000).map(|step| loss(f64::from(step) / 1e4, at));
            tried.fold(f64::INFINITY, f64::min)
        };
        let best = least(&found);
        for moved in [[0.01, 0.0], [-0.01, 0.0], [0.0, 0.01], [0.0, -0.01]] {
            let at = [found[0] + moved[0], found[1] + moved[1]];
            assert!(least(&at) > best, "{found:?} {moved:?}");
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| regression.fit()), found);
    }
}
