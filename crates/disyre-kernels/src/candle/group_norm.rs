//! The normalisation as a differentiable operation on candle tensors.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, Device, Layout, Result, Shape, Storage, Tensor, bail,
};

use super::reference::channels_last;
use super::storage::{cpu, cuda, maps, tensor_of_maps, tensor_of_values, values};
use super::{TensorBackend, TensorNumbers};
use crate::backend::FeatureMaps;
use crate::{Extent, GroupNorm};

/// Normalises images, see [`GroupNorm`], and takes SiLU, `z / (1 + e^−z)`, of the result if `silu` is set; differentiable in
/// all its tensors. On a device that `backend` does not hold it is the plain form, [`channels_last::group_norm`].
///
/// # Shapes and units
/// `x` is (n, h, w, c), `weight` and `bias` (c), all `f32`. The result has the shape of `x`.
///
/// # Errors
/// Groups that do not divide the channels, shapes that do not belong together, an empty `x`, tensors that are not `f32`,
/// and failures of the backend. A gradient of the gradient is available only in the plain form.
pub fn group_norm<B: TensorBackend>(
    backend: &B,
    norm: GroupNorm,
    silu: bool,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let (count, height, width, channels) = x.dims4()?;
    if x.elem_count() == 0 {
        bail!("group norm: nothing to do for input {:?}", x.dims());
    }
    if norm.groups == 0 || !channels.is_multiple_of(norm.groups) {
        bail!("group norm: {channels} channels cannot be split into {} equal groups", norm.groups);
    }
    for (name, parameter) in [("weight", weight), ("bias", bias)] {
        if parameter.dims() != [channels] {
            bail!("group norm: the {name} has shape {:?}, expected [{channels}]", parameter.dims());
        }
    }
    if !backend.holds(x.device()) {
        return channels_last::group_norm(norm, silu, x, weight, bias);
    }
    let (backend, device) = (backend.clone(), x.device().clone());
    let extent = Extent { count, height, width };
    let op = GroupNormOp { backend, device, norm, silu, extent, channels };
    x.contiguous()?.apply_op2(&Tensor::cat(&[weight, bias], 0)?, op)
}

/// [`GroupNorm`] with or without SiLU, of images of one extent and parameters (weight, then bias): forward and backward on
/// tensors of one device.
struct GroupNormOp<B> {
    backend: B,
    device: Device,
    norm: GroupNorm,
    silu: bool,
    extent: Extent,
    channels: usize,
}

impl<B: TensorBackend> GroupNormOp<B> {
    fn forward(
        &self,
        x: TensorNumbers<'_>,
        parameters: TensorNumbers<'_>,
    ) -> Result<(Storage, Shape)> {
        let Self { backend, device, norm, silu, extent, channels } = self;
        let _lock = backend.lock();
        let x = backend.maps_of(x, *extent, *channels)?;
        let y = backend.group_norm(*norm, *silu, &x, &backend.values_of(parameters)?);
        let shape = (extent.count, extent.height, extent.width, *channels);
        Ok((backend.storage_of_maps(&y, device)?, shape.into()))
    }
}

impl<B: TensorBackend> CustomOp2 for GroupNormOp<B> {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let parameters = TensorNumbers::cpu(parameters, parameters_layout)?;
        cpu(self.forward(TensorNumbers::cpu(x, x_layout)?, parameters)?)
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let parameters = TensorNumbers::cuda(parameters, parameters_layout)?;
        cuda(self.forward(TensorNumbers::cuda(x, x_layout)?, parameters)?)
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Self { backend, device, norm, silu, extent, channels } = self;
        let _lock = backend.lock();
        let gradient = maps(backend, gradient, *extent, *channels)?.into_values();
        let (x_maps, weights) =
            (maps(backend, x, *extent, *channels)?, values(backend, parameters)?);
        let (by_x, by_parameters) =
            backend.backward_group_norm(*norm, *silu, &x_maps, &weights, gradient);
        let by_x = FeatureMaps::new(*extent, *channels, by_x);
        let by_x = tensor_of_maps(backend, &by_x, x.shape(), device)?;
        let by_parameters = tensor_of_values(backend, &by_parameters, parameters.shape(), device)?;
        Ok((Some(by_x), Some(by_parameters)))
    }
}
