//! Plain forms in candle operations, for any device and type that candle supports: slow, and easy to verify.
//!
//! Tests compare the fast operations with them. This module's take images `(n, c, h, w)`, as PyTorch does; those of
//! [`channels_last`] have the arguments of the fast ones.

pub mod channels_last;

use candle_core::{D, Result, Tensor};

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

/// Normalises each group of channels of each item; see [`GroupNorm`](crate::GroupNorm).
///
/// # Shapes and units
/// `x` is (n, c, h, w), `weight` and `bias` (c); `groups` divides c. The result has the shape of `x`.
///
/// # Errors
/// Those of candle: shapes that do not belong together.
pub fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    let grouped = x.reshape((x.dim(0)?, groups, ()))?; // (n, g, c/g·h·w)
    let centred = grouped.broadcast_sub(&grouped.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normalised = centred.broadcast_div(&(variance + eps)?.sqrt()?)?.reshape(x.shape())?;
    normalised.broadcast_mul(&weight.reshape((1, (), 1, 1))?)?.broadcast_add(&bias.reshape((
        1,
        (),
        1,
        1,
    ))?)
}

/// Attention between the pixels of each image; see [`Attention`](crate::Attention).
///
/// # Shapes and units
/// `queries`, `keys` and `values` are (n·heads, d, pixels); so is the result.
///
/// # Errors
/// Those of candle: shapes that do not belong together.
pub fn attention(queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
    let scale = 1.0 / (queries.dim(1)? as f64).sqrt();
    // (heads, pixels, channels) x (heads, channels, pixels)
    let affinity = (queries * scale)?.transpose(1, 2)?.contiguous()?.matmul(keys)?;
    let shifted = affinity.broadcast_sub(&affinity.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let weights = shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?;
    values.matmul(&weights.transpose(1, 2)?.contiguous()?)
}

/// Mean squared error between two tensors of one shape; see [`squared_error`](super::squared_error).
///
/// # Errors
/// Those of candle: shapes that do not belong together.
pub fn squared_error(y: &Tensor, target: &Tensor) -> Result<Tensor> {
    (y - target)?.sqr()?.mean_all()
}
