//! The protocol of the benchmark UAD-IMAG.

use disyre_core::ndarray::Array3;
use rayon::slice::ParallelSliceMut;
use serde::{Deserialize, Serialize};

use super::median_filter::median_filter;
use super::{CaseView, NamedValue};
use crate::{RankedScores, ScoreError, ScorePool};

/// Greatest edge of a median filter's cube: 32³ values are searched for each voxel.
const MOST_MEDIAN_VOXELS: usize = 32;

/// Most thresholds of a grid that is set by hand; the published ones have some hundreds.
const MOST_STEPS: f64 = 100_000.0;

/// As Frotscher, Baumgartner and Wolfers count in "Deep Unsupervised Anomaly Detection in Brain Imaging: Large-Scale
/// Benchmarking and Bias Analysis" (2025).
///
/// - **Voxels**: all of each volume, background included, where the map is 0.
/// - **Dice**: of each volume with a lesion; then the mean over volumes, at one threshold for all. `score > threshold`
///   is predicted.
/// - **Operating points**: the best threshold of a grid, chosen on the tested volumes themselves; a threshold that was
///   estimated on other volumes; a threshold of 1 % false positives among the brain voxels of healthy volumes.
/// - **AP**: over the voxels of all volumes together.
/// - **Post-processing**: everything with the map as it is, and again after a 3-D median filter of 4³ voxels.
///
/// Values, and the same with `median_` in front: `pooled_ap`, `per_volume_dice_at_best_threshold`, `best_threshold`,
/// `per_volume_dice_at_estimated_threshold`, `per_volume_dice_at_healthy_threshold`, `healthy_threshold`.
///
/// # What differs here
/// The paper estimates thresholds on 92 validation scans; here the threshold of each volume is the best one of all
/// *other* volumes with a lesion, so it needs two. The healthy threshold comes from the cases without a lesion among
/// those measured, and is left out where there are none. The paper's grids of thresholds are set by hand for each
/// method ([`ThresholdGrid::Steps`] takes them); the default follows the scores. Volumes are not cropped to 224²: the
/// crop removes background alone. A case of the paper is a brain at 1 mm; the filter's 4 voxels are 4 mm there. The
/// method's map is 0 outside the brain where the mask says so; without a mask, voxels of score 0 count as they are.
///
/// The published call of scikit-learn's `roc_curve` drops points within straight parts of the curve, and of healthy
/// voxels alone all parts are straight. Here every score of a healthy voxel may be the healthy threshold, and the values
/// that the tests compare with are those of the published functions with `drop_intermediate=False`.
///
/// Holds the voxels of all cases in memory, about 20 bytes each.
///
/// # Source
/// `AlexanderFrotscher/UAD-IMAG`: `utils/evaluation.py` (`evaluate`), `utils/helpers.py` (`calc_dice_scores`,
/// `calc_indiv_dice`, `median_filter_3D`), `utils/metrics.py` (`dice`, `fpr`), `utils/dataloaders.py`
/// (`MRIDataVolume`), `conf/Disyre_eval.py` (kernel of 4, grid, rates of false positives).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UadImag {
    /// Edge of the median filter's cube, 1 to 32 voxels.
    pub median_voxels: usize,
    /// Share of healthy brain voxels above the healthy threshold, in `(0, 1)`.
    pub false_positive_rate: f64,
    /// Thresholds tried.
    pub grid: ThresholdGrid,
}

/// Thresholds of a search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ThresholdGrid {
    /// Scores that occur: each predicts 1 % more voxels of all cases than the one before. Labels have no part in it.
    #[default]
    Scores,
    /// `start`, `start + step`, … below `end`.
    Steps {
        /// First threshold, finite.
        start: f64,
        /// End, itself left out; finite, above the start.
        end: f64,
        /// Distance of neighbours, above 0; at most 100 000 fit between start and end.
        step: f64,
    },
}

/// A cube of 4³ voxels, 1 % false positives, and a grid that follows the scores.
impl Default for UadImag {
    fn default() -> Self {
        Self { median_voxels: 4, false_positive_rate: 0.01, grid: ThresholdGrid::default() }
    }
}

impl UadImag {
    /// Measures cases.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`ScoreError::NoPositives`] if no case has a lesion.
    pub fn measure(&self, cases: &[CaseView<'_>]) -> Result<Vec<NamedValue>, ScoreError> {
        self.check()?;
        let mut maps: Vec<Array3<f32>> = cases.iter().map(CaseView::masked_scores).collect();
        let mut values = self.of_maps("", cases, &maps)?;
        for map in &mut maps {
            *map = median_filter(map.view(), self.median_voxels);
        }
        values.extend(self.of_maps("median_", cases, &maps)?);
        Ok(values)
    }

    /// Checks every setting; [`measure`](Self::measure) begins with it.
    ///
    /// # Errors
    /// [`ScoreError::Setting`] that names the field.
    pub fn check(&self) -> Result<(), ScoreError> {
        let cube = (1..=MOST_MEDIAN_VOXELS).contains(&self.median_voxels);
        ScoreError::check(cube, "median_voxels", "1 to 32 voxels")?;
        let rate = self.false_positive_rate > 0.0 && self.false_positive_rate < 1.0;
        ScoreError::check(rate, "false_positive_rate", "a number between 0 and 1")?;
        self.grid.check()
    }

    /// The values of maps, filtered or not.
    fn of_maps(
        &self,
        prefix: &str,
        cases: &[CaseView<'_>],
        maps: &[Array3<f32>],
    ) -> Result<Vec<NamedValue>, ScoreError> {
        let Volumes { ap, with_lesion, healthy } = Volumes::new(cases, maps)?;
        let table = DiceTable::new(&with_lesion, self.grid.thresholds(maps))?;
        let best = table.best(None);
        let healthy = threshold_at_rate(healthy, self.false_positive_rate);
        let at_healthy = healthy.map(|threshold| mean_dice_above(&with_lesion, threshold));
        let named = |name: &str, value| NamedValue::new(format!("{prefix}{name}"), value);
        Ok(vec![
            named("pooled_ap", Some(ap)),
            named("per_volume_dice_at_best_threshold", best.map(|(_, dice)| dice)),
            named("best_threshold", best.map(|(row, _)| table.thresholds[row].into())),
            named("per_volume_dice_at_estimated_threshold", table.estimated()),
            named("per_volume_dice_at_healthy_threshold", at_healthy.transpose()?),
            named("healthy_threshold", healthy.map(f64::from)),
        ])
    }
}

/// The maps of cases, by what is measured on them.
struct Volumes {
    /// Average precision over all voxels of the cases with a lesion.
    ap: f64,
    /// Ranked voxels of each of these.
    with_lesion: Vec<RankedScores>,
    /// Scores in the brains of the others.
    healthy: Vec<f32>,
}

impl Volumes {
    fn new(cases: &[CaseView<'_>], maps: &[Array3<f32>]) -> Result<Self, ScoreError> {
        let (mut pool, mut with_lesion, mut healthy) = (ScorePool::default(), vec![], vec![]);
        for (case, map) in cases.iter().zip(maps) {
            if !case.has_lesion() {
                healthy.extend(case.with_scores(map.view()).brain_voxels().0);
                continue;
            }
            let scores: Vec<f32> = map.iter().copied().collect();
            let labels: Vec<u8> = case.all_labels().collect();
            pool.add(&scores, &labels)?;
            // More than a thousand thresholds follow.
            with_lesion.push(RankedScores::new(&scores, &labels)?.into_sorted());
        }
        Ok(Self { ap: pool.rank()?.average_precision()?, with_lesion, healthy })
    }
}

impl ThresholdGrid {
    fn check(self) -> Result<(), ScoreError> {
        let Self::Steps { start, end, step } = self else { return Ok(()) };
        let limits = start.is_finite() && end.is_finite() && end > start;
        ScoreError::check(limits, "grid", "finite `start` and `end`, the end above the start")?;
        // Of a step that is not a number neither comparison holds.
        let steps = (end - start) / step > 0.0 && (end - start) / step <= MOST_STEPS;
        ScoreError::check(steps, "grid.step", "a step above 0 of at most 100 000 to the end")
    }

    fn thresholds(self, maps: &[Array3<f32>]) -> Vec<f32> {
        match self {
            Self::Steps { start, end, step } => {
                let count = ((end - start) / step).ceil() as usize;
                // Rounded to seven decimals as published.
                let round = |value: f64| (value * 1e7).round() / 1e7;
                (0..count).map(|index| round(start + index as f64 * step) as f32).collect()
            }
            Self::Scores => thresholds_of_scores(maps),
        }
    }
}

/// Scores that occur, ascending: each predicts 1 % more voxels than the one after.
fn thresholds_of_scores(maps: &[Array3<f32>]) -> Vec<f32> {
    let mut scores: Vec<f32> = maps.iter().flatten().copied().collect();
    scores.par_sort_unstable_by(|a, b| b.total_cmp(a));
    let mut thresholds = Vec::new();
    let mut place = 1;
    while place < scores.len() {
        thresholds.push(scores[place]);
        place += (place / 100).max(1);
    }
    thresholds.reverse();
    thresholds.dedup();
    thresholds
}

/// Dice of every case at every threshold.
struct DiceTable {
    thresholds: Vec<f32>,
    rows: Vec<Vec<f64>>,
    cases: usize,
}

impl DiceTable {
    fn new(cases: &[RankedScores], thresholds: Vec<f32>) -> Result<Self, ScoreError> {
        let row = |&threshold: &f32| -> Result<Vec<f64>, ScoreError> {
            cases.iter().map(|case| dice_above(case, threshold)).collect()
        };
        let rows = thresholds.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self { thresholds, rows, cases: cases.len() })
    }

    /// The row with the greatest mean over all cases but one, and that mean; the first of equal ones.
    fn best(&self, without: Option<usize>) -> Option<(usize, f64)> {
        let count = self.cases - usize::from(without.is_some());
        let mean = |row: &Vec<f64>| {
            let counted = row.iter().enumerate().filter(|(case, _)| Some(*case) != without);
            counted.map(|(_, dice)| dice).sum::<f64>() / count as f64
        };
        let means = self.rows.iter().map(mean).enumerate();
        means.filter(|_| count > 0).reduce(|best, row| if row.1 > best.1 { row } else { best })
    }

    /// The mean of each case's Dice at the best threshold of the others.
    fn estimated(&self) -> Option<f64> {
        let of_case = |case| Some(self.rows[self.best(Some(case))?.0][case]);
        let dice: Option<Vec<f64>> = (0..self.cases).map(of_case).collect();
        Some(dice?.iter().sum::<f64>() / self.cases as f64)
    }
}

fn dice_above(case: &RankedScores, threshold: f32) -> Result<f64, ScoreError> {
    Ok(case.at(threshold.next_up())?.dice().unwrap_or(0.0))
}

fn mean_dice_above(cases: &[RankedScores], threshold: f32) -> Result<f64, ScoreError> {
    let dice: Result<Vec<f64>, _> = cases.iter().map(|case| dice_above(case, threshold)).collect();
    Ok(dice?.iter().sum::<f64>() / cases.len() as f64)
}

/// The least score that less than this share of healthy scores reaches; none where the greatest is reached by more.
fn threshold_at_rate(mut healthy: Vec<f32>, rate: f64) -> Option<f32> {
    healthy.sort_unstable_by(|a, b| b.total_cmp(a));
    let most = ((healthy.len() as f64 * rate).ceil() as usize).checked_sub(1)?;
    // Equal scores are reached together.
    let too_low = *healthy.get(most)?;
    healthy[..most].iter().rev().copied().find(|&score| score > too_low)
}
