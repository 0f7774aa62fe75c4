//! Runs of voxels along x, and their union-find.

use std::ops::Range;

use ndarray::ArrayView3;

use super::Connectivity;

/// Neighbouring voxels of a row that belong to the mask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    start: usize,
    end: usize,
    /// While runs are joined: a run of the same component that comes no later, its own index for the first of them.
    /// Afterwards: the component.
    pub(super) component: usize,
}

impl Run {
    pub(super) fn columns(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// The runs in the order of memory, and where each row's begin.
pub(super) fn find_runs(mask: ArrayView3<'_, u8>) -> (Vec<Run>, Vec<usize>) {
    let mask = mask.as_standard_layout();
    let width = mask.dim().2;
    let (mut runs, mut rows) = (Vec::new(), vec![0]);
    for row in mask.as_slice().into_iter().flat_map(|voxels| voxels.chunks(width.max(1))) {
        let mut from = 0;
        while let Some(start) = next(row, from, |voxel| voxel != 0) {
            let end = next(row, start, |voxel| voxel == 0).unwrap_or(width);
            runs.push(Run { start, end, component: runs.len() });
            from = end;
        }
        rows.push(runs.len());
    }
    (runs, rows)
}

/// First position from `from` on where `is` holds.
fn next(row: &[u8], from: usize, is: impl Fn(u8) -> bool) -> Option<usize> {
    // Blocks without a branch per voxel: several times faster.
    let any = |block: &[u8]| block.iter().fold(false, |any, &voxel| any | is(voxel));
    let rest = &row[from..];
    let skipped = 32 * rest.chunks(32).take_while(|block| !any(block)).count();
    let found = rest.get(skipped..)?.iter().position(|&voxel| is(voxel))?;
    Some(from + skipped + found)
}

/// Joins runs that are neighbours, in rows of `height` for each z.
pub(super) fn connect_rows(
    runs: &mut [Run],
    rows: &[usize],
    height: usize,
    connectivity: Connectivity,
) {
    let corners = connectivity == Connectivity::Corners;
    for row in 0..rows.len().saturating_sub(1) {
        let mut connect = |other: usize| {
            let others = rows[other]..rows[other + 1];
            connect(runs, others, rows[row]..rows[row + 1], usize::from(corners));
        };
        let (z, y) = (row / height, row % height);
        if y > 0 {
            connect(row - 1);
        }
        if z == 0 {
            continue;
        }
        connect(row - height);
        if corners && y > 0 {
            connect(row - height - 1);
        }
        if corners && y + 1 < height {
            connect(row - height + 1);
        }
    }
}

/// Joins the runs of a row with those of an earlier one; `reach` 1 lets them touch at a corner.
fn connect(runs: &mut [Run], mut others: Range<usize>, own: Range<usize>, reach: usize) {
    for index in own {
        let run = runs[index];
        while others.start < others.end && runs[others.start].end + reach <= run.start {
            others.start += 1;
        }
        for other in others.clone() {
            if runs[other].start >= run.end + reach {
                break;
            }
            let (a, b) = (root(runs, index), root(runs, other));
            runs[a.max(b)].component = a.min(b);
        }
    }
}

/// The first run of a component, as far as it is known; shortens the path to it.
fn root(runs: &mut [Run], mut index: usize) -> usize {
    while runs[index].component != index {
        runs[index].component = runs[runs[index].component].component;
        index = runs[index].component;
    }
    index
}

/// Calls `found` with the components of two overlapping runs of the same row, and the voxels that they share.
pub(super) fn for_each_overlap(
    mut first: &[Run],
    mut second: &[Run],
    mut found: impl FnMut(usize, usize, u64),
) {
    while let (Some(a), Some(b)) = (first.first(), second.first()) {
        let shared = a.start.max(b.start)..a.end.min(b.end);
        if !shared.is_empty() {
            found(a.component, b.component, shared.len() as u64);
        }
        if a.end <= b.end {
            first = &first[1..];
        } else {
            second = &second[1..];
        }
    }
}
