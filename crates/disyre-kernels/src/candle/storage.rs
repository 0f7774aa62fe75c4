//! Access to the numbers of CPU tensors.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The numbers of a contiguous tensor, inside a forward pass.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("the tensor of shape {:?} is not contiguous", layout.dims()),
    }
}

/// Calls `with` with the numbers of a tensor on the CPU, outside a forward pass.
pub(crate) fn with_values<T>(tensor: &Tensor, with: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(with(values(storage, layout)?)),
        _ => bail!("the tensor of shape {:?} is not on the CPU", layout.dims()),
    }
}
