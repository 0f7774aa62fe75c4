//! Counts of scores in narrow bins, by case: pooled measures of any selection of the cases without sorting again.

use std::collections::BTreeMap;

/// Bits of a score's key that make its bin: sign, exponent and 9 bits of the mantissa, so that the edges of a bin are
/// .2 % apart.
const BIN_BITS: u32 = 18;

/// Lesion and healthy voxels of one case in each bin that holds any, from the least score up.
#[derive(Debug, Clone, Default)]
pub(super) struct ScoreCounts {
    bins: BTreeMap<u32, [u64; 2]>,
}

/// Counts of several cases on common bins.
#[derive(Debug, Clone)]
pub(super) struct CountTable {
    /// Least score of each bin, ascending.
    edges: Vec<f32>,
    /// For each case, `(bin, [healthy, lesion])`.
    cases: Vec<Vec<(usize, [u64; 2])>>,
}

/// Pooled measures of a selection of cases; voxels of one bin count as tied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PooledMeasures {
    pub(super) ap: f64,
    pub(super) best_dice: f64,
    pub(super) threshold: f32,
    pub(super) auroc: Option<f64>,
    pub(super) prevalence: f64,
}

impl ScoreCounts {
    pub(super) fn new(scores: &[f32], labels: &[u8]) -> Self {
        let mut dense = vec![[0_u64; 2]; 1 << BIN_BITS];
        for (&score, &label) in scores.iter().zip(labels) {
            dense[bin(score) as usize][usize::from(label != 0)] += 1;
        }
        let filled = dense.into_iter().enumerate().filter(|(_, counts)| *counts != [0, 0]);
        Self { bins: filled.map(|(bin, counts)| (bin as u32, counts)).collect() }
    }
}

impl CountTable {
    pub(super) fn new<'a>(cases: impl Iterator<Item = &'a ScoreCounts> + Clone) -> Self {
        let mut bins: Vec<u32> = cases.clone().flat_map(|case| case.bins.keys().copied()).collect();
        bins.sort_unstable();
        bins.dedup();
        let place = |bin: &u32| bins.binary_search(bin).unwrap_or_default();
        let row = |case: &'a ScoreCounts| {
            case.bins.iter().map(|(bin, &counts)| (place(bin), counts)).collect()
        };
        Self { cases: cases.map(row).collect(), edges: bins.iter().map(|&bin| edge(bin)).collect() }
    }

    /// Pooled measures of some cases, which may come several times; `None` without a lesion.
    pub(super) fn measures(&self, drawn: impl Iterator<Item = usize>) -> Option<PooledMeasures> {
        let mut counts = vec![[0_u64; 2]; self.edges.len()];
        for (bin, [healthy, lesion]) in drawn.flat_map(|case| self.cases[case].iter().copied()) {
            counts[bin][0] += healthy;
            counts[bin][1] += lesion;
        }
        let [negatives, positives] = counts.iter().fold([0; 2], |[n, p], [h, l]| [n + h, p + l]);
        if positives == 0 {
            return None;
        }
        let (mut healthy, mut lesion, mut ap, mut pairs) = (0_u64, 0_u64, 0.0, 0.0);
        let mut best = (0.0, f32::INFINITY);
        for (&[new_healthy, new_lesion], &edge) in counts.iter().zip(&self.edges).rev() {
            pairs += new_healthy as f64 * (lesion as f64 + new_lesion as f64 / 2.0);
            (healthy, lesion) = (healthy + new_healthy, lesion + new_lesion);
            let predicted = (healthy + lesion).max(1) as f64;
            ap += new_lesion as f64 * lesion as f64 / predicted;
            let dice = 2.0 * lesion as f64 / (predicted + positives as f64);
            if dice > best.0 {
                best = (dice, edge);
            }
        }
        Some(PooledMeasures {
            ap: ap / positives as f64,
            best_dice: best.0,
            threshold: best.1,
            auroc: (negatives > 0).then(|| pairs / (positives as f64 * negatives as f64)),
            prevalence: positives as f64 / (positives + negatives) as f64,
        })
    }

    /// For each case the threshold with the best Dice over the pooled voxels of the others; `None` if these have no
    /// lesion.
    pub(super) fn thresholds_of_others(&self) -> Vec<Option<f32>> {
        let others = |left_out| (0..self.cases.len()).filter(move |&case| case != left_out);
        (0..self.cases.len()).map(|case| Some(self.measures(others(case))?.threshold)).collect()
    }
}

/// The leading bits of the score's place in ascending order.
fn bin(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // -0 is 0
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    ordered >> (32 - BIN_BITS)
}

/// The least score of a bin.
fn edge(bin: u32) -> f32 {
    let ordered = bin << (32 - BIN_BITS);
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_the_least_score_of_its_bin() {
        for score in [0.0, 1.0, 0.37, -0.37, -2.0, 1e-20, f32::MIN_POSITIVE] {
            assert_eq!(bin(edge(bin(score))), bin(score));
            assert!(edge(bin(score)) <= score && bin(edge(bin(score)).next_down()) < bin(score));
        }
    }

    #[test]
    fn the_threshold_of_a_case_comes_from_the_others() {
        let case = |scores: [f32; 3]| ScoreCounts::new(&scores, &[0, 0, 1]);
        let cases = [case([0.1, 0.2, 4.0]), case([0.1, 0.2, 2.0]), case([0.1, 0.2, 1.0])];
        let table = CountTable::new(cases.iter());
        assert_eq!(table.thresholds_of_others(), [Some(1.0), Some(1.0), Some(2.0)]);
        let pooled = table.measures(0..3).unwrap();
        assert_eq!((pooled.ap, pooled.best_dice, pooled.auroc), (1.0, 1.0, Some(1.0)));
        let alone = CountTable::new(cases[..1].iter());
        assert_eq!(alone.thresholds_of_others(), [None]);
    }
}
