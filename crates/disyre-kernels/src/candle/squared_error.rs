//! The loss as a differentiable operation on candle tensors.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::reference;
use super::storage::{values, with_values};
use crate::mean_squared_error;

/// Mean squared error between two tensors, see [`mean_squared_error`]; differentiable by both. On another device than the
/// CPU it is the plain form, [`reference::squared_error`].
///
/// # Shapes and units
/// Both have one shape, `f32`; the result is a single number.
///
/// # Errors
/// Tensors of different or empty shapes, or on the CPU that are not `f32`. A gradient of the gradient is not available there.
pub fn squared_error(y: &Tensor, target: &Tensor) -> Result<Tensor> {
    if y.dims() != target.dims() || y.elem_count() == 0 {
        bail!("squared_error: {:?} is not compared with {:?}", y.dims(), target.dims());
    }
    if !y.device().is_cpu() {
        return reference::squared_error(y, target);
    }
    y.contiguous()?.apply_op2(&target.contiguous()?, SquaredErrorOp)
}

/// [`mean_squared_error`] of two tensors of one shape: forward and backward on CPU tensors.
struct SquaredErrorOp;

impl CustomOp2 for SquaredErrorOp {
    fn name(&self) -> &'static str {
        "squared-error"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        y_layout: &Layout,
        target: &CpuStorage,
        target_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (y, target) = (values(y, y_layout)?, values(target, target_layout)?);
        let loss = mean_squared_error(y, target, &mut vec![0.0; y.len()]) as f32;
        Ok((CpuStorage::F32(vec![loss]), ().into()))
    }

    fn bwd(
        &self,
        y: &Tensor,
        target: &Tensor,
        _loss: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let slope = with_values(y, |y| {
            with_values(target, |target| {
                let mut slope = vec![0.0; y.len()];
                mean_squared_error(y, target, &mut slope);
                slope
            })
        })??;
        let slope = Tensor::from_vec(slope, y.shape(), y.device())?.broadcast_mul(gradient)?;
        let by_target = slope.neg()?;
        Ok((Some(slope), Some(by_target)))
    }
}
