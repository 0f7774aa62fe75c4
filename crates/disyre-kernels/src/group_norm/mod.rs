//! Group normalisation, alone or followed by SiLU.

mod cpu;
mod op;
pub(crate) mod reference;

use candle_core::{Result, Tensor, bail};

use crate::storage::on_cpu;

/// Normalises each group of channels of each item:
/// `y = weight[c] · (x − mean) / √(variance + eps) + bias[c]`, with the mean and the (biased)
/// variance over the channels and pixels of the group.
///
/// Differentiable in all its tensors.
///
/// # Shapes and units
/// `x` is (n, c, h, w), `weight` and `bias` (c); `groups` divides c. The result has the shape of
/// `x`.
///
/// # Errors
/// `groups` that do not divide the channels, shapes that do not belong together, and an empty `x`.
/// A gradient of the gradient is not available on the CPU.
///
/// # Source
/// Wu and He, "Group Normalization" (arXiv 1803.08494), equations 1 to 3.
pub fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    check(x, weight, bias, groups)?;
    if !on_cpu(&[x, weight, bias]) {
        return reference::group_norm(x, weight, bias, groups, eps);
    }
    apply(x, weight, bias, op::Normalisation { groups, eps, silu: false })
}

/// [`group_norm`] followed by SiLU, `y = z / (1 + e^−z)`, in one pass.
///
/// Differentiable in all its tensors.
///
/// # Shapes and units
/// As [`group_norm`].
///
/// # Errors
/// As [`group_norm`].
///
/// # Source
/// The residual block of the denoising networks (Ho et al., arXiv 2006.11239, appendix B).
pub fn group_norm_silu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    check(x, weight, bias, groups)?;
    if !on_cpu(&[x, weight, bias]) {
        return reference::group_norm_silu(x, weight, bias, groups, eps);
    }
    apply(x, weight, bias, op::Normalisation { groups, eps, silu: true })
}

fn apply(x: &Tensor, weight: &Tensor, bias: &Tensor, op: op::Normalisation) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// Refuses what the operation is not defined for.
fn check(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize) -> Result<()> {
    let (_, channels, _, _) = x.dims4()?;
    if x.elem_count() == 0 {
        bail!("group norm: nothing to do for input {:?}", x.dims());
    }
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!("group norm: {channels} channels cannot be split into {groups} equal groups");
    }
    for (name, parameter) in [("weight", weight), ("bias", bias)] {
        if parameter.dims() != [channels] {
            bail!("group norm: the {name} has shape {:?}, expected [{channels}]", parameter.dims());
        }
    }
    Ok(())
}
