//! The attention as a differentiable operation on candle tensors.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Device, Layout, Result, Shape, Storage, Tensor, bail,
};

use super::reference::channels_last;
use super::storage::{cpu, cuda, maps, tensor_of_maps};
use super::{TensorBackend, TensorNumbers};
use crate::backend::FeatureMaps;
use crate::{Attention, Extent};

/// Attention between the pixels of each image, see [`Attention`]; differentiable. On a device that `backend` does not hold
/// it is the plain form, [`channels_last::attention`].
///
/// # Shapes and units
/// `qkv` is (n, h, w, 3·c), queries, keys and values side by side, `f32`; the result is (n, h, w, c).
///
/// # Errors
/// Channels that are not three times a multiple of `head_channels`, an empty tensor, tensors that are not `f32`, and
/// failures of the backend: on GPUs also heads of more than 32 channels. A gradient of the gradient is available only in
/// the plain form.
pub fn attention<B: TensorBackend>(
    backend: &B,
    head_channels: usize,
    qkv: &Tensor,
) -> Result<Tensor> {
    let (count, height, width, all) = qkv.dims4()?;
    if qkv.elem_count() == 0 {
        bail!("attention: nothing to do for input {:?}", qkv.dims());
    }
    if head_channels == 0 || !all.is_multiple_of(3 * head_channels) {
        bail!(
            "attention: {all} channels are not queries, keys and values of heads of {head_channels}"
        );
    }
    if !backend.holds(qkv.device()) {
        return channels_last::attention(head_channels, qkv);
    }
    let attention = Attention { channels: all / 3, head_channels };
    let extent = Extent { count, height, width };
    let (backend, device) = (backend.clone(), qkv.device().clone());
    qkv.contiguous()?.apply_op1(AttentionOp { backend, device, attention, extent })
}

/// [`Attention`] of images of one extent: forward and backward on tensors of one device.
struct AttentionOp<B> {
    backend: B,
    device: Device,
    attention: Attention,
    extent: Extent,
}

impl<B: TensorBackend> AttentionOp<B> {
    fn forward(&self, qkv: TensorNumbers<'_>) -> Result<(Storage, Shape)> {
        let _lock = self.backend.lock();
        let qkv = self.backend.maps_of(qkv, self.extent, 3 * self.attention.channels)?;
        let y = self.backend.attend(&self.attention, &qkv);
        let Extent { count, height, width } = self.extent;
        let shape = (count, height, width, self.attention.channels);
        Ok((self.backend.storage_of_maps(&y, &self.device)?, shape.into()))
    }
}

impl<B: TensorBackend> CustomOp1 for AttentionOp<B> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        cpu(self.forward(TensorNumbers::cpu(qkv, layout)?)?)
    }

    fn cuda_fwd(&self, qkv: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda(self.forward(TensorNumbers::cuda(qkv, layout)?)?)
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let Self { backend, device, attention, extent } = self;
        let _lock = backend.lock();
        let (shape, channels) = (qkv.shape(), attention.channels);
        let qkv = maps(backend, qkv, *extent, 3 * channels)?;
        let gradient = maps(backend, gradient, *extent, channels)?.into_values();
        let found = backend.backward_attention(attention, &qkv, &gradient);
        let found = FeatureMaps::new(*extent, 3 * channels, found);
        Ok(Some(tensor_of_maps(backend, &found, shape, device)?))
    }
}
