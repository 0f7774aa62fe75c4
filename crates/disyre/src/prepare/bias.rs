//! The bias field of a scan: corrected before anything else, and put back into restorations.

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, ArrayViewMut3, Zip};
use disyre_n4::{BiasField, N4Config};
use disyre_volume::{VoxelBox, foreground_box};

use super::BiasCorrection;
use crate::Error;

/// The bias field of a scan, known inside the box of its brain.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanField {
    field: BiasField,
    /// The box, on the grid of the scan.
    region: VoxelBox,
}

impl ScanField {
    /// The field of a scan, by its brain alone.
    pub(super) fn estimate(
        bias: &BiasCorrection,
        scan: &Volume,
        mask: &Array3<u8>,
    ) -> Result<Option<Self>, Error> {
        let (BiasCorrection::N4(config), Some(region)) = (bias, foreground_box(mask.view())) else {
            return Ok(None);
        };
        let spacing_mm = scan.grid.spacing_mm().iter().product::<f64>().cbrt();
        let shrink = (config.shrink as f64 / spacing_mm).round().clamp(1.0, 64.0) as usize;
        let n4 = N4Config { shrink, ..config.clone() }.build()?;
        let field =
            n4.correct(region.view_of(scan.data.view()), region.view_of(mask.view()))?.field;
        Ok(Some(Self { field, region }))
    }

    /// The lattice of the field, over the box of the brain.
    pub fn lattice(&self) -> &BiasField {
        &self.field
    }

    /// The box of the brain on the grid of the scan.
    pub fn region(&self) -> VoxelBox {
        self.region
    }

    /// Multiplies a map on the grid of the scan by the field; outside the box it stays as it is.
    pub fn multiply(&self, data: &mut Array3<f32>) {
        self.combine(data, |value, field| value * field);
    }

    /// Divides a map on the grid of the scan by the field; outside the box it stays as it is.
    pub fn divide(&self, data: &mut Array3<f32>) {
        self.combine(data, |value, field| value / field);
    }

    /// Divides voxels of a box of the scan by the field.
    pub(super) fn divide_box(&self, part: VoxelBox, data: &mut Array3<f32>) {
        self.combine_box(part, data.view_mut(), |value, field| value / field);
    }

    fn combine(&self, data: &mut Array3<f32>, combined: impl Fn(f32, f32) -> f32 + Sync) {
        for slab in self.region.slabs() {
            let voxels = slab.view_of_mut(data.view_mut());
            self.combine_box(slab, voxels, &combined);
        }
    }

    /// `data` are the voxels of a box of the scan.
    fn combine_box(
        &self,
        part: VoxelBox,
        data: ArrayViewMut3<'_, f32>,
        combined: impl Fn(f32, f32) -> f32 + Sync,
    ) {
        let known = part.intersection(self.region);
        let field = known.relative_to(self.region);
        Zip::from(known.relative_to(part).view_of_mut(data))
            .and(&self.field.evaluate_in(field.start, field.end))
            .par_for_each(|value, &field| *value = combined(*value, field));
    }
}
