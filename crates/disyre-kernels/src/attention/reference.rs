//! The attention in plain candle operations.

use candle_core::{D, Result, Tensor};

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
