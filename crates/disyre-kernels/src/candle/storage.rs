//! Passage from candle tensors to a backend's memory and back.

use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CudaStorage, Device, Result, Shape, Storage, Tensor, bail};

use super::{TensorBackend, TensorNumbers};
use crate::Extent;
use crate::backend::FeatureMaps;

/// Calls `with` with the numbers of a tensor, outside a forward pass.
fn with_numbers<T>(
    tensor: &Tensor,
    with: impl FnOnce(TensorNumbers<'_>) -> Result<T>,
) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => with(TensorNumbers::cpu(storage, layout)?),
        Storage::Cuda(storage) => with(TensorNumbers::cuda(storage, layout)?),
        Storage::Metal(_) => bail!("no operation computes on tensors of Metal"),
    }
}

/// A tensor as parameters, outside a forward pass.
pub(super) fn values<B: TensorBackend>(backend: &B, tensor: &Tensor) -> Result<B::Values> {
    with_numbers(tensor, |numbers| backend.values_of(numbers))
}

/// A tensor as feature maps, outside a forward pass.
pub(super) fn maps<B: TensorBackend>(
    backend: &B,
    tensor: &Tensor,
    extent: Extent,
    channels: usize,
) -> Result<FeatureMaps<B>> {
    with_numbers(tensor, |numbers| backend.maps_of(numbers, extent, channels))
}

/// Feature maps as a tensor of a shape.
pub(super) fn tensor_of_maps<B: TensorBackend>(
    backend: &B,
    maps: &FeatureMaps<B>,
    shape: impl Into<Shape>,
    device: &Device,
) -> Result<Tensor> {
    let storage = backend.storage_of_maps(maps, device)?;
    Ok(Tensor::from_storage(storage, shape, BackpropOp::none(), false))
}

/// Parameters as a tensor of one axis or another shape.
pub(super) fn tensor_of_values<B: TensorBackend>(
    backend: &B,
    values: &B::Values,
    shape: impl Into<Shape>,
    device: &Device,
) -> Result<Tensor> {
    let storage = backend.storage_of_values(values, device)?;
    Ok(Tensor::from_storage(storage, shape, BackpropOp::none(), false))
}

/// Result of a forward pass on the CPU.
pub(super) fn cpu((storage, shape): (Storage, Shape)) -> Result<(CpuStorage, Shape)> {
    match storage {
        Storage::Cpu(storage) => Ok((storage, shape)),
        _ => bail!("the result of shape {shape:?} is not on the CPU"),
    }
}

/// Result of a forward pass on a CUDA device.
pub(super) fn cuda((storage, shape): (Storage, Shape)) -> Result<(CudaStorage, Shape)> {
    match storage {
        Storage::Cuda(storage) => Ok((storage, shape)),
        _ => bail!("the result of shape {shape:?} is not on a CUDA device"),
    }
}
