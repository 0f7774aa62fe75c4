//! Candle tensors in a device's memory: GPUs and the emulator as backends of `disyre_kernels::candle`.

use candle_core::{Device as CandleDevice, Error, Result, Storage, bail};
use disyre_kernels::Extent;
use disyre_kernels::backend::FeatureMaps;
use disyre_kernels::candle::{TensorBackend, TensorNumbers};

use crate::buffer::{DeviceBuffer, Element, RawBuffer, role};
use crate::cuda::Cuda;
use crate::device::Device;
use crate::memory::Memory;

/// A device that copies between its memory and candle's.
///
/// The trait is out of reach for other crates, as [`Device`] is.
pub trait TensorDevice: Device {
    /// Whether tensors of candle's device are within reach.
    fn holds(&self, device: &CandleDevice) -> bool;

    /// Copies a tensor to the start of memory, in the order of the kernels. Not called while the device records.
    ///
    /// # Panics
    /// If the memory is shorter.
    fn read_tensor(&self, tensor: TensorNumbers<'_>, memory: &Self::Memory) -> Result<()>;

    /// Numbers of `f32` from the start of memory, after all kernels before, as those of a new tensor. Not called while the device
    /// records.
    ///
    /// # Panics
    /// If the memory is shorter.
    fn storage(&self, memory: &Self::Memory, len: usize, on: &CandleDevice) -> Result<Storage>;
}

/// Numbers in precision `f32` only: tensors are `f32`, and the maps of a backend in bf16 are not.
impl<D: TensorDevice> TensorBackend for Cuda<D> {
    fn holds(&self, device: &CandleDevice) -> bool {
        self.device().holds(device)
    }

    fn values_of(&self, tensor: TensorNumbers<'_>) -> Result<DeviceBuffer<D, role::Values>> {
        self.copied(tensor).map(DeviceBuffer::new)
    }

    fn maps_of(
        &self,
        tensor: TensorNumbers<'_>,
        extent: Extent,
        channels: usize,
    ) -> Result<FeatureMaps<Self>> {
        Ok(FeatureMaps::new(extent, channels, DeviceBuffer::new(self.copied(tensor)?)))
    }

    fn storage_of_values(
        &self,
        values: &DeviceBuffer<D, role::Values>,
        on: &CandleDevice,
    ) -> Result<Storage> {
        self.tensor_storage(values.on(self), on)
    }

    fn storage_of_maps(&self, maps: &FeatureMaps<Self>, on: &CandleDevice) -> Result<Storage> {
        self.tensor_storage(maps.values().on(self), on)
    }
}

impl<D: TensorDevice> Cuda<D> {
    fn copied(&self, tensor: TensorNumbers<'_>) -> Result<RawBuffer<D>> {
        if self.is_bf16() {
            bail!(
                "candle tensors are f32: open the backend in precision f32, not {}",
                self.precision()
            );
        }
        let numbers = self.take(Element::F32, tensor.len());
        let memory = self.whole(&numbers)?;
        let _guard = self.not_recording("copy").map_err(Error::wrap)?;
        self.device().read_tensor(tensor, memory.block())?;
        Ok(numbers)
    }

    fn tensor_storage(&self, numbers: &RawBuffer<D>, on: &CandleDevice) -> Result<Storage> {
        let memory = self.whole(numbers)?;
        let _guard = self.not_recording("copy").map_err(Error::wrap)?;
        self.device().storage(memory.block(), numbers.len(), on)
    }

    /// The memory of `f32`, which is what the operations before made of it: none of them failed.
    fn whole<'a>(&self, numbers: &'a RawBuffer<D>) -> Result<&'a Memory<D>> {
        assert!(numbers.element() == Element::F32, "a backend in f32 keeps f32");
        let memory = numbers.memory();
        self.first_error().map_err(Error::wrap)?;
        memory.map_err(Error::wrap)
    }
}

#[cfg(feature = "emulation")]
impl TensorDevice for crate::Emulator {
    fn holds(&self, device: &CandleDevice) -> bool {
        device.is_cpu()
    }

    fn read_tensor(&self, tensor: TensorNumbers<'_>, memory: &Self::Memory) -> Result<()> {
        let bytes = crate::cuda::f32_bytes(tensor.on_cpu()?);
        self.upload(&bytes, memory).map_err(Error::wrap)
    }

    fn storage(&self, memory: &Self::Memory, len: usize, _: &CandleDevice) -> Result<Storage> {
        let mut bytes = vec![0; Element::F32.bytes() * len];
        self.download(memory, &mut bytes).map_err(Error::wrap)?;
        Ok(Storage::Cpu(candle_core::CpuStorage::F32(crate::backend::f32s(&bytes))))
    }
}
