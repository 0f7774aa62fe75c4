//! Two-dimensional convolution.

pub(crate) mod reference;

use candle_core::{Result, Tensor, bail};

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
/// A kernel other than 1×1 and 3×3, another stride, and shapes that do not belong together.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: usize) -> Result<Tensor> {
    check(x, weight, bias, stride)?;
    reference::conv2d(x, weight, bias, stride)
}

/// Refuses what the operation is not defined for.
fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: usize) -> Result<()> {
    let (_, channels, _, _) = x.dims4()?;
    let (outputs, weight_channels, height, width) = weight.dims4()?;
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
