//! The attention as a differentiable operation on candle tensors.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::reference::channels_last;
use super::storage::{values, with_values};
use crate::{Attention, Cpu, Extent};

/// Attention between the pixels of each image, see [`Attention`]; differentiable. On another device than the CPU it is the
/// plain form, [`channels_last::attention`].
///
/// # Shapes and units
/// `qkv` is (n, h, w, 3·c), queries, keys and values side by side, `f32`; the result is (n, h, w, c).
///
/// # Errors
/// Channels that are not three times a multiple of `head_channels`, an empty tensor, and tensors on the CPU that are not
/// `f32`. A gradient of the gradient is not available there.
pub fn attention(cpu: &Cpu, head_channels: usize, qkv: &Tensor) -> Result<Tensor> {
    let (count, height, width, all) = qkv.dims4()?;
    if qkv.elem_count() == 0 {
        bail!("attention: nothing to do for input {:?}", qkv.dims());
    }
    if head_channels == 0 || !all.is_multiple_of(3 * head_channels) {
        bail!(
            "attention: {all} channels are not queries, keys and values of heads of {head_channels}"
        );
    }
    if !qkv.device().is_cpu() {
        return channels_last::attention(head_channels, qkv);
    }
    let attention = Attention { channels: all / 3, head_channels };
    let extent = Extent { count, height, width };
    qkv.contiguous()?.apply_op1(AttentionOp { cpu: cpu.clone(), attention, extent })
}

/// [`Attention`] of images of one extent: forward and backward on CPU tensors.
struct AttentionOp {
    cpu: Cpu,
    attention: Attention,
    extent: Extent,
}

impl CustomOp1 for AttentionOp {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Extent { count, height, width } = self.extent;
        let out = self.attention.forward(&self.cpu, self.extent, values(qkv, layout)?);
        let shape = (count, height, width, self.attention.channels);
        Ok((CpuStorage::F32(out.to_vec()), shape.into()))
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let found = with_values(qkv, |qkv| {
            with_values(gradient, |gradient| {
                self.attention.backward(&self.cpu, self.extent, qkv, gradient).to_vec()
            })
        })??;
        Ok(Some(Tensor::from_vec(found, qkv.shape(), qkv.device())?))
    }
}
