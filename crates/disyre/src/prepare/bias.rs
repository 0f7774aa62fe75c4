//! The bias field of a scan: corrected before anything else, and put back into restorations.

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, Slice, Zip};
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
    /// The field of a scan whose voxels outside the brain are 0.
    pub(super) fn estimate(
        bias: &BiasCorrection,
        masked: &Volume,
        mask: &Array3<u8>,
    ) -> Result<Option<Self>, Error> {
        let (BiasCorrection::N4(config), Some(region)) = (bias, foreground_box(mask.view())) else {
            return Ok(None);
        };
        let spacing_mm = masked.grid.spacing_mm().iter().product::<f64>().cbrt();
        let shrink = (config.shrink as f64 / spacing_mm).round().clamp(1.0, 64.0) as usize;
        let n4 = N4Config { shrink, ..config.clone() }.build()?;
        let field =
            n4.correct(region.view_of(masked.data.view()), region.view_of(mask.view()))?.field;
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

    fn combine(&self, data: &mut Array3<f32>, combined: impl Fn(f32, f32) -> f32 + Sync) {
        let VoxelBox { start, end } = self.region;
        let range = |axis: usize| Slice::from(start[axis]..end[axis]);
        Zip::from(data.slice_each_axis_mut(|axis| range(axis.axis.index())))
            .and(&self.field.evaluate())
            .par_for_each(|value, &field| *value = combined(*value, field));
    }
}
