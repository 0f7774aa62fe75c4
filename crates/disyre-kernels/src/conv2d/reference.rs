//! The convolution as candle computes it.

use candle_core::{Result, Tensor};

/// [`conv2d`](crate::conv2d()) in plain candle operations.
///
/// # Errors
/// As [`conv2d`](crate::conv2d()).
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: usize) -> Result<Tensor> {
    super::check(x, weight, bias, stride)?;
    let x = if stride == 2 { even_sides(x)? } else { x.clone() };
    let y = x.conv2d(weight, weight.dim(3)? / 2, stride, 1, 1)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

/// `x` with a line of zeros after odd heights and widths. It changes no result of stride 2, and is
/// needed because candle 0.11.1 takes the height's parity for the width's in the gradient.
fn even_sides(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    x.pad_with_zeros(2, 0, height % 2)?.pad_with_zeros(3, 0, width % 2)
}
