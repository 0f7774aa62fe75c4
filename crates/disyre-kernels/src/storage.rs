//! Access to the numbers of CPU tensors.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

/// Whether the CPU forms of this crate apply: all of `tensors` are `f32` on the CPU.
pub(crate) fn on_cpu(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32)
}

/// The numbers of a contiguous tensor, inside a forward pass.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("the tensor of shape {:?} is not contiguous", layout.dims()),
    }
}

/// The numbers of a contiguous tensor, outside a forward pass.
pub(crate) fn tensor_values<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => values(storage, layout),
        _ => bail!("the tensor of shape {:?} is not on the CPU", layout.dims()),
    }
}
