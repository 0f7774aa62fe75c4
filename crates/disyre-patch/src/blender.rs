//! Weighted mean of overlapping windows: the last step of every tiled inference.

use std::ops::Range;

use disyre_core::ndarray::{
    Array3, ArrayView1, ArrayView3, ArrayViewMut1, AxisDescription, Slice, Zip,
};
use disyre_core::{ensure_finite, ensure_same_shape};

use crate::{PatchError, TilePlan, Window, WindowWeights};

/// Blend of overlapping windows: every voxel is the weighted mean `Σ G·v / Σ G` of the windows that hold it.
///
/// Sums are `f64`, 16 bytes per voxel of the image (not of the padding), so windows that agree blend to their common
/// value, bit for bit. The order of adding can change the last bit: add windows in the plan's row-major order, also when
/// they were computed in parallel, and results are equal. A window added twice counts twice.
///
/// ```
/// use disyre_core::ndarray::array;
/// use disyre_patch::{Blender, TilePlan, WindowWeights};
/// let plan = TilePlan::new([1, 1, 3], [1, 1, 2], [1, 1, 1])?; // two windows that share the middle voxel
/// let mut blender = Blender::new(&plan, &WindowWeights::uniform([1, 1, 2])?)?;
/// for (window, values) in plan.windows().zip([array![[[1.0, 2.0]]], array![[[4.0, 8.0]]]]) {
///     blender.add(window, values.view())?;
/// }
/// assert_eq!(blender.finish(), array![[[1.0, 3.0, 8.0]]]);
/// # Ok::<(), disyre_patch::PatchError>(())
/// ```
///
/// # Source
/// The published code's sliding-window inference.
#[derive(Debug, Clone)]
pub struct Blender {
    plan: TilePlan,
    weights: Array3<f32>,
    weighted: Array3<f64>,
    total: Array3<f64>,
}

impl Blender {
    /// An empty blend of the plan's windows.
    ///
    /// # Errors
    /// [`PatchError::Shape`] if the weights are not of the plan's window shape.
    pub fn new(plan: &TilePlan, weights: &WindowWeights) -> Result<Self, PatchError> {
        let weights = weights.values();
        ensure_same_shape("window weights", &plan.window_shape(), weights.shape())?;
        Ok(Self {
            plan: *plan,
            weights: weights.to_owned(),
            weighted: touched_zeros(plan.image()),
            total: touched_zeros(plan.image()),
        })
    }

    /// Adds the values of one window; those in the padding are dropped.
    ///
    /// # Shapes and units
    /// `values` is `(z, y, x)` of the plan's window shape, in any unit.
    ///
    /// # Errors
    /// [`PatchError::ForeignWindow`], or [`PatchError::Shape`] if the shape differs or a value is not finite; the
    /// blend is then as before.
    pub fn add(&mut self, window: Window, values: ArrayView3<'_, f32>) -> Result<(), PatchError> {
        self.plan.ensure_own(window)?;
        ensure_same_shape("window values", &self.plan.window_shape(), values.shape())?;
        ensure_finite("window values", &values)?;
        let values = values.as_standard_layout();
        let inside = slices(window.region());
        let padded = slices(window.region_in_window());
        Zip::from(self.weighted.slice_each_axis_mut(&inside).rows_mut())
            .and(self.total.slice_each_axis_mut(&inside).rows_mut())
            .and(self.weights.slice_each_axis(&padded).rows())
            .and(values.slice_each_axis(&padded).rows())
            .for_each(add_row);
        Ok(())
    }

    /// The blended image, `(z, y, x)` of the plan's image shape; 0 where no window was added.
    pub fn finish(self) -> Array3<f32> {
        Zip::from(&self.weighted).and(&self.total).par_map_collect(|&weighted, &total| {
            if total > 0.0 { (weighted / total) as f32 } else { 0.0 }
        })
    }
}

/// Zeros whose memory pages exist already: the first write to a page costs a page fault, which stops all threads of the
/// process for a moment; here it happens in parallel, before the blend begins.
fn touched_zeros(shape: [usize; 3]) -> Array3<f64> {
    let mut zeros = Array3::zeros(shape);
    zeros.par_mapv_inplace(|_| 0.0);
    zeros
}

/// `weighted += weights · values` and `total += weights`, over one row of memory.
///
/// # Panics
/// If a row is not contiguous; rows of arrays in standard layout are.
fn add_row(
    weighted: ArrayViewMut1<'_, f64>,
    total: ArrayViewMut1<'_, f64>,
    weights: ArrayView1<'_, f32>,
    values: ArrayView1<'_, f32>,
) {
    let weighted = weighted.into_slice().expect("the sums are contiguous");
    let total = total.into_slice().expect("the sums are contiguous");
    let weights = weights.to_slice().expect("the weights are contiguous");
    let values = values.to_slice().expect("the values were brought into standard layout");
    let sums = weighted.iter_mut().zip(total);
    for ((weighted, total), (&weight, &value)) in sums.zip(weights.iter().zip(values)) {
        *weighted += f64::from(weight) * f64::from(value);
        *total += f64::from(weight);
    }
}

/// The slice of each axis, as ndarray asks for it.
fn slices(ranges: [Range<usize>; 3]) -> impl Fn(AxisDescription) -> Slice {
    move |axis| ranges[axis.axis.index()].clone().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    fn blender(weights: &WindowWeights) -> (TilePlan, Blender) {
        let plan = TilePlan::new([1, 1, 3], [1, 1, 2], [1, 1, 1]).unwrap();
        (plan, Blender::new(&plan, weights).unwrap())
    }

    #[test]
    fn overlapping_windows_are_averaged() {
        let (plan, mut blender) = blender(&WindowWeights::uniform([1, 1, 2]).unwrap());
        blender.add(plan.window(0).unwrap(), array![[[1.0, 2.0]]].view()).unwrap();
        blender.add(plan.window(1).unwrap(), array![[[4.0, 8.0]]].view()).unwrap();
        assert_eq!(blender.finish(), array![[[1.0, 3.0, 8.0]]]);
    }

    #[test]
    fn the_centre_of_a_window_counts_more() {
        let weights = WindowWeights::gaussian([1, 1, 3]).unwrap();
        let plan = TilePlan::new([1, 1, 4], [1, 1, 3], [1, 1, 1]).unwrap();
        let mut blender = Blender::new(&plan, &weights).unwrap();
        blender.add(plan.window(0).unwrap(), array![[[0.0, 0.0, 0.0]]].view()).unwrap();
        blender.add(plan.window(1).unwrap(), array![[[1.0, 1.0, 1.0]]].view()).unwrap();
        let rim = weights.values()[[0, 0, 0]];
        let blended = blender.finish();
        assert_eq!(blended[[0, 0, 0]], 0.0);
        assert!((blended[[0, 0, 1]] - rim / (1.0 + rim)).abs() < 1e-7);
        assert!((blended[[0, 0, 2]] - 1.0 / (1.0 + rim)).abs() < 1e-7);
        assert_eq!(blended[[0, 0, 3]], 1.0);
    }

    #[test]
    fn values_of_any_memory_layout_are_blended() {
        let plan = TilePlan::new([1, 2, 3], [1, 2, 3], [1, 1, 1]).unwrap();
        let weights = WindowWeights::gaussian([1, 2, 3]).unwrap();
        let transposed = array![[[1.0], [4.0]], [[2.0], [5.0]], [[3.0], [6.0]]].reversed_axes();
        let mut blender = Blender::new(&plan, &weights).unwrap();
        blender.add(plan.window(0).unwrap(), transposed.view()).unwrap();
        assert_eq!(blender.finish(), array![[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]);
    }

    #[test]
    fn voxels_of_no_window_are_zero() {
        let (plan, mut blender) = blender(&WindowWeights::uniform([1, 1, 2]).unwrap());
        blender.add(plan.window(1).unwrap(), array![[[4.0, 8.0]]].view()).unwrap();
        assert_eq!(blender.finish(), array![[[0.0, 4.0, 8.0]]]);
    }

    #[test]
    fn a_wrong_window_leaves_the_blend_as_it_was() {
        let (plan, mut blender) = blender(&WindowWeights::uniform([1, 1, 2]).unwrap());
        let window = plan.window(0).unwrap();
        assert!(blender.add(window, array![[[1.0, 2.0, 3.0]]].view()).is_err());
        let error = blender.add(window, array![[[1.0, f32::NAN]]].view()).unwrap_err();
        assert!(error.to_string().contains("not finite, first at index [0, 0, 1]"));
        let other = TilePlan::new([1, 1, 5], [1, 1, 2], [1, 1, 1]).unwrap();
        let foreign = blender.add(other.window(3).unwrap(), array![[[1.0, 2.0]]].view());
        assert!(matches!(foreign, Err(PatchError::ForeignWindow { index: 3, windows: 2, .. })));
        assert_eq!(blender.finish(), array![[[0.0, 0.0, 0.0]]]);
        let wide = WindowWeights::uniform([1, 1, 3]).unwrap();
        assert!(Blender::new(&plan, &wide).is_err());
    }
}
