//! Settings of implants.

use serde::{Deserialize, Serialize};

use crate::{ImplantError, Implanter, LesionKind, LesionStatistics, ShapeLibrary};

/// Settings of implants. All numbers are ours: there is no published set of this kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImplantConfig {
    /// Weights of the kinds of cases, ≥ 0, in the order of [`LesionKind::ALL`]; .3, .25, .25 and .2.
    pub weights: [f64; 4],
    /// Probability that a case with a stroke has a second one, 0 to 1; .2.
    pub second_stroke: f64,
    /// Least and greatest number of lesions of a case of multiple sclerosis, ≥ 1; 3 and 12.
    pub sclerosis_lesions: [usize; 2],
    /// Probability that left and right of a shape are exchanged, 0 to 1; .5.
    pub mirror: f64,
    /// Greatest rotation about each axis in degrees, ≥ 0; 8.
    pub rotation_degrees: f64,
    /// Least and greatest factor of size, > 0; .85 and 1.15.
    pub scale: [f64; 2],
    /// Greatest shift along each axis in millimetres, ≥ 0; 3.
    pub shift_mm: f64,
    /// Least share of a shape that is grey or white matter of the host (white, for multiple sclerosis), 0 to 1; .6.
    pub least_tissue: f64,
    /// Standard deviation of the logarithm of a factor on the darkness of each lesion, ≥ 0; .15.
    pub strength: f64,
    /// Most places that are tried for a lesion, ≥ 1; 60.
    pub attempts: usize,
}

impl Default for ImplantConfig {
    fn default() -> Self {
        Self {
            weights: [0.3, 0.25, 0.25, 0.2],
            second_stroke: 0.2,
            sclerosis_lesions: [3, 12],
            mirror: 0.5,
            rotation_degrees: 8.0,
            scale: [0.85, 1.15],
            shift_mm: 3.0,
            least_tissue: 0.6,
            strength: 0.15,
            attempts: 60,
        }
    }
}

impl ImplantConfig {
    /// Checks the settings, and that shapes and table have something for every kind of positive weight.
    ///
    /// # Errors
    /// [`ImplantError::Setting`], [`ImplantError::NoStatistics`], [`ImplantError::NoShapes`].
    pub fn build(
        self,
        statistics: LesionStatistics,
        shapes: ShapeLibrary,
    ) -> Result<Implanter, ImplantError> {
        self.check()?;
        Implanter::new(self, statistics, shapes)
    }

    fn check(&self) -> Result<(), ImplantError> {
        let probability = |value: f64| (0.0..=1.0).contains(&value);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        let ordered = |[least, most]: [f64; 2]| least <= most;
        let [fewest, most] = self.sclerosis_lesions;
        let weights = self.weights.into_iter();
        let checks = [
            (
                weights.clone().all(not_negative) && positive(weights.sum()),
                "weights",
                "0 or more, one of them above 0",
            ),
            (probability(self.second_stroke), "second_stroke", "0 to 1"),
            (1 <= fewest && fewest <= most, "sclerosis_lesions", "1 or more, the greater last"),
            (probability(self.mirror), "mirror", "0 to 1"),
            (not_negative(self.rotation_degrees), "rotation_degrees", "0 or more"),
            (
                self.scale.into_iter().all(positive) && ordered(self.scale),
                "scale",
                "above 0, the greater last",
            ),
            (not_negative(self.shift_mm), "shift_mm", "0 or more"),
            (probability(self.least_tissue), "least_tissue", "0 to 1"),
            (not_negative(self.strength), "strength", "0 or more"),
            (self.attempts >= 1, "attempts", "1 or more"),
        ];
        match checks.into_iter().find(|(right, ..)| !right) {
            Some((_, field, expected)) => Err(ImplantError::Setting { field, expected }),
            None => Ok(()),
        }
    }

    pub(crate) fn weight(&self, kind: LesionKind) -> f64 {
        let index = LesionKind::ALL.iter().position(|other| *other == kind);
        index.map_or(0.0, |index| self.weights[index])
    }
}
