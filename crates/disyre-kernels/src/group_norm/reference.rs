//! The normalisation in plain candle operations.

use candle_core::{D, Result, Tensor};

/// [`group_norm`](crate::group_norm()) in plain candle operations.
///
/// # Errors
/// As [`group_norm`](crate::group_norm()).
pub fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    super::check(x, weight, bias, groups)?;
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

/// [`group_norm_silu`](crate::group_norm_silu()) in plain candle operations.
///
/// # Errors
/// As [`group_norm_silu`](crate::group_norm_silu()).
pub fn group_norm_silu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    group_norm(x, weight, bias, groups, eps)?.silu()
}
