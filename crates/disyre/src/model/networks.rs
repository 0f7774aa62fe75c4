//! [`Networks`]: the network of a model, and those of others that it is averaged with, as one restorer.

use disyre_core::ndarray::{Array5, ArrayView5, ArrayViewMut5};
use disyre_core::{Distance, EnsembleSums, RestoreError, Restorer, Severity};
use disyre_diffusion::ColdRestorer;

/// Networks whose restorations are averaged.
#[derive(Debug)]
pub(super) struct Networks {
    pub(super) first: ColdRestorer,
    pub(super) others: Vec<ColdRestorer>,
}

impl Networks {
    fn all(&self) -> impl Iterator<Item = &ColdRestorer> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Mean of what `each` writes for every network; false if it does for none.
    fn mean(
        &self,
        mut out: [ArrayViewMut5<'_, f32>; 2],
        mut each: impl FnMut(&ColdRestorer, [ArrayViewMut5<'_, f32>; 2]) -> Result<bool, RestoreError>,
    ) -> Result<bool, RestoreError> {
        let mut room = out.each_ref().map(|out| Array5::zeros(out.raw_dim()));
        out.iter_mut().for_each(|out| out.fill(0.0));
        let mut predicted = true;
        for network in self.all() {
            predicted &= each(network, room.each_mut().map(|room| room.view_mut()))?;
            out.iter_mut().zip(&room).for_each(|(out, room)| *out += room);
        }
        let count = (1 + self.others.len()) as f32;
        out.iter_mut().for_each(|out| *out /= count);
        Ok(predicted)
    }
}

impl Restorer for Networks {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        if self.others.is_empty() {
            return restore_slices(&self.first, batch, severities, restored);
        }
        let mut none = Array5::zeros((0, 0, 0, 0, 0));
        self.mean([restored, none.view_mut()], |network, [restored, _]| {
            restore_slices(network, batch, severities, restored).map(|()| true)
        })
        .map(|_| ())
    }

    fn restore_and_map(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
        map: ArrayViewMut5<'_, f32>,
    ) -> Result<bool, RestoreError> {
        if self.others.is_empty() {
            return restore_and_map_slices(&self.first, batch, severities, [restored, map]);
        }
        self.mean([restored, map], |network, out| {
            restore_and_map_slices(network, batch, severities, out)
        })
    }

    fn restore_summed(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        distance: Distance,
        sums: EnsembleSums<'_>,
    ) -> Result<bool, RestoreError> {
        match self.others.is_empty() && !takes_slices(&self.first) {
            true => self.first.restore_summed(batch, severities, distance, sums),
            false => Ok(false),
        }
    }
}

/// True for a network whose channels are neighbouring slices (2.5D).
fn takes_slices(network: &ColdRestorer) -> bool {
    network.config().network.in_channels > 1
}

/// From `(n, 1, z, y, x)` to `(n, z, 1, y, x)`: slices as channels.
const SLICES_AS_CHANNELS: [usize; 5] = [0, 2, 1, 3, 4];

fn restore_slices(
    network: &ColdRestorer,
    batch: ArrayView5<'_, f32>,
    severities: &[Severity],
    restored: ArrayViewMut5<'_, f32>,
) -> Result<(), RestoreError> {
    if !takes_slices(network) {
        return network.restore(batch, severities, restored);
    }
    let (batch, restored) =
        (batch.permuted_axes(SLICES_AS_CHANNELS), restored.permuted_axes(SLICES_AS_CHANNELS));
    network.restore(batch, severities, restored)
}

fn restore_and_map_slices(
    network: &ColdRestorer,
    batch: ArrayView5<'_, f32>,
    severities: &[Severity],
    [restored, mut map]: [ArrayViewMut5<'_, f32>; 2],
) -> Result<bool, RestoreError> {
    if !takes_slices(network) {
        return network.restore_and_map(batch, severities, restored, map);
    }
    let (n, _, _, y, x) = batch.dim();
    let (batch, restored) =
        (batch.permuted_axes(SLICES_AS_CHANNELS), restored.permuted_axes(SLICES_AS_CHANNELS));
    // One map for all slices of a window.
    let mut of_window = Array5::zeros((n, 1, 1, y, x));
    let predicted = network.restore_and_map(batch, severities, restored, of_window.view_mut())?;
    if predicted {
        map.assign(&of_window);
    }
    Ok(predicted)
}
