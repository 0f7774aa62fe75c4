//! Detection of whole scans: is there a lesion at all?

use disyre_core::{Key, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::{Bootstrap, Interval, RankedScores, ScoreError};

/// How well one score for each scan tells scans with a lesion from healthy ones.
///
/// ```
/// use disyre_score::{Bootstrap, ImageLevel, Key, Reduction};
/// let scans = [vec![0.1, 0.2, 0.1], vec![0.1, 0.9, 0.1], vec![0.2, 0.1, 0.3], vec![0.1, 0.1, 0.8]];
/// let scans = [&scans[..], &scans[..]].concat(); // the scores in the brain of each
/// let lesion = [0, 1, 0, 1, 0, 1, 0, 1];
/// let of = |how: Reduction| -> Vec<f32> { scans.iter().filter_map(|scan| how.reduce(scan.clone())).collect() };
/// let found = ImageLevel::new(Key::new(0), &of(Reduction::Max), &lesion, &Bootstrap::default())?;
/// assert_eq!((found.auroc.value, found.average_precision.value), (1.0, 1.0));
/// assert_eq!((found.scans, found.with_lesion), (8, 4));
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageLevel {
    /// Area under the ROC curve over scans.
    pub auroc: Interval,
    /// Average precision over scans.
    pub average_precision: Interval,
    /// Number of scans.
    pub scans: usize,
    /// Scans with a lesion; their share is the average precision of a random score.
    pub with_lesion: usize,
}

impl ImageLevel {
    /// Measures scans by one score each, such as a [`Reduction`](crate::Reduction) of the scores in the brain; the
    /// intervals are those of a bootstrap over the scans of each kind, whose numbers stay as they are.
    ///
    /// # Shapes and units
    /// One label for each score; non-zero = the scan has a lesion.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] if the lengths differ, there is no scan, or a score is not finite;
    /// [`ScoreError::NoPositives`] or [`ScoreError::NoNegatives`] if all labels are the same.
    pub fn new(
        key: Key,
        scores: &[f32],
        labels: &[u8],
        bootstrap: &Bootstrap,
    ) -> Result<Self, ScoreError> {
        ensure_same_shape("labels", &[scores.len()], &[labels.len()])?;
        // Names what is missing, where the bootstrap could only say that the measure is undefined.
        RankedScores::new(scores, labels)?.metrics()?;
        let kinds: Vec<usize> = labels.iter().map(|&label| usize::from(label != 0)).collect();
        let interval = |name: &str, measure: fn(&RankedScores) -> Result<f64, ScoreError>| {
            bootstrap.interval_in_groups(key.child(name), &kinds, |drawn| {
                let (scores, labels): (Vec<f32>, Vec<u8>) =
                    drawn.iter().map(|&scan| (scores[scan], labels[scan])).unzip();
                measure(&RankedScores::new(&scores, &labels).ok()?).ok()
            })
        };
        Ok(Self {
            auroc: interval("auroc", RankedScores::auroc)?,
            average_precision: interval("ap", RankedScores::average_precision)?,
            scans: scores.len(),
            with_lesion: labels.iter().filter(|&&label| label != 0).count(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_of_one_kind_are_refused() {
        let run = |labels: &[u8]| {
            ImageLevel::new(Key::new(0), &[0.1, 0.2], labels, &Bootstrap::default()).unwrap_err()
        };
        assert!(matches!(run(&[0, 0]), ScoreError::NoPositives { .. }));
        assert!(matches!(run(&[1, 1]), ScoreError::NoNegatives { .. }));
    }

    #[test]
    fn one_scan_of_a_kind_is_enough() {
        let scores = [0.1, 0.3, 0.5, 0.2, 0.35];
        let found =
            ImageLevel::new(Key::new(0), &scores, &[0, 0, 0, 0, 1], &Bootstrap::default()).unwrap();
        assert_eq!((found.auroc.value, found.with_lesion), (0.75, 1));
        // The scan with a lesion beats all healthy ones or, drawn four times, the same one none.
        assert!(found.auroc.low < 0.75 && found.auroc.high == 1.0, "{}", found.auroc);
        let two =
            ImageLevel::new(Key::new(0), &scores[..2], &[0, 1], &Bootstrap::default()).unwrap();
        assert_eq!((two.auroc.value, two.auroc.low, two.auroc.high), (1.0, 1.0, 1.0));
    }

    #[test]
    fn the_value_is_that_of_all_scans_and_lies_in_its_interval() {
        let scores: Vec<f32> = (0..40).map(|i| ((i * 7) % 40) as f32).collect();
        let labels: Vec<u8> = scores
            .iter()
            .map(|&s| u8::from(s as usize % 40 >= 15 + (s as usize * 13) % 11))
            .collect();
        let found = ImageLevel::new(Key::new(1), &scores, &labels, &Bootstrap::default()).unwrap();
        let ranked = RankedScores::new(&scores, &labels).unwrap();
        assert_eq!(found.auroc.value, ranked.auroc().unwrap());
        assert_eq!(found.average_precision.value, ranked.average_precision().unwrap());
        for interval in [found.auroc, found.average_precision] {
            assert!(interval.low < interval.value && interval.value < interval.high, "{interval}");
            assert!(interval.high <= 1.0);
        }
    }
}
