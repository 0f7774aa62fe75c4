//! [`Mirrored`]: a restorer averaged over an image and its mirror image.

use disyre_core::ndarray::{Array5, ArrayView5, ArrayViewMut5, Axis};
use disyre_core::{RestoreError, Restorer, Severity};

/// Mean of the restorations of an image and of its mirror image, left to right (the last axis), mirrored back.
pub(crate) struct Mirrored<'a>(pub(crate) &'a dyn Restorer);

impl Restorer for Mirrored<'_> {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        self.0.restore(batch, severities, restored.view_mut())?;
        let mut other = Array5::zeros(batch.raw_dim());
        self.0.restore(mirrored(batch).view(), severities, other.view_mut())?;
        average(restored, other);
        Ok(())
    }

    fn restore_and_map(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
        mut map: ArrayViewMut5<'_, f32>,
    ) -> Result<bool, RestoreError> {
        let predicted =
            self.0.restore_and_map(batch, severities, restored.view_mut(), map.view_mut())?;
        let mut others = [batch.raw_dim(), map.raw_dim()].map(Array5::zeros);
        let [image, of_map] = others.each_mut().map(|other| other.view_mut());
        self.0.restore_and_map(mirrored(batch).view(), severities, image, of_map)?;
        let [image, of_map] = others;
        average(restored, image);
        average(map, of_map);
        Ok(predicted)
    }
}

fn mirrored(batch: ArrayView5<'_, f32>) -> Array5<f32> {
    let mut batch = batch;
    batch.invert_axis(Axis(4));
    batch.as_standard_layout().into_owned()
}

/// Mean of an output and that of the mirror image.
fn average(mut out: ArrayViewMut5<'_, f32>, mut other: Array5<f32>) {
    other.invert_axis(Axis(4));
    out += &other;
    out /= 2.0;
}
