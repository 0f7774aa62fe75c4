//! The convolution as candle computes it.

use candle_core::{Result, Tensor};

/// Convolves a batch of images with a 1×1 or 3×3 kernel, zero padding; see [`Convolution`](crate::Convolution).
///
/// # Shapes and units
/// `x` is (n, c, h, w), `weight` (o, c, k, k), `bias` (o). The result is (n, o, ⌈h/s⌉, ⌈w/s⌉) for stride s = 1 or 2.
///
/// # Errors
/// Those of candle: shapes that do not belong together.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Tensor> {
    let x = if stride == 2 { even_sides(x)? } else { x.clone() };
    let y = x.conv2d(weight, weight.dim(3)? / 2, stride, 1, 1)?;
    y.broadcast_add(&bias.reshape((1, (), 1, 1))?)
}

/// `x` with a line of zeros after odd heights and widths. It changes no result of stride 2, and is needed because
/// candle 0.11.1 takes the height's parity for the width's in the gradient.
fn even_sides(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    x.pad_with_zeros(2, 0, height % 2)?.pad_with_zeros(3, 0, width % 2)
}

/// Doubles height and width: `y[n,c,i,j] = x[n,c,⌊i/2⌋,⌊j/2⌋]`.
///
/// By repetition, since the gradient of candle 0.11.1's own form forgets what was added before.
///
/// # Shapes and units
/// `x` is (n, c, h, w), the result (n, c, 2h, 2w).
///
/// # Errors
/// Those of candle: an `x` that has not four axes.
pub fn upsample_nearest2(x: &Tensor) -> Result<Tensor> {
    let (n, c, height, width) = x.dims4()?;
    let repeated =
        x.reshape((n, c * height, 1, width, 1))?.broadcast_as((n, c * height, 2, width, 2))?;
    repeated.contiguous()?.reshape((n, c, 2 * height, 2 * width))
}
