//! The convolution as candle computes it.

use candle_core::{Result, Tensor};

/// [`conv2d`](crate::conv2d()) in plain candle operations.
///
/// # Errors
/// As [`conv2d`](crate::conv2d()).
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: usize) -> Result<Tensor> {
    super::check(x, weight, bias, stride)?;
    let y = x.conv2d(weight, weight.dim(3)? / 2, stride, 1, 1)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}
