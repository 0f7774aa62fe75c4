//! The levels of severity and the conditioning that the network takes for each.

use disyre_core::Severity;
use serde::{Deserialize, Serialize};

use crate::DiffusionError;

/// The published schedule of severities; [`build`](ScheduleConfig::build) checks it.
///
/// # Source
/// DISYRE (arXiv 2311.15453) and DISYRE v2 (arXiv 2407.06635); the numbers are those of the published code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Number of levels; at least 2. Published: 100.
    pub levels: usize,
    /// First beta, in (0, 1). Published: 0.001.
    pub beta_start: f32,
    /// Last beta, in (0, 1), not below the first. Published: 0.2.
    pub beta_end: f32,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { levels: 100, beta_start: 1e-3, beta_end: 0.2 }
    }
}

impl ScheduleConfig {
    /// Computes the levels.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] naming the field that is out of its range.
    pub fn build(&self) -> Result<Schedule, DiffusionError> {
        let Self { levels, beta_start, beta_end } = *self;
        if !(2..=10_000).contains(&levels) {
            return Err(DiffusionError::config("schedule.levels", "2 to 10000", levels));
        }
        if !(beta_start > 0.0 && beta_start < 1.0) {
            return Err(DiffusionError::config(
                "schedule.beta_start",
                "between 0 and 1",
                beta_start,
            ));
        }
        if !(beta_end >= beta_start && beta_end < 1.0) {
            let expected = "between schedule.beta_start and 1";
            return Err(DiffusionError::config("schedule.beta_end", expected, beta_end));
        }
        let alphas = cumulative_alphas(&linspace(beta_start, beta_end, levels));
        Ok(Schedule { alphas })
    }
}

/// The levels of severity that the network can be conditioned on, and the one place where severity becomes conditioning.
///
/// Level i stands for severity `a_i = sqrt(prod_{j<=i} (1 - beta_j))`, so the first level is the worst corruption and
/// the last one none. Level numbers stay inside this crate.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    alphas: Vec<f32>,
}

/// How the published multi-step sampler and ours differ in what they tell the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditioningOrder {
    /// The network is told the severity itself, as in training.
    #[default]
    Severity,
    /// The network is told the mirrored level: mild where the severity is high. Only for parity with the published
    /// code, whose multi-step sampler indexes the schedule in the reverse of training.
    Published,
}

/// The severity of each item of a batch, as the network takes it: made by [`Schedule::conditioning`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditioning {
    levels: Vec<u32>,
}

impl Conditioning {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    pub(crate) fn levels(&self) -> &[u32] {
        &self.levels
    }

    /// Every entry `times` times in a row: the slices of an item share its severity.
    pub(crate) fn repeated(&self, times: usize) -> Self {
        let levels =
            self.levels.iter().flat_map(|&level| std::iter::repeat_n(level, times)).collect();
        Self { levels }
    }

    /// `count` entries: these, and the last one again and again.
    pub(crate) fn padded(&self, count: usize) -> Self {
        let last = self.levels.last().copied().unwrap_or_default();
        let mut levels = self.levels.clone();
        levels.resize(count.max(self.len()), last);
        Self { levels }
    }

    #[cfg(test)]
    pub(crate) fn from_levels(levels: Vec<u32>) -> Self {
        Self { levels }
    }
}

impl Schedule {
    /// The conditioning of a batch: for each item the level whose severity is closest, the worse one of two equally close.
    ///
    /// Training, single-step ensembles and multi-step restoration all go through this function.
    pub fn conditioning(&self, severities: &[Severity]) -> Conditioning {
        self.conditioning_in(ConditioningOrder::Severity, severities)
    }

    /// The same in a given order; see [`ConditioningOrder`].
    pub fn conditioning_in(
        &self,
        order: ConditioningOrder,
        severities: &[Severity],
    ) -> Conditioning {
        let mirror = self.alphas.len() - 1;
        let level = |&severity: &Severity| match order {
            ConditioningOrder::Severity => self.level(severity) as u32,
            ConditioningOrder::Published => (mirror - self.level(severity)) as u32,
        };
        Conditioning { levels: severities.iter().map(level).collect() }
    }

    /// The severities of an ensemble of n, mildest first: published "trailing" spacing, n = 4 gives .005, .05, .27, .73.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] unless `1 <= n <=` number of levels.
    ///
    /// # Source
    /// The published code's ensemble; which severities serve best is an open question, so they are a parameter elsewhere.
    pub fn severities(&self, n: usize) -> Result<Vec<Severity>, DiffusionError> {
        Ok(self.trailing(n)?.into_iter().map(|level| self.severity(level)).collect())
    }

    /// The mirrored severities, worst first, that a multi-step restoration of n steps passes through, and after each
    /// the one it arrives at (none: clean).
    pub(crate) fn descent(
        &self,
        n: usize,
    ) -> Result<Vec<(Severity, Option<Severity>)>, DiffusionError> {
        let last = self.alphas.len() - 1;
        let stride = self.alphas.len() / n.max(1);
        let mirrored = |level: usize| self.severity(last - level);
        let step = |level: usize| {
            let next = level.checked_sub(stride).filter(|&next| next > 0);
            (mirrored(level), next.map(mirrored))
        };
        Ok(self.trailing(n)?.into_iter().map(step).collect())
    }

    fn trailing(&self, n: usize) -> Result<Vec<usize>, DiffusionError> {
        let levels = self.alphas.len();
        if !(1..=levels).contains(&n) {
            return Err(DiffusionError::config("severities", format!("1 to {levels}"), n));
        }
        let spacing = levels as f64 / n as f64;
        let level = |k: usize| (levels as f64 - k as f64 * spacing).round_ties_even() as usize - 1;
        Ok((0..n).map(level).collect())
    }

    fn severity(&self, level: usize) -> Severity {
        Severity::new(self.alphas[level]).unwrap_or(Severity::FULL)
    }

    fn level(&self, severity: Severity) -> usize {
        let distance = |level: usize| (self.alphas[level] - severity.get()).abs();
        (0..self.alphas.len())
            .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
            .unwrap_or_default()
    }
}

/// Equally spaced values, both ends included, counted from the nearer end: as PyTorch rounds them.
fn linspace(start: f32, end: f32, n: usize) -> Vec<f32> {
    let step = (end - start) / (n - 1) as f32;
    let value = |i: usize| {
        if i < n / 2 { step.mul_add(i as f32, start) } else { end - step * (n - 1 - i) as f32 }
    };
    (0..n).map(value).collect()
}

fn cumulative_alphas(betas: &[f32]) -> Vec<f32> {
    let mut product = 1.0f64;
    let mut alpha = |&beta: &f32| {
        product *= f64::from(1.0 - beta);
        (product as f32).sqrt()
    };
    betas.iter().map(&mut alpha).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, assert_close};
    use proptest::prelude::*;

    fn published() -> Schedule {
        ScheduleConfig::default().build().unwrap()
    }

    #[test]
    fn the_first_level_is_the_worst_and_the_last_is_none() {
        let schedule = published();
        assert_eq!(schedule.conditioning(&[Severity::FULL, Severity::CLEAN]).levels(), [0, 99]);
        assert!(schedule.alphas.windows(2).all(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn the_published_order_mirrors_the_level() {
        let order = ConditioningOrder::Published;
        let mirrored = published().conditioning_in(order, &[Severity::FULL, Severity::CLEAN]);
        assert_eq!(mirrored.levels(), [99, 0]);
    }

    #[test]
    fn four_published_severities_are_mild_to_severe() {
        let severities = published().severities(4).unwrap();
        let rounded: Vec<f32> =
            severities.iter().map(|s| (s.get() * 1000.0).round() / 1000.0).collect();
        assert_eq!(rounded, [0.005, 0.051, 0.272, 0.727]);
    }

    #[test]
    fn a_descent_ends_at_the_clean_image() {
        for n in [1, 4, 5, 7, 100] {
            let descent = published().descent(n).unwrap();
            assert_eq!(descent.len(), n);
            assert!(descent.last().unwrap().1.is_none());
            assert!(descent.windows(2).all(|pair| pair[0].0 > pair[1].0));
        }
    }

    #[test]
    fn settings_out_of_range_name_their_field() {
        let config = ScheduleConfig { beta_end: 0.0, ..ScheduleConfig::default() };
        assert!(config.build().unwrap_err().to_string().starts_with("schedule.beta_end is 0.0"));
        assert!(published().severities(0).is_err());
        assert!(published().severities(101).is_err());
    }

    #[test]
    fn levels_equal_those_of_the_published_code() {
        let golden = Golden::load("schedule.safetensors");
        let schedule = published();
        let (_, expected) = golden.floats("sqrt_alphas_cumprod");
        assert_close("severities of the levels", &schedule.alphas, &expected, 1e-5);
        let severities: Vec<Severity> =
            golden.floats("alpha_in").1.into_iter().map(|a| Severity::new(a).unwrap()).collect();
        let levels = schedule.conditioning(&severities);
        let levels: Vec<i64> = levels.levels().iter().map(|&level| i64::from(level)).collect();
        assert_eq!(levels, golden.integers("alpha_to_t"));
    }

    #[test]
    fn ensembles_have_the_published_steps() {
        let golden = Golden::load("schedule.safetensors");
        let schedule = published();
        for n in [1, 2, 3, 4, 5, 7, 8, 10, 20, 25, 50, 100] {
            let conditioning = schedule.conditioning(&schedule.severities(n).unwrap());
            let levels: Vec<i64> =
                conditioning.levels().iter().map(|&level| i64::from(level)).collect();
            assert_eq!(levels, golden.integers(&format!("timesteps_{n}")), "n = {n}");
        }
    }

    proptest! {
        #[test]
        fn the_level_of_a_levels_severity_is_itself(level in 0usize..100) {
            let schedule = published();
            prop_assert_eq!(schedule.level(schedule.severity(level)), level);
        }

        #[test]
        fn a_greater_severity_never_has_a_milder_level(a in 0.0f32..=1.0, b in 0.0f32..=1.0) {
            let schedule = published();
            let level = |value: f32| schedule.level(Severity::new(value).unwrap());
            prop_assert!(level(a.max(b)) <= level(a.min(b)));
        }
    }
}
