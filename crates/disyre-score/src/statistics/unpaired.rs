//! Comparison of two groups of different subjects.

use disyre_core::Key;
use serde::{Deserialize, Serialize};

use super::ranks::DoubledRanks;
use super::{Bootstrap, Interval, ensure_values, normal};
use crate::ScoreError;

/// Up to this many subjects of both groups together the distribution is exact.
const EXACT_UP_TO: usize = 60;

/// Hypothesis that a test sets against "the groups do not differ".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// a differs from b.
    #[default]
    TwoSided,
    /// a tends to be greater than b.
    Greater,
    /// a tends to be less than b.
    Less,
}

/// How group a differs from group b.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnpairedComparison {
    /// Probability that a subject of a is greater than one of b, ties counting half: ½ where the groups do not differ.
    pub superiority: Interval,
    /// p-value, see [`mann_whitney`].
    pub p: f64,
    /// Hypothesis that `p` belongs to.
    pub alternative: Alternative,
    /// Subjects of a.
    pub subjects_a: usize,
    /// Subjects of b.
    pub subjects_b: usize,
}

/// Compares two groups of subjects, such as the healthy scans of two scanners, by one value for each.
///
/// # Errors
/// [`ScoreError::Shape`] if a group is empty or a value is not finite.
///
/// # Source
/// Ours: [`mann_whitney`], and a bootstrap over the subjects of each group ([`Bootstrap::interval_in_groups`]).
///
/// ```
/// use disyre_score::{Bootstrap, Key, statistics::{Alternative, compare_unpaired}};
/// let (new_scanner, old_scanner) = ([0.31, 0.22, 0.45, 0.38], [0.21, 0.18, 0.33, 0.25]);
/// let found = compare_unpaired(
///     Key::new(0), &new_scanner, &old_scanner, Alternative::Greater, &Bootstrap::default(),
/// )?;
/// assert_eq!(found.superiority.value, 13.0 / 16.0);
/// assert!((found.p - 7.0 / 70.0).abs() < 1e-12); // of C(8, 4) divisions into groups
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn compare_unpaired(
    key: Key,
    a: &[f64],
    b: &[f64],
    alternative: Alternative,
    bootstrap: &Bootstrap,
) -> Result<UnpairedComparison, ScoreError> {
    let p = mann_whitney(a, b, alternative)?;
    let values = [a, b].concat();
    let groups = [vec![0; a.len()], vec![1; b.len()]].concat();
    let superiority = bootstrap.interval_in_groups(key, &groups, |drawn| {
        let drawn_values: Vec<f64> = drawn.iter().map(|&subject| values[subject]).collect();
        // Drawn subjects are in the order of the groups; without one, the groups are smaller.
        let of_a = drawn.partition_point(|&subject| subject < a.len());
        let (a, b) = drawn_values.split_at(of_a);
        Some(Groups::new(a, b).wins() / (a.len() * b.len()) as f64)
    })?;
    Ok(UnpairedComparison { superiority, p, alternative, subjects_a: a.len(), subjects_b: b.len() })
}

/// p-value of the test of Mann and Whitney that values of a and of b have the same distribution.
///
/// With up to 60 values the distribution is that of all divisions into groups, also with ties; with more it is normal,
/// with its variance corrected for ties and a correction for continuity. 1 where all values are equal.
///
/// # Errors
/// [`ScoreError::Shape`] if a group is empty or a value is not finite.
///
/// # Source
/// Mann and Whitney (1947); SciPy's `mannwhitneyu`.
pub fn mann_whitney(a: &[f64], b: &[f64], alternative: Alternative) -> Result<f64, ScoreError> {
    ensure_values("a", a)?;
    ensure_values("b", b)?;
    let groups = Groups::new(a, b);
    let [at_most, at_least] =
        if a.len() + b.len() <= EXACT_UP_TO { groups.exact_tails() } else { groups.normal_tails() };
    Ok(match alternative {
        Alternative::TwoSided => (2.0 * at_most.min(at_least)).min(1.0),
        Alternative::Greater => at_least,
        Alternative::Less => at_most,
    })
}

/// Two groups by the ranks of their values among all.
struct Groups {
    all: DoubledRanks,
    // Sum of the doubled ranks of a.
    sum: usize,
    sizes: [usize; 2],
}

impl Groups {
    fn new(a: &[f64], b: &[f64]) -> Self {
        let all = DoubledRanks::new(&[a, b].concat());
        let sum = all.ranks[..a.len()].iter().sum();
        Self { all, sum, sizes: [a.len(), b.len()] }
    }

    /// Pairs in which a is greater, ties counting half: Mann and Whitney's U.
    fn wins(&self) -> f64 {
        let [a, _] = self.sizes;
        self.sum as f64 / 2.0 - (a * (a + 1)) as f64 / 2.0
    }

    /// Share of the divisions into groups whose sum of ranks is at most, and at least, the one seen.
    fn exact_tails(&self) -> [f64; 2] {
        let sums = self.sums_of_divisions();
        let all: f64 = sums.iter().sum();
        let share = |part: &[f64]| part.iter().sum::<f64>() / all;
        [share(&sums[..=self.sum]), share(&sums[self.sum..])]
    }

    /// Number of divisions with each sum of doubled ranks.
    fn sums_of_divisions(&self) -> Vec<f64> {
        let total = self.all.ranks.iter().sum::<usize>();
        let mut counts = vec![vec![0.0; total + 1]; self.sizes[0] + 1];
        counts[0][0] = 1.0;
        for &rank in &self.all.ranks {
            for size in (1..counts.len()).rev() {
                let (fewer, these) = counts.split_at_mut(size);
                for sum in rank..=total {
                    these[0][sum] += fewer[size - 1][sum - rank];
                }
            }
        }
        counts.pop().unwrap_or_default()
    }

    fn normal_tails(&self) -> [f64; 2] {
        let [a, b] = self.sizes.map(|size| size as f64);
        let n = a + b;
        let variance = a * b / 12.0 * (n + 1.0 - self.all.ties / (n * (n - 1.0)));
        if variance == 0.0 {
            return [1.0; 2];
        }
        let above = self.wins() - a * b / 2.0;
        [normal::cdf((above + 0.5) / variance.sqrt()), normal::cdf((0.5 - above) / variance.sqrt())]
    }
}
