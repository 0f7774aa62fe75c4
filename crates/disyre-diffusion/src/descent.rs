//! Restoration in several steps from severe to clean, for parity with the published sampler.

use disyre_core::ndarray::{Array5, ArrayView5, ArrayViewMut5, Zip};
use disyre_core::{Severity, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::{ColdRestorer, ConditioningOrder, DiffusionError};

/// How a step of a multi-step restoration reaches the next, milder severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DescentRule {
    /// Scales what is left of the corruption: `clip(x0 + (a'/a)(x − x0))`.
    ///
    /// # Source
    /// Cold Diffusion (arXiv 2208.09392), algorithm 2, for the corruption `(1 − a) x0 + a xT`.
    #[default]
    Scaled,
    /// Mixes restoration and input anew: `(1 − a') x0 + a' x`. The published code's alternative.
    Naive,
}

/// A restoration in several steps from severe to clean.
///
/// # Source
/// The published code's "multi-step-restoration", made for pictures; its scores are not those of the evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DescentConfig {
    /// Number of steps, at most the levels of the schedule. Published: 5.
    pub steps: usize,
    /// Order of the severities that the network is given. Published: the mirrored order, see [`ConditioningOrder`]; ours: the severity.
    pub order: ConditioningOrder,
    /// How each step goes on.
    pub rule: DescentRule,
}

impl Default for DescentConfig {
    fn default() -> Self {
        Self { steps: 5, order: ConditioningOrder::Severity, rule: DescentRule::Scaled }
    }
}

impl ColdRestorer {
    /// Restores step by step, each time from the result of the step before, down to clean.
    ///
    /// # Shapes and units
    /// `batch`, `restored` and `change` are `(n, c, z, y, x)`. `restored` is in `[0, 1]`; `change` is the mean over
    /// the steps of |image − its restoration|.
    ///
    /// # Errors
    /// [`DiffusionError`] if shapes do not fit, the number of steps is out of range, or the network fails.
    pub fn restore_in_steps(
        &self,
        batch: ArrayView5<'_, f32>,
        config: &DescentConfig,
        mut restored: ArrayViewMut5<'_, f32>,
        mut change: ArrayViewMut5<'_, f32>,
    ) -> Result<(), DiffusionError> {
        ensure_same_shape("restored batch", batch.shape(), restored.shape())?;
        ensure_same_shape("change", batch.shape(), change.shape())?;
        let steps = self.schedule().descent(config.steps)?;
        let mut healthy = Array5::zeros(batch.dim());
        restored.assign(&batch);
        change.fill(0.0);
        let weight = 1.0 / config.steps as f32;
        for (severity, next) in steps {
            let severities = vec![severity; batch.dim().0];
            let conditioning = self.schedule().conditioning_in(config.order, &severities);
            self.restore_conditioned(&restored.view(), &conditioning, healthy.view_mut())?;
            let rule = config.rule.with(severity.get(), next.map(Severity::get));
            Zip::from(&mut restored).and(&mut change).and(&healthy).for_each(|x, change, &x0| {
                *change += weight * (*x - x0).abs();
                *x = rule(*x, x0);
            });
        }
        Ok(())
    }
}

impl DescentRule {
    /// The step from severity `a` to `next`, or to clean, as a function of image and restoration.
    fn with(self, a: f32, next: Option<f32>) -> impl Fn(f32, f32) -> f32 {
        move |x, x0| match (self, next) {
            (_, None) => x0.clamp(0.0, 1.0),
            (Self::Scaled, Some(next)) => (x0 + next / a * (x - x0)).clamp(0.0, 1.0),
            (Self::Naive, Some(next)) => (1.0 - next) * x0 + next * x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleConfig;
    use crate::golden::{Golden, assert_close};

    #[test]
    fn half_the_severity_leaves_half_of_the_difference() {
        let rule = DescentRule::Scaled.with(0.8, Some(0.4));
        assert_eq!(rule(0.75, 0.25), 0.5);
        assert_eq!(rule(4.0, 0.5), 1.0);
        assert_eq!(DescentRule::Scaled.with(0.8, None)(0.75, -0.25), 0.0);
    }

    #[test]
    fn steps_equal_those_of_the_published_sampler() {
        let golden = Golden::load("cold_step.safetensors");
        let [(_, image), (_, healthy)] = ["x_t", "x0_hat"].map(|name| golden.floats(name));
        let descent = ScheduleConfig::default().build().unwrap().descent(5).unwrap();
        for (t, (severity, next)) in golden.integers("timesteps").into_iter().zip(descent) {
            for (name, rule) in [("prev", DescentRule::Scaled), ("prev_naive", DescentRule::Naive)]
            {
                let rule = rule.with(severity.get(), next.map(Severity::get));
                let got: Vec<f32> =
                    image.iter().zip(&healthy).map(|(&x, &x0)| rule(x, x0)).collect();
                let name = format!("{name}_t{t}");
                assert_close(&name, &got, &golden.floats(&name).1, 1e-5);
            }
            let change: Vec<f32> =
                image.iter().zip(&healthy).map(|(&x, &x0)| (x - x0).abs()).collect();
            let name = format!("score_t{t}");
            assert_close(&name, &change, &golden.floats(&name).1, 1e-5);
        }
    }
}
