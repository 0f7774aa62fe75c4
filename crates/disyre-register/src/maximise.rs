//! Maximisation of a smooth function of a few variables.

/// Bounds of one maximisation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Greatest length of a step.
    pub(crate) longest_step: f64,
    /// A step shorter than this ends the search.
    pub(crate) shortest_step: f64,
    /// Greatest number of steps.
    pub(crate) steps: usize,
}

/// Value and gradient at a point.
#[derive(Debug, Clone)]
pub(crate) struct Evaluation {
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
}

/// The best point found and its value.
#[derive(Debug, Clone)]
pub(crate) struct Maximum {
    pub(crate) point: Vec<f64>,
    pub(crate) value: f64,
}

/// Climbs from the origin.
///
/// # Source
/// BFGS with Armijo's condition and halved steps (Nocedal & Wright, Numerical Optimization, 2006, ch. 3 and 6); ours: a
/// bound on the length of a step.
pub(crate) fn maximise(
    variables: usize,
    limits: Limits,
    mut function: impl FnMut(&[f64]) -> Evaluation,
) -> Maximum {
    let mut point = vec![0.0; variables];
    let mut here = function(&point);
    let mut curvature = Curvature::flat(variables);
    for _ in 0..limits.steps {
        let mut step = curvature.direction(&here.gradient);
        if dot(&step, &here.gradient) <= 0.0 {
            curvature = Curvature::flat(variables);
            step.clone_from(&here.gradient);
        }
        let length = norm(&step);
        if length == 0.0 || !length.is_finite() {
            break;
        }
        // Without curvature the gradient says where to go, not how far.
        let known = curvature.is_known();
        let longest = if known { limits.longest_step.min(length) } else { limits.longest_step };
        scale(&mut step, longest / length);
        let Some((next, there)) = line_search(&point, &step, &here, limits, &mut function) else {
            if !known {
                break;
            }
            curvature = Curvature::flat(variables);
            continue;
        };
        let taken: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        // Of the negated function, whose minimum BFGS looks for.
        let change: Vec<f64> =
            here.gradient.iter().zip(&there.gradient).map(|(a, b)| a - b).collect();
        curvature.update(&taken, &change);
        (point, here) = (next, there);
        if norm(&taken) < limits.shortest_step {
            break;
        }
    }
    Maximum { point, value: here.value }
}

/// The first point along a step, halved again and again, that is higher by enough.
fn line_search(
    point: &[f64],
    step: &[f64],
    here: &Evaluation,
    limits: Limits,
    function: &mut impl FnMut(&[f64]) -> Evaluation,
) -> Option<(Vec<f64>, Evaluation)> {
    /// Share of the slope's promise that must be kept; the usual constant.
    const ARMIJO: f64 = 1e-4;
    let slope = dot(step, &here.gradient);
    let mut share = 1.0;
    while share * norm(step) >= limits.shortest_step {
        let next: Vec<f64> = point.iter().zip(step).map(|(p, s)| p + share * s).collect();
        let there = function(&next);
        if there.value > here.value + ARMIJO * share * slope {
            return Some((next, there));
        }
        share *= 0.5;
    }
    None
}

/// Inverse Hessian of the negated function, as far as the steps have shown it.
struct Curvature {
    inverse: Vec<Vec<f64>>,
    known: bool,
}

impl Curvature {
    fn flat(variables: usize) -> Self {
        let row = |r: usize| (0..variables).map(|c| f64::from(u8::from(r == c))).collect();
        Self { inverse: (0..variables).map(row).collect(), known: false }
    }

    fn is_known(&self) -> bool {
        self.known
    }

    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        self.inverse.iter().map(|row| dot(row, gradient)).collect()
    }

    fn update(&mut self, step: &[f64], change: &[f64]) {
        let curvature = dot(step, change);
        if curvature <= 1e-10 * norm(step) * norm(change) {
            return;
        }
        if !self.known {
            let size = curvature / dot(change, change);
            self.inverse.iter_mut().for_each(|row| scale(row, size));
            self.known = true;
        }
        // H ← (I − s·yᵀ/sᵀy) H (I − y·sᵀ/sᵀy) + s·sᵀ/sᵀy.
        let bent = self.direction(change);
        let extra = 1.0 + dot(change, &bent) / curvature;
        for (row, values) in self.inverse.iter_mut().enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                let cross = bent[row] * step[column] + step[row] * bent[column];
                *value += (extra * step[row] * step[column] - cross) / curvature;
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn scale(a: &mut [f64], by: f64) {
    a.iter_mut().for_each(|value| *value *= by);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_curved_ridge_is_found() {
        // Rosenbrock's valley, turned over: its top is at (1, 1).
        let mut evaluations = 0;
        let limits = Limits { longest_step: 1.0, shortest_step: 1e-9, steps: 200 };
        let top = maximise(2, limits, |p| {
            evaluations += 1;
            let (a, b) = (1.0 - p[0], p[1] - p[0] * p[0]);
            let gradient = vec![2.0 * a + 400.0 * b * p[0], -200.0 * b];
            Evaluation { value: -a * a - 100.0 * b * b, gradient }
        });
        assert!((top.point[0] - 1.0).abs() < 1e-6 && (top.point[1] - 1.0).abs() < 1e-6);
        assert!(evaluations < 100, "{evaluations} evaluations");
    }

    #[test]
    fn no_step_is_longer_than_allowed() {
        let limits = Limits { longest_step: 0.5, shortest_step: 1e-6, steps: 3 };
        let top = maximise(1, limits, |p| Evaluation { value: p[0], gradient: vec![1.0] });
        assert!(top.point[0] <= 1.5);
    }
}
