//! The normalisation in plain candle operations.

use candle_core::{D, Result, Tensor};

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
