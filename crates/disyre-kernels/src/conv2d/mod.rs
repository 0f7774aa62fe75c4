//! Two-dimensional convolution.

mod columns;
mod cpu;
mod geometry;
mod op;
pub(crate) mod reference;

use candle_core::{Result, Tensor, bail};

use crate::storage::on_cpu;

/// Convolves a batch of images: `y[n,o,i,j] = bias[o] + Σ weight[o,c,u,v] · x[n,c,s·i+u−p,s·j+v−p]`,
/// summed over `c, u, v`, with stride `s`, padding `p = k/2` and `x = 0` outside the image.
///
/// Differentiable in all its tensors.
///
/// # Shapes and units
/// `x` is (n, c, h, w), `weight` (o, c, k, k) with k = 1 or 3, `bias` (o). The result is
/// (n, o, ⌈h/s⌉, ⌈w/s⌉); `stride` is 1 or 2.
///
/// # Errors
/// A kernel other than 1×1 and 3×3, another stride, shapes that do not belong together, and empty
/// tensors. A gradient of the gradient is not available on the CPU.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: usize) -> Result<Tensor> {
    check(x, weight, bias, stride)?;
    if !on_cpu(&[x, weight]) || !bias.is_none_or(|bias| on_cpu(&[bias])) {
        return reference::conv2d(x, weight, bias, stride);
    }
    let (x, weight, op) = (x.contiguous()?, weight.contiguous()?, op::Convolution { stride });
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
        None => x.apply_op2(&weight, op),
    }
}

/// Refuses what the operation is not defined for.
fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: usize) -> Result<()> {
    let (_, channels, _, _) = x.dims4()?;
    let (outputs, weight_channels, height, width) = weight.dims4()?;
    if x.elem_count() == 0 || weight.elem_count() == 0 {
        bail!("conv2d: nothing to do for input {:?} and weight {:?}", x.dims(), weight.dims());
    }
    if height != width || !matches!(height, 1 | 3) {
        bail!("conv2d: the kernel is {height}x{width}, but only 1x1 and 3x3 are supported");
    }
    if !matches!(stride, 1 | 2) {
        bail!("conv2d: the stride is {stride}, but only 1 and 2 are supported");
    }
    if channels != weight_channels {
        bail!("conv2d: the input has {channels} channels, the weight expects {weight_channels}");
    }
    if let Some(bias) = bias
        && bias.dims() != [outputs]
    {
        bail!("conv2d: the bias has shape {:?}, expected [{outputs}]", bias.dims());
    }
    Ok(())
}
