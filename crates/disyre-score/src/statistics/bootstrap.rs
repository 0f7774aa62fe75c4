//! Bootstrap over subjects.

use std::collections::BTreeMap;

use disyre_core::rand::RngExt;
use disyre_core::{Key, ShapeError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Interval, Replicates, ensure_values};
use crate::ScoreError;

/// Greatest share of replicates in which a statistic may be undefined, such as AUROC without a healthy scan.
///
/// # Source
/// Ours: the interval describes draws in which the statistic exists, so these must be nearly all.
const GREATEST_UNDEFINED_SHARE: f64 = 0.1;

/// Settings of a [`Bootstrap`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapConfig {
    /// Number of resampled sets of subjects, at least 100.
    pub replicates: usize,
    /// Share of experiments whose interval covers the true value, in `(0, 1)`.
    pub level: f64,
}

/// 2000 replicates, 95 %.
///
/// # Source
/// Efron and Tibshirani (1993), section 14.3: BCa needs 1000 replicates and more.
impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { replicates: 2000, level: 0.95 }
    }
}

impl BootstrapConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`ScoreError::Bootstrap`] for fewer than 100 replicates or a level outside `(0, 1)`.
    pub fn build(self) -> Result<Bootstrap, ScoreError> {
        let Self { replicates, level } = self;
        if replicates < 100 || !(level > 0.0 && level < 1.0) {
            return Err(ScoreError::Bootstrap { replicates, level });
        }
        Ok(Bootstrap { config: self })
    }
}

/// Confidence intervals of any statistic by drawing the subjects again, with replacement.
///
/// Replicate i depends on the key and i alone: the same bits for any number of threads.
///
/// ```
/// use disyre_score::{Bootstrap, Key};
/// let ap = [0.21, 0.35, 0.08, 0.44, 0.29, 0.17, 0.52, 0.31]; // one value a case
/// let mean = Bootstrap::default().mean(Key::new(0), &ap)?;
/// assert_eq!(mean.to_string(), "0.296 [0.206, 0.388]");
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bootstrap {
    config: BootstrapConfig,
}

impl Bootstrap {
    /// The interval of a statistic: BCa, or percentiles where BCa is undefined. An [`Interval`] does not say which of
    /// the two it is, nor its level: [`Replicates::method`] says the former, the configuration the latter.
    ///
    /// `statistic` gets the indices of the drawn subjects, `subjects` of them below `subjects`, repeats included; it
    /// returns `None` where it is undefined. It is called once with all subjects, once for each replicate, and once
    /// without each subject, on several threads.
    ///
    /// The interval of a single subject, or of a statistic that never varies, has length 0: it then says nothing about
    /// other subjects. Print the number of subjects beside an interval.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] without a subject; [`ScoreError::UndefinedStatistic`] if the statistic is undefined over
    /// all subjects or in more than a tenth of the replicates. What is undefined in fewer is left out.
    pub fn interval(
        &self,
        key: Key,
        subjects: usize,
        statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
    ) -> Result<Interval, ScoreError> {
        self.interval_in_groups(key, &vec![0; subjects], statistic)
    }

    /// The interval of a statistic of groups whose sizes are given, such as AUROC of so many scans of each kind: each
    /// subject is drawn from its own group (a stratified bootstrap), so that no draw lacks a group.
    ///
    /// `groups` holds the number of the group of each subject. Drawn subject i is of the group of subject i; otherwise
    /// as [`interval`](Self::interval). A group of one subject does not vary, and the interval is one of percentiles.
    ///
    /// # Errors
    /// Those of [`interval`](Self::interval).
    ///
    /// # Source
    /// Efron and Tibshirani (1993), section 8.3 (two samples); the acceleration weighs groups as SciPy's
    /// `bootstrap(method="BCa")` of several samples does.
    pub fn interval_in_groups(
        &self,
        key: Key,
        groups: &[usize],
        statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
    ) -> Result<Interval, ScoreError> {
        self.replicates_in_groups(key, groups, statistic)?.interval(self.config.level)
    }

    /// The interval of the mean of one value for each subject.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if there is no value or one is not finite.
    pub fn mean(&self, key: Key, values: &[f64]) -> Result<Interval, ScoreError> {
        ensure_values("values", values)?;
        self.interval(key, values.len(), |drawn| {
            Some(drawn.iter().map(|&subject| values[subject]).sum::<f64>() / drawn.len() as f64)
        })
    }

    /// The distribution behind [`interval`](Self::interval).
    ///
    /// # Errors
    /// Those of [`interval`](Self::interval).
    pub fn replicates(
        &self,
        key: Key,
        subjects: usize,
        statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
    ) -> Result<Replicates, ScoreError> {
        self.replicates_in_groups(key, &vec![0; subjects], statistic)
    }

    fn replicates_in_groups(
        &self,
        key: Key,
        groups: &[usize],
        statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
    ) -> Result<Replicates, ScoreError> {
        if groups.is_empty() {
            return Err(ShapeError::Empty { array: "subjects" }.into());
        }
        let groups = Groups::new(groups);
        let statistic = |drawn: &[usize]| statistic(drawn).filter(|value| value.is_finite());
        let undefined = |undefined, of| ScoreError::UndefinedStatistic { undefined, of };
        let all: Vec<usize> = (0..groups.of.len()).collect();
        let value = statistic(&all).ok_or(undefined(1, 1))?;
        let count = self.config.replicates;
        let draws = (0..count).into_par_iter().map(|index| groups.draw(key.child(index)));
        let replicates: Vec<f64> = draws.filter_map(|drawn| statistic(&drawn)).collect();
        let missing = count - replicates.len();
        if missing as f64 > GREATEST_UNDEFINED_SHARE * count as f64 {
            return Err(undefined(missing, count));
        }
        Replicates::new(value, replicates, groups.jackknife(value, statistic))
    }
}

/// Subjects by their groups.
struct Groups<'a> {
    /// Group of each subject.
    of: &'a [usize],
    /// Subjects of each group, ascending.
    members: BTreeMap<usize, Vec<usize>>,
}

impl<'a> Groups<'a> {
    fn new(of: &'a [usize]) -> Self {
        let mut members = BTreeMap::<_, Vec<_>>::new();
        for (subject, &group) in of.iter().enumerate() {
            members.entry(group).or_default().push(subject);
        }
        Self { of, members }
    }

    /// As many subjects as there are, each drawn from its group.
    fn draw(&self, key: Key) -> Vec<usize> {
        let mut rng = key.rng();
        let draw = |group| {
            let members = &self.members[group];
            members[rng.random_range(0..members.len())]
        };
        self.of.iter().map(draw).collect()
    }

    /// The statistic without each subject, its deviation from the mean of its group of `n` times `(n − 1) / n`: this
    /// makes one sample of the groups, from which the acceleration follows.
    fn jackknife(
        &self,
        value: f64,
        statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
    ) -> Option<Vec<f64>> {
        let without = (0..self.of.len()).into_par_iter().map(|left_out| {
            // A group of one is not left out, nor can the statistic be asked about no subject.
            let alone = self.members[&self.of[left_out]].len() == 1;
            let others = (0..self.of.len()).filter(|&one| one != left_out);
            if alone { None } else { statistic(&others.collect::<Vec<_>>()) }
        });
        let mut without = without.collect::<Option<Vec<f64>>>()?;
        for members in self.members.values() {
            let size = members.len() as f64;
            let mean = members.iter().map(|&subject| without[subject]).sum::<f64>() / size;
            for &subject in members {
                without[subject] = value + (size - 1.0) / size * (without[subject] - mean);
            }
        }
        Some(without)
    }
}
