//! Doubling of height and width by repetition.

mod op;
pub(crate) mod reference;

use candle_core::{Result, Tensor};

use crate::storage::on_cpu;

/// Doubles height and width: `y[n,c,i,j] = x[n,c,⌊i/2⌋,⌊j/2⌋]`.
///
/// Differentiable: a pixel's gradient is the sum over its four copies.
///
/// # Shapes and units
/// `x` is (n, c, h, w), the result (n, c, 2h, 2w).
///
/// # Errors
/// An `x` that has not four dimensions.
pub fn upsample_nearest2(x: &Tensor) -> Result<Tensor> {
    if x.dims4().is_err() || x.elem_count() == 0 || !on_cpu(&[x]) {
        return reference::upsample_nearest2(x);
    }
    x.contiguous()?.apply_op1(op::Doubling)
}
