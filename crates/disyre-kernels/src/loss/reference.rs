//! The loss in plain candle operations.

use candle_core::{Result, Tensor};

/// Mean squared error between two tensors of one shape; see [`squared_error`](crate::squared_error).
///
/// # Errors
/// Those of candle: shapes that do not belong together.
pub fn squared_error(y: &Tensor, target: &Tensor) -> Result<Tensor> {
    (y - target)?.sqr()?.mean_all()
}
