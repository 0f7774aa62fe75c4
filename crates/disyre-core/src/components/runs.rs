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
        let mut start = None;
        for_each_edge(row, |at| match start.take() {
            None => start = Some(at),
            Some(start) => runs.push(Run { start, end: at, component: runs.len() }),
        });
        if let Some(start) = start {
            runs.push(Run { start, end: width, component: runs.len() });
        }
        rows.push(runs.len());
    }
    (runs, rows)
}

/// Calls `found` with every position where zero and non-zero voxels meet; before the row is zero.
fn for_each_edge(row: &[u8], mut found: impl FnMut(usize)) {
    let mut last = 0;
    for (block, voxels) in row.chunks(64).enumerate() {
        // A bit for each voxel: branches on runs and not on voxels.
        let inside = non_zero(voxels);
        let mut edges = inside ^ (inside << 1 | last);
        if voxels.len() < 64 {
            edges &= (1 << voxels.len()) - 1;
        }
        while edges != 0 {
            found(64 * block + edges.trailing_zeros() as usize);
            edges &= edges - 1;
        }
        last = inside >> 63;
    }
}

/// A bit for each of at most 64 voxels, 1 where it is not 0, the first lowest.
fn non_zero(voxels: &[u8]) -> u64 {
    if voxels.iter().fold(0, |all, &voxel| all | voxel) == 0 {
        return 0;
    }
    let (words, rest) = voxels.as_chunks::<8>();
    let words = words.iter().enumerate().map(|(word, &voxels)| {
        let voxels = u64::from_le_bytes(voxels);
        const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        // The top bit of each byte that is not 0, then those bits side by side.
        let tops = (((voxels & LOW) + LOW) | voxels) & !LOW;
        (tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * word)
    });
    let first = voxels.len() - rest.len();
    let rest = rest.iter().enumerate().map(|(at, &voxel)| u64::from(voxel != 0) << (first + at));
    words.chain(rest).fold(0, |bits, part| bits | part)
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
            join(runs, index, other);
        }
    }
}

/// Makes one component of those of two runs; the earlier root stays.
fn join(runs: &mut [Run], a: usize, b: usize) {
    if runs[a].component == runs[b].component {
        return;
    }
    let (a, b) = (root(runs, a), root(runs, b));
    runs[a.max(b)].component = a.min(b);
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
