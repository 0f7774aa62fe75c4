//! The network over a whole volume: slabs of three orientations, averaged.

use disyre_augment::Plane;
use disyre_core::Restorer;
use disyre_core::ndarray::{
    Array3, Array5, ArrayView3, ArrayViewMut2, ArrayViewMut5, Axis, AxisDescription, Slice,
};

use crate::{BrainError, HeadPairs, SLAB};

/// Slabs that go through the network at once.
const BATCH: usize = 12;

/// Least extent of an image in the network, as in training: what its normalisations see.
const LEAST: usize = 112;

/// Where the slabs of an orientation start, in slices: at every slice, and before the first, so that each slice is seen
/// once as every channel.
pub(crate) fn all_starts(slices: usize) -> Vec<isize> {
    (1 - SLAB as isize..slices as isize).collect()
}

/// Where three slabs start: a quarter, a half and three quarters of the way through.
pub(crate) fn few_starts(slices: usize) -> Vec<isize> {
    [1, 2, 3].map(|quarter| (slices * quarter / 4) as isize - SLAB as isize / 2).to_vec()
}

/// Adds the network's answer to some slabs of one orientation to `sum`, both `(z, y, x)`.
pub(crate) fn add_plane(
    network: &dyn Restorer,
    multiple: usize,
    volume: ArrayView3<'_, f32>,
    plane: Plane,
    starts: &[isize],
    sum: &mut Array3<f32>,
) -> Result<(), BrainError> {
    let view = volume.permuted_axes(plane.axes());
    let mut sum = sum.view_mut().permuted_axes(plane.axes());
    let (_, rows, columns) = view.dim();
    let [height, width] =
        [rows, columns].map(|extent| extent.max(LEAST).next_multiple_of(multiple));
    let [top, left] = [(height - rows) / 2, (width - columns) / 2];
    let inner = |axis: AxisDescription| match axis.axis {
        Axis(0) => Slice::from(top..top + rows),
        _ => Slice::from(left..left + columns),
    };
    for starts in starts.chunks(BATCH) {
        let mut batch = Array5::zeros((starts.len(), SLAB, 1, height, width));
        let mut answer = batch.clone();
        for (slab, slice, channel) in slices(starts, view.dim().0) {
            let mut to = image_of(batch.view_mut(), slab, channel);
            to.slice_each_axis_mut(inner).assign(&view.index_axis(Axis(0), slice));
        }
        let severities = vec![HeadPairs::SEVERITY; starts.len()];
        network.restore(batch.view(), &severities, answer.view_mut())?;
        for (slab, slice, channel) in slices(starts, view.dim().0) {
            let from = image_of(answer.view_mut(), slab, channel);
            let mut to = sum.index_axis_mut(Axis(0), slice);
            to += &from.slice_each_axis(inner);
        }
    }
    Ok(())
}

/// One channel of one item of a batch.
fn image_of(batch: ArrayViewMut5<'_, f32>, item: usize, channel: usize) -> ArrayViewMut2<'_, f32> {
    let item = batch.index_axis_move(Axis(0), item);
    item.index_axis_move(Axis(0), channel).index_axis_move(Axis(0), 0)
}

/// Slab, slice of the volume and channel of every slice that lies in the volume.
fn slices(starts: &[isize], count: usize) -> Vec<(usize, usize, usize)> {
    let slabs = starts.iter().enumerate();
    let all = slabs.flat_map(|(slab, &start)| {
        (0..SLAB).map(move |channel| (slab, start + channel as isize, channel))
    });
    all.filter(|&(_, slice, _)| (0..count as isize).contains(&slice))
        .map(|(slab, slice, channel)| (slab, slice as usize, channel))
        .collect()
}
