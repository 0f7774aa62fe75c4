//! Findings at every threshold of a score map, from the greatest down, by union-find over voxels.

use disyre_core::ndarray::ArrayView3;
use rayon::slice::ParallelSliceMut;

use super::Lesions;
use super::tally::{Finding, Tally};
use crate::{ScoreError, float_order};

/// Counts at a threshold and below, down to the next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// The threshold, as [`float_order`] encodes it.
    pub(super) key: u32,
    pub(super) false_findings: u32,
    pub(super) detected: u32,
}

/// The thresholds at which the counts of a tally change, from the greatest down.
///
/// Voxels enter in the order of their scores; each joins the findings of its 26 neighbours, or begins one.
pub(super) fn sweep(
    lesions: &Lesions<'_>,
    score: ArrayView3<'_, f32>,
    tally: Tally,
) -> Result<Vec<Change>, ScoreError> {
    lesions.check_score(score)?;
    let mut sweep = Sweep::new(lesions, tally)?;
    let mut changes = Vec::new();
    let mut last = (0, 0);
    let ordered = sweep.ordered(lesions, score);
    for equal in ordered.chunk_by(|a, b| a >> 32 == b >> 32) {
        for voxel in equal {
            sweep.enter(*voxel as u32 as usize);
        }
        let counts = (sweep.tally.false_findings as u32, sweep.tally.detected as u32);
        if counts != last {
            let key = !((equal[0] >> 32) as u32);
            changes.push(Change { key, false_findings: counts.0, detected: counts.1 });
            last = counts;
        }
    }
    Ok(changes)
}

/// Marks a cell whose voxel has not entered; the other bits are then the number of its lesion, from 1, or 0.
const OUTSIDE: u32 = 1 << 31;

struct Sweep {
    /// Per voxel of the grid with a border of one voxel: [`OUTSIDE`], or the finding that it entered.
    cells: Vec<u32>,
    row: usize,
    plane: usize,
    /// Finding that a finding has become part of; its own index where it is one itself.
    parents: Vec<u32>,
    findings: Vec<Finding>,
    tally: Tally,
}

impl Sweep {
    fn new(lesions: &Lesions<'_>, tally: Tally) -> Result<Self, ScoreError> {
        let [depth, height, width] = lesions.shape().map(|length| length + 2);
        let (row, plane) = (width, width * height);
        let voxels = plane.saturating_mul(depth);
        if voxels >= OUTSIDE as usize {
            return Err(ScoreError::TooManyVoxels { voxels, limit: OUTSIDE as usize - 1 });
        }
        let mut cells = vec![OUTSIDE; voxels];
        for (line, columns, lesion) in lesions.components().runs() {
            let at = bordered(line, height - 2, row, plane) + columns.start;
            cells[at..at + columns.len()].fill(OUTSIDE | (lesion as u32 + 1));
        }
        Ok(Self { cells, row, plane, parents: Vec::new(), findings: Vec::new(), tally })
    }

    /// The voxels of the brain in the order in which they enter: scores, reversed, in the high bits; cells in the low.
    fn ordered(&self, lesions: &Lesions<'_>, score: ArrayView3<'_, f32>) -> Vec<u64> {
        let [_, height, width] = lesions.shape();
        let entry = |(position, score): (usize, f32)| {
            let cell = bordered(position / width, height, self.row, self.plane) + position % width;
            u64::from(!float_order::encode(score)) << 32 | cell as u64
        };
        let mut ordered: Vec<u64> = Vec::with_capacity(lesions.brain_voxels());
        ordered.extend(lesions.scores(score).map(entry));
        ordered.par_sort_unstable();
        ordered
    }

    fn enter(&mut self, cell: usize) {
        let lesion = (self.cells[cell] & !OUTSIDE).checked_sub(1).map(|lesion| lesion as usize);
        let (neighbours, count) = self.neighbours(cell);
        let neighbours = &neighbours[..count];
        let finding = match *neighbours {
            [] => self.begin(),
            [only] => only,
            _ => self.join(neighbours),
        };
        self.cells[cell] = finding;
        let grown = &mut self.findings[finding as usize];
        if lesion.is_none() && grown.voxels > 0 && self.tally.is_same_after_growth(grown) {
            grown.voxels += 1;
            return;
        }
        self.tally.remove(grown);
        grown.absorb(self.tally.part(lesion, 1));
        self.tally.add(grown);
    }

    /// The findings around a cell, each once: at most 26 are found before equal ones are left out.
    fn neighbours(&mut self, cell: usize) -> ([u32; 26], usize) {
        let (mut found, mut count) = ([0; 26], 0);
        let mut last = OUTSIDE; // most neighbours entered the same finding
        let corner = cell - self.plane - self.row - 1;
        for start in (0..3).flat_map(|z| (0..3).map(move |y| (z, y))) {
            let start = corner + start.0 * self.plane + start.1 * self.row;
            for other in start..start + 3 {
                let entered = self.cells[other];
                if entered & OUTSIDE != 0 || entered == last {
                    continue;
                }
                last = entered;
                let finding = self.root(entered);
                if !found[..count].contains(&finding) {
                    found[count] = finding;
                    count += 1;
                }
            }
        }
        (found, count)
    }

    /// A finding without a voxel.
    fn begin(&mut self) -> u32 {
        let index = self.parents.len() as u32;
        self.parents.push(index);
        self.findings.push(Finding::default());
        self.tally.add(&self.findings[index as usize]);
        index
    }

    /// Makes one finding of several: the largest takes the others.
    fn join(&mut self, findings: &[u32]) -> u32 {
        let size = |finding: u32| self.findings[finding as usize].voxels;
        let largest = findings.iter().copied().fold(findings[0], |best, finding| {
            if size(finding) > size(best) { finding } else { best }
        });
        let mut joined = std::mem::take(&mut self.findings[largest as usize]);
        self.tally.remove(&joined);
        for &finding in findings.iter().filter(|&&finding| finding != largest) {
            let other = std::mem::take(&mut self.findings[finding as usize]);
            self.tally.remove(&other);
            joined.absorb(other);
            self.parents[finding as usize] = largest;
        }
        self.tally.add(&joined);
        self.findings[largest as usize] = joined;
        largest
    }

    fn root(&mut self, mut finding: u32) -> u32 {
        while self.parents[finding as usize] != finding {
            let parent = self.parents[finding as usize];
            self.parents[finding as usize] = self.parents[parent as usize];
            finding = self.parents[finding as usize];
        }
        finding
    }
}

/// Cell of the first voxel of a line `z · height + y` of the grid.
fn bordered(line: usize, height: usize, row: usize, plane: usize) -> usize {
    (line / height + 1) * plane + (line % height + 1) * row + 1
}

#[cfg(test)]
mod tests {
    use super::super::{LesionConfig, OverlapRule};
    use super::*;
    use disyre_core::ndarray::Array3;
    use proptest::prelude::*;

    const SHAPE: [usize; 3] = [3, 5, 6];
    const VOXELS: usize = 90;

    fn array<T: Clone>(values: &[T]) -> Array3<T> {
        Array3::from_shape_vec(SHAPE, values.to_vec()).unwrap()
    }

    fn rules() -> impl Strategy<Value = OverlapRule> {
        let share = || prop::sample::select(vec![0.1, 0.25, 0.5, 1.0]);
        prop_oneof![
            Just(OverlapRule::AnyVoxel),
            share().prop_map(OverlapRule::Share),
            share().prop_map(OverlapRule::Iou),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn counts_at_every_threshold_are_those_of_new_components(
            overlap in rules(),
            label in prop::collection::vec(0u8..4, VOXELS),
            brain in prop::collection::vec(0u8..5, VOXELS),
            score in prop::collection::vec(0u8..40, VOXELS),
            smallest in (0.0f64..4.0, 0.0f64..4.0),
            in_brain: bool,
        ) {
            let label = array(&label).mapv(|label| u8::from(label == 0));
            let (brain, score) = (array(&brain), array(&score).mapv(f32::from));
            let lesions = Lesions::new(label.view(), in_brain.then(|| brain.view()), [1.0; 3]).unwrap();
            let (smallest_lesion_mm3, smallest_finding_mm3) = smallest;
            let config =
                LesionConfig { overlap, smallest_lesion_mm3, smallest_finding_mm3, ..LesionConfig::default() };
            let matcher = config.build().unwrap();
            let changes = sweep(&lesions, score.view(), matcher.tally(&lesions)).unwrap();
            for threshold in (0..40).map(|threshold| threshold as f32) {
                let key = float_order::encode(threshold);
                let last = changes.iter().rev().find(|change| change.key >= key);
                let counts = last.map_or((0, 0), |last| (last.false_findings, last.detected));
                let prediction = lesions.predicted(score.view(), threshold).unwrap();
                let expected = matcher.measures(&lesions, prediction.view()).unwrap();
                let expected = (expected.false_findings as u32, expected.detected as u32);
                prop_assert_eq!(counts, expected, "at {}", threshold);
            }
        }
    }
}
