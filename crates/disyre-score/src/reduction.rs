//! Reduction of many scores to one: of a slice or of a whole scan.

use serde::{Deserialize, Serialize};

/// Reduction of the scores of a slice or of a scan to one number.
///
/// ```
/// use disyre_score::Reduction;
/// let scores = vec![4.0, 0.0, 1.0, 3.0];
/// assert_eq!(Reduction::Mean.reduce(scores.clone()), Some(2.0));
/// assert_eq!(Reduction::Top(2).reduce(scores), Some(3.5));
/// assert_eq!(Reduction::Max.reduce(vec![]), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reduction {
    /// The mean of all scores.
    Mean,
    /// The greatest score.
    Max,
    /// The mean of this many greatest scores (published for slices: 100), or of all where there are fewer.
    Top(usize),
}

impl Reduction {
    /// The number that stands for all scores, in their unit; none if there is no score. Changes their order.
    pub fn reduce(self, mut scores: Vec<f32>) -> Option<f32> {
        let count = match self {
            Self::Mean => scores.len(),
            Self::Max => 1,
            Self::Top(count) => count.max(1),
        };
        let count = count.min(scores.len());
        if count == 0 {
            return None;
        }
        if count < scores.len() {
            scores.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        }
        let sum: f64 = scores[..count].iter().copied().map(f64::from).sum();
        Some((sum / count as f64) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_reduced_by_mean_max_and_top() {
        let run = |reduction: Reduction| reduction.reduce(vec![4.0, 0.0, 1.0, 3.0]);
        assert_eq!(run(Reduction::Mean), Some(2.0));
        assert_eq!(run(Reduction::Max), Some(4.0));
        assert_eq!(run(Reduction::Top(2)), Some(3.5));
        assert_eq!(run(Reduction::Top(100)), Some(2.0));
        assert_eq!(run(Reduction::Top(0)), run(Reduction::Max));
        assert_eq!(Reduction::Mean.reduce(Vec::new()), None);
    }
}
