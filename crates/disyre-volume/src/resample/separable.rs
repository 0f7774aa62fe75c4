//! Resampling one axis after the other, onto a grid whose axes run along the volume's.
use std::ops::Range;

use disyre_core::Affine;
use disyre_core::ndarray::{Array3, ArrayView3, Axis, CowArray, Ix3, Slice, Zip};
use rayon::prelude::*;

use super::interpolation::{Interpolation, bracket};
use crate::VoxelBox;

/// A relative affine whose axes run along the input's: for each output axis, an input axis and a coordinate map.
///
/// All in array order `(z, y, x)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AxisMaps {
    source: [usize; 3],
    maps: [AxisMap; 3],
}

/// Output index `j` lies at input coordinate `start + step · j`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct AxisMap {
    start: f64,
    step: f64,
}

impl AxisMaps {
    /// Axes of a relative affine (output to input indices, x first), or `None` if it turns or shears the grid.
    pub(super) fn of(relative: &Affine, shape: [usize; 3]) -> Option<Self> {
        /// Input voxels that a corner may be off: far below what a header's 32-bit floats can tell.
        const TOLERANCE_VOXELS: f64 = 1e-3;
        let mut axes = Self { source: [0; 3], maps: [AxisMap { start: 0.0, step: 1.0 }; 3] };
        let mut taken = [false; 3];
        for (out, &voxels) in shape.iter().enumerate() {
            let column = 2 - out;
            let size = |row: usize| relative[row][column].abs();
            let row = (0..3).max_by(|&a, &b| size(a).total_cmp(&size(b)))?;
            let last = voxels.saturating_sub(1) as f64;
            let drift = (0..3).filter(|&other| other != row).map(size).sum::<f64>() * last;
            if taken[row] || drift > TOLERANCE_VOXELS {
                return None;
            }
            taken[row] = true;
            axes.source[out] = 2 - row;
            axes.maps[out] = AxisMap { start: relative[row][3], step: relative[row][column] };
        }
        Some(axes)
    }
}

impl AxisMap {
    /// The same map on an input whose `voxels` are in reverse order.
    fn reversed(self, voxels: usize) -> Self {
        Self { start: voxels as f64 - 1.0 - self.start, step: -self.step }
    }

    /// Ranges of input and output voxels, if the map shifts by whole voxels only.
    fn copied(self, input: usize, output: usize) -> Option<[Range<usize>; 2]> {
        /// Fraction of a voxel, over the whole axis: rounding of a turned affine's spacing in a header's 32-bit floats.
        const ROUNDING: f64 = 1e-4;
        let offset = self.start.round();
        let drift = (self.start - offset).abs() + (self.step - 1.0).abs() * output as f64;
        // Beyond this nothing is copied, however large the axes are. An affine that overflowed is not a number.
        if !(drift <= ROUNDING && offset.abs() <= 1e15) {
            return None;
        }
        let (input, output, offset) = (input as i64, output as i64, offset as i64);
        let first = (-offset).clamp(0, output);
        let end = (input - offset).clamp(first, output);
        let from = (first + offset).clamp(0, input);
        let to = [first, end].map(|index| index as usize);
        Some([from as usize..from as usize + (to[1] - to[0]), to[0]..to[1]])
    }
}

/// Resampling one axis after the other, prepared for any box of the output.
#[derive(Debug, Clone)]
pub(super) struct SeparablePlan {
    /// For each output axis, in array order.
    axes: [AxisPlan; 3],
    /// Axes in the order of their passes; empty where voxels are only copied.
    order: Vec<usize>,
}

#[derive(Debug, Clone)]
struct AxisPlan {
    /// Axis of the input.
    source: usize,
    /// Voxels of the input along it.
    input: usize,
    /// True if the input is taken in reverse order.
    reversed: bool,
    /// Ranges of input and output that a copy would take.
    copied: Option<[Range<usize>; 2]>,
    taps: Taps,
}

impl AxisPlan {
    fn new(source: usize, input: usize, output: usize, map: AxisMap, by: Interpolation) -> Self {
        let reversed = map.reversed(input).copied(input, output);
        let (map, reversed, copied) = match reversed {
            Some(copied) => (map.reversed(input), true, Some(copied)),
            None => (map, false, map.copied(input, output)),
        };
        Self { source, input, reversed, copied, taps: Taps::new(map, input, output, by) }
    }

    /// Input voxels, in the order in which they are taken, of output voxels.
    fn taken(&self, output: Range<usize>, copy: bool) -> Range<usize> {
        match &self.copied {
            Some([input, own]) if copy => {
                let start = output.start.clamp(own.start, own.end);
                let end = output.end.clamp(start, own.end);
                input.start + (start - own.start)..input.start + (end - own.start)
            }
            _ => self.taps.input_of(output),
        }
    }
}

impl SeparablePlan {
    pub(super) fn new(
        input: [usize; 3],
        output: [usize; 3],
        axes: &AxisMaps,
        by: Interpolation,
    ) -> Self {
        let plan = |axis: usize| {
            let source = axes.source[axis];
            AxisPlan::new(source, input[source], output[axis], axes.maps[axis], by)
        };
        let axes = [plan(0), plan(1), plan(2)];
        if axes.iter().all(|axis| axis.copied.is_some()) {
            return Self { axes, order: Vec::new() };
        }
        // The axes that shrink most come first, so that the others have less to do.
        let growth = |axis: usize| output[axis] as f64 / axes[axis].input as f64;
        let mut order = vec![0, 1, 2];
        order.sort_by(|&a, &b| growth(a).total_cmp(&growth(b)));
        order.retain(|&axis| !axes[axis].taps.is_identity(axes[axis].input));
        Self { axes, order }
    }

    fn is_copy(&self) -> bool {
        self.axes.iter().all(|axis| axis.copied.is_some())
    }

    fn taken(&self, output: VoxelBox) -> [Range<usize>; 3] {
        let copy = self.is_copy();
        [0, 1, 2].map(|axis| self.axes[axis].taken(output.start[axis]..output.end[axis], copy))
    }

    /// Input voxels that a box of the output depends on, in the input's own order.
    pub(super) fn input_box(&self, output: VoxelBox) -> VoxelBox {
        let mut input = VoxelBox { start: [0; 3], end: [0; 3] };
        for (plan, taken) in self.axes.iter().zip(self.taken(output)) {
            let Range { start, end } = match plan.reversed {
                true => plan.input - taken.end..plan.input - taken.start,
                false => taken,
            };
            (input.start[plan.source], input.end[plan.source]) = (start, end);
        }
        input
    }

    /// A box of the output from the voxels of its [`input_box`](Self::input_box).
    pub(super) fn resample(&self, input: ArrayView3<'_, f32>, output: VoxelBox) -> Array3<f32> {
        let taken = self.taken(output);
        let mut data = input.permuted_axes([0, 1, 2].map(|axis| self.axes[axis].source));
        for (axis, _) in self.axes.iter().enumerate().filter(|(_, plan)| plan.reversed) {
            data.invert_axis(Axis(axis));
        }
        if data.is_empty() {
            return Array3::zeros(output.shape());
        }
        if self.is_copy() {
            return self.copy(data, output);
        }
        let mut current = data.as_standard_layout();
        for &axis in &self.order {
            let range = output.start[axis]..output.end[axis];
            current = self.axes[axis].taps.along(current, axis, range, taken[axis].start).into();
        }
        current.into_owned()
    }

    /// Copy of the voxels: volumes at the working spacing, cropped and put back.
    fn copy(&self, data: ArrayView3<'_, f32>, output: VoxelBox) -> Array3<f32> {
        let mut out = Array3::zeros(output.shape());
        let part = |axis: Axis| {
            let (own, axis) = (&self.axes[axis.index()].copied, axis.index());
            let own = own.as_ref().map_or(0..0, |[_, own]| own.clone());
            let start = output.start[axis].clamp(own.start, own.end);
            let end = output.end[axis].clamp(start, own.end);
            Slice::from(start - output.start[axis]..end - output.start[axis])
        };
        Zip::from(out.slice_each_axis_mut(|axis| part(axis.axis)))
            .and(&data)
            .par_for_each(|out, &value| *out = value);
        out
    }

    /// Most voxels that resampling a box holds at once, its result among them.
    pub(super) fn peak_voxels(&self, output: VoxelBox) -> u128 {
        let product = |shape: [usize; 3]| shape.iter().map(|&n| n as u128).product::<u128>();
        let mut shape = self.taken(output).map(|taken| taken.len());
        let mut peak = product(output.shape());
        for &axis in &self.order {
            let before = product(shape);
            shape[axis] = output.shape()[axis];
            peak = peak.max(before + product(shape));
        }
        peak
    }
}

/// Input voxels of each output voxel along one axis, and their weights.
#[derive(Debug, Clone)]
struct Taps {
    first: Vec<usize>,
    weights: Vec<Vec<f32>>,
}

impl Taps {
    fn new(map: AxisMap, input: usize, output: usize, interpolation: Interpolation) -> Self {
        let (mut first, mut weights) = (Vec::new(), Vec::new());
        for index in 0..output {
            let centre = map.start + map.step * index as f64;
            let (start, row) = match interpolation {
                Interpolation::Area if map.step.abs() > 1.0 => area(centre, map.step.abs(), input),
                Interpolation::Nearest => nearest(centre, input),
                Interpolation::Linear | Interpolation::Area => linear(centre, input),
            };
            first.push(start);
            weights.push(row);
        }
        Self { first, weights }
    }

    fn is_identity(&self, input: usize) -> bool {
        let same = |(index, (first, row)): (usize, (&usize, &Vec<f32>))| {
            row.iter()
                .enumerate()
                .all(|(k, &weight)| weight == if first + k == index { 1.0 } else { 0.0 })
                && (*first..first + row.len()).contains(&index)
        };
        self.first.len() == input && self.first.iter().zip(&self.weights).enumerate().all(same)
    }

    /// Input voxels of some output voxels.
    fn input_of(&self, output: Range<usize>) -> Range<usize> {
        let taps = self.first[output.clone()].iter().zip(&self.weights[output]);
        let taps = taps.filter(|(_, row)| !row.is_empty());
        let ends = taps.map(|(&first, row)| (first, first + row.len()));
        let all = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        all.map_or(0..0, |(start, end)| start..end)
    }

    /// Output voxels `output` along an axis, from input whose first voxel along it is number `base`.
    fn along(
        &self,
        data: CowArray<'_, f32, Ix3>,
        axis: usize,
        output: Range<usize>,
        base: usize,
    ) -> Array3<f32> {
        let mut shape = [data.shape()[0], data.shape()[1], data.shape()[2]];
        let (old, new) = (shape[axis], output.len());
        let inner: usize = shape[axis + 1..].iter().product();
        shape[axis] = new;
        let mut buffer = vec![0.0; shape.iter().product()];
        let input = data.as_slice().unwrap_or_default();
        if axis == 0 {
            let rows = buffer.par_chunks_mut(inner).zip(output);
            rows.for_each(|(out, index)| self.combine(index, base, input, out));
        } else {
            let blocks = buffer.par_chunks_mut(new * inner).zip(input.par_chunks(old * inner));
            blocks.for_each(|(out, block)| {
                for (index, row) in output.clone().zip(out.chunks_exact_mut(inner)) {
                    self.combine(index, base, block, row);
                }
            });
        }
        Array3::from_shape_vec(shape, buffer).unwrap_or_default()
    }

    /// One output row: the weighted sum of input rows of its length.
    fn combine(&self, index: usize, base: usize, block: &[f32], out: &mut [f32]) {
        let weights = &self.weights[index];
        let start = self.first[index].saturating_sub(base) * out.len();
        let rows = block.get(start..).unwrap_or_default().chunks_exact(out.len());
        for (row, &weight) in rows.zip(weights) {
            for (sum, &value) in out.iter_mut().zip(row) {
                *sum += weight * value;
            }
        }
    }
}

fn nearest(centre: f64, input: usize) -> (usize, Vec<f32>) {
    let index = (centre + 0.5).floor();
    if index >= 0.0 && index < input as f64 { (index as usize, vec![1.0]) } else { (0, vec![]) }
}

fn linear(centre: f64, input: usize) -> (usize, Vec<f32>) {
    match bracket(centre, input) {
        Some((below, fraction)) if below + 1 < input => (below, vec![1.0 - fraction, fraction]),
        Some((below, _)) => (below, vec![1.0]),
        None => (0, vec![]),
    }
}

/// The mean over `[centre - width/2, centre + width/2]`; the part outside the input does not count.
fn area(centre: f64, width: f64, input: usize) -> (usize, Vec<f32>) {
    // In coordinates where voxel i covers [i, i + 1].
    let low = (centre + 0.5 - width / 2.0).clamp(0.0, input as f64);
    let high = (centre + 0.5 + width / 2.0).clamp(0.0, input as f64);
    // Less than a millionth of a voxel is rounding.
    if high - low < 1e-6 {
        return (0, vec![]);
    }
    let first = (low.floor() as usize).min(input - 1);
    let last = (high.ceil() as usize).clamp(first + 1, input);
    let share = |voxel: usize| (high.min(voxel as f64 + 1.0) - low.max(voxel as f64)).max(0.0);
    (first, (first..last).map(|voxel| (share(voxel) / (high - low)) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_weights_are_the_covered_shares() {
        assert_eq!(area(0.5, 2.0, 4), (0, vec![0.5, 0.5]));
        assert_eq!(area(1.0, 3.0, 4), (0, vec![1.0 / 3.0; 3]));
        assert_eq!(area(0.25, 1.5, 4), (0, vec![2.0 / 3.0, 1.0 / 3.0]));
        assert_eq!(area(9.0, 2.0, 4), (0, vec![]));
        // Only the inner half of this voxel lies in the volume.
        assert_eq!(area(3.5, 2.0, 4), (3, vec![1.0]));
    }

    #[test]
    fn only_shifts_by_whole_voxels_are_copied() {
        let copied = |start, step| AxisMap { start, step }.copied(5, 4);
        assert_eq!(copied(2.0, 1.0), Some([2..5, 0..3]));
        assert_eq!(copied(-3.0, 1.0), Some([0..1, 3..4]));
        for (start, step) in
            [(0.5, 1.0), (0.0, 1.01), (0.0, -1.0), (f64::NAN, 1.0), (0.0, f64::NAN)]
        {
            assert_eq!(copied(start, step), None, "{start}, {step}");
        }
    }

    #[test]
    fn a_turned_grid_is_not_separable_but_a_permuted_one_is() {
        let permuted = [[0., 0., -2., 9.], [0., 1., 0., 0.], [3., 0., 0., 1.], [0., 0., 0., 1.]];
        let axes = AxisMaps::of(&permuted, [5, 6, 7]).unwrap();
        assert_eq!(axes.source, [2, 1, 0]);
        assert_eq!(axes.maps[0], AxisMap { start: 9.0, step: -2.0 });
        let mut turned = permuted;
        turned[0][1] = 0.01;
        assert_eq!(AxisMaps::of(&turned, [5, 6, 7]), None);
    }
}
