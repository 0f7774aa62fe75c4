//! [`MaskShapes`]: shapes from given masks, such as lesions.

use disyre_core::{
    Key,
    ndarray::{Array3, ArrayView3, ArrayViewMut3, Axis},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use super::{rotation::Rotation, source::ShapeSource, voxels::for_each_voxel};
use crate::{check, error::DagError};

/// The part of a stored mask that the window shows at span 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskFrame {
    /// The whole array: for masks stored at the scale at which they should appear.
    Array,
    /// The box around the voxels above 0: for lesions somewhere in a large volume.
    BoundingBox,
}

/// Settings of [`MaskShapes`].
///
/// # Source
/// The published code of DISYRE v2 (arXiv 2407.06635), kind "shape file": it shows the central half of its 128³ arrays,
/// enlarged by a factor of 1 to 2. Ours: linear interpolation instead of cubic splines before binarising, any masks,
/// and the bounding box as the frame.
///
/// ```
/// use disyre_dag::{Key, ndarray::Array3, shapes::{MaskConfig, MaskFrame, ShapeSource}};
///
/// let lesion = Array3::from_shape_fn((9, 20, 20), |(z, y, x)| u8::from(z > 2 && y > 5 && x < 12));
/// let config = MaskConfig { frame: MaskFrame::BoundingBox, ..MaskConfig::default() };
/// let mut mask = Array3::zeros((8, 16, 16));
/// config.build(vec![lesion])?.fill(Key::new(2), mask.view_mut())?;
/// assert!(mask.iter().all(|&value| value == 0.0 || value == 1.0) && mask.sum() > 0.0);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskConfig {
    /// The frame that the span refers to.
    pub frame: MaskFrame,
    /// Two intervals, equally probable, of the part of the frame's extent that the window shows, in `(0, 16]`.
    pub span: [[f64; 2]; 2],
    /// Greatest rotation to either side, in degrees, in `[0, 180]`.
    pub rotation_degrees: f64,
}

impl Default for MaskConfig {
    fn default() -> Self {
        Self { frame: MaskFrame::Array, span: [[0.25, 0.5], [0.375, 0.5]], rotation_degrees: 15.0 }
    }
}

impl MaskConfig {
    /// Checks the values and takes the masks, `(z, y, x)`, of any shapes; a voxel other than 0 belongs to the mask.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range; [`DagError::NoItems`] without masks;
    /// [`DagError::EmptyItem`] for a mask without voxels.
    pub fn build(self, masks: Vec<Array3<u8>>) -> Result<MaskShapes, DagError> {
        for span in self.span {
            check::interval("span", span, [1e-3, 16.0], "0.001 ≤ least ≤ greatest ≤ 16")?;
        }
        let expected = "an angle in [0, 180]";
        check::in_range("rotation_degrees", self.rotation_degrees, [0.0, 180.0], expected)?;
        if masks.is_empty() {
            return Err(DagError::NoItems { source_name: "mask shapes", items: "masks" });
        }
        let stored =
            masks.into_iter().enumerate().map(|(index, mask)| StoredMask::new(index, mask));
        Ok(MaskShapes { masks: stored.collect::<Result<_, _>>()?, config: self })
    }
}

/// Shapes from given masks, for instance of real lesions, each turned and scaled at random. Values are 0 or 1.
///
/// A window of one slice shows one of the mask's slices that is not empty.
#[derive(Debug, Clone)]
pub struct MaskShapes {
    config: MaskConfig,
    masks: Vec<StoredMask>,
}

impl ShapeSource for MaskShapes {
    fn fill(&self, key: Key, shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        let mut rng = key.rng();
        let stored = &self.masks[rng.random_range(0..self.masks.len())];
        let slice = stored.slices[rng.random_range(0..stored.slices.len())];
        let [least, greatest] = self.config.span[usize::from(rng.random_bool(0.5))];
        let span = least + (greatest - least) * rng.random::<f64>();
        let window: [usize; 3] = shape.dim().into();
        let rotation = Rotation::draw(&mut rng, self.config.rotation_degrees, window);
        let (mut centre, extent) = stored.frame(self.config.frame);
        if window[0] == 1 {
            centre[0] = slice as f64;
        }
        // One step for all axes keeps the proportions: the longest side sets it.
        let step = (0..3)
            .filter(|&axis| window[axis] > 1)
            .map(|axis| span * extent[axis] / window[axis] as f64)
            .fold(0.0, f64::max);
        for_each_voxel(shape, |voxel| {
            let offset = rotation.offset(voxel);
            let position = std::array::from_fn(|axis| centre[axis] + step * offset[axis]);
            f32::from(interpolate(stored.mask.view(), position) > 0.5)
        });
        Ok(())
    }
}

/// A mask and the bounds of its voxels.
#[derive(Debug, Clone)]
struct StoredMask {
    mask: Array3<u8>,
    /// Slices along z with a voxel above 0; never empty.
    slices: Vec<usize>,
    /// First and last voxel above 0 along each axis.
    bounds: [[usize; 2]; 3],
}

impl StoredMask {
    fn new(index: usize, mask: Array3<u8>) -> Result<Self, DagError> {
        let mask = mask.mapv_into(|value| u8::from(value != 0));
        let used = |axis: usize| -> Vec<usize> {
            let planes = mask.axis_iter(Axis(axis)).enumerate();
            planes.filter(|(_, plane)| plane.iter().any(|&v| v > 0)).map(|(i, _)| i).collect()
        };
        let slices = used(0);
        let ends = |used: &[usize]| Some([*used.first()?, *used.last()?]);
        match (ends(&slices), ends(&used(1)), ends(&used(2))) {
            (Some(z), Some(y), Some(x)) => Ok(Self { bounds: [z, y, x], slices, mask }),
            _ => Err(DagError::EmptyItem { index, source_name: "mask shapes" }),
        }
    }

    /// Centre and extent of the frame, in voxels.
    fn frame(&self, frame: MaskFrame) -> ([f64; 3], [f64; 3]) {
        let bounds: [[usize; 2]; 3] = match frame {
            MaskFrame::BoundingBox => self.bounds,
            MaskFrame::Array => std::array::from_fn(|axis| [0, self.mask.len_of(Axis(axis)) - 1]),
        };
        let centre = bounds.map(|[first, last]| (first + last) as f64 / 2.0);
        (centre, bounds.map(|[first, last]| (last - first + 1) as f64))
    }
}

/// Linear interpolation; 0 outside.
fn interpolate(mask: ArrayView3<'_, u8>, position: [f64; 3]) -> f64 {
    let base = position.map(f64::floor);
    let mut sum = 0.0;
    for corner in 0..8usize {
        let mut weight = 1.0;
        let mut index = [0usize; 3];
        for axis in 0..3 {
            let upper = (corner >> axis & 1) as f64;
            let fraction = position[axis] - base[axis];
            weight *= if upper > 0.0 { fraction } else { 1.0 - fraction };
            // A negative position becomes an index beyond any array.
            index[axis] = (base[axis] + upper) as isize as usize;
        }
        if weight > 0.0 {
            sum += weight * f64::from(mask.get(index).copied().unwrap_or(0));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn still(frame: MaskFrame, span: f64) -> MaskConfig {
        MaskConfig { frame, span: [[span; 2]; 2], rotation_degrees: 0.0 }
    }

    #[test]
    fn the_whole_frame_of_the_windows_size_is_the_mask_itself() {
        let mask = Array3::from_shape_fn((1, 6, 6), |(_, y, x)| u8::from(y < 3 && x < 4));
        let source = still(MaskFrame::Array, 1.0).build(vec![mask.clone()]).unwrap();
        let mut shape = Array3::zeros((1, 6, 6));
        source.fill(Key::new(1), shape.view_mut()).unwrap();
        assert_eq!(shape, mask.mapv(f32::from));
    }

    #[test]
    fn the_bounding_box_fills_the_window() {
        let mut mask = Array3::zeros((9, 20, 30));
        crate::region::Region::at([2, 5, 6], [2, 4, 4]).of(mask.view_mut()).fill(7);
        let source = still(MaskFrame::BoundingBox, 1.0).build(vec![mask]).unwrap();
        let mut shape = Array3::zeros((1, 8, 8));
        source.fill(Key::new(1), shape.view_mut()).unwrap();
        assert_eq!(shape.sum(), 64.0);
    }

    #[test]
    fn masks_without_voxels_are_refused() {
        let config = MaskConfig::default();
        assert!(matches!(config.clone().build(vec![]), Err(DagError::NoItems { .. })));
        let masks = vec![Array3::ones((1, 2, 2)), Array3::zeros((1, 2, 2))];
        let error = config.build(masks).unwrap_err();
        assert_eq!(error, DagError::EmptyItem { index: 1, source_name: "mask shapes" });
    }

    #[test]
    fn halfway_between_two_voxels_is_their_mean() {
        let mask = disyre_core::ndarray::array![[[1u8, 0, 1]]];
        assert_eq!(interpolate(mask.view(), [0.0, 0.0, 0.5]), 0.5);
        assert_eq!(interpolate(mask.view(), [0.0, 0.0, -0.25]), 0.75);
        assert_eq!(interpolate(mask.view(), [0.0, 0.0, 2.0]), 1.0);
    }
}
