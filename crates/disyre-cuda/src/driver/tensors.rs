//! Copies between a stream's memory and candle's CUDA tensors.

use candle_core::{CudaStorage, Device as CandleDevice, Error, Result, Storage, bail};
use cudarc::driver::{CudaStream, DevicePtr, DevicePtrMut, DriverError, result};
use disyre_kernels::candle::TensorNumbers;

use super::stream::{Stream, StreamMemory};
use crate::candle::TensorDevice;

impl Stream {
    /// Does `copy` after all that candle's stream was asked for, and lets that wait for it.
    ///
    /// Candle's stream is another in every thread, its own of the driver; memory that this stream's kernels use is handed
    /// on among threads, and needs one order for all. So nothing but the copies touches candle's memory, and they come
    /// where an operation of candle in this thread would.
    fn in_order_of(
        &self,
        theirs: &CudaStream,
        copy: impl FnOnce() -> std::result::Result<(), DriverError>,
    ) -> Result<()> {
        let joined = self.stream().join(theirs).and_then(|()| copy());
        joined.and_then(|()| theirs.join(self.stream())).map_err(Error::wrap)
    }
}

impl TensorDevice for Stream {
    /// The GPU's primary context is candle's too, where its device is of the same number.
    fn holds(&self, device: &CandleDevice) -> bool {
        matches!(device, CandleDevice::Cuda(device)
            if device.cuda_stream().context() == self.gpu().context())
    }

    fn read_tensor(&self, tensor: TensorNumbers<'_>, memory: &StreamMemory) -> Result<()> {
        let (storage, start) = tensor.on_cuda()?;
        let theirs = storage.device.cuda_stream();
        if theirs.context() != self.gpu().context() {
            bail!("the tensor is on another device than {}", self.gpu().describe());
        }
        let (numbers, len) = (storage.as_cuda_slice::<f32>()?, tensor.len());
        let bytes = size_of::<f32>() * len;
        assert!(start + len <= numbers.len(), "the tensor lies within its memory");
        assert!(bytes <= memory.bytes(), "the memory holds what is copied there");
        self.gpu().bind().map_err(Error::wrap)?;
        self.in_order_of(&theirs, || {
            let (address, _event) = numbers.device_ptr(self.stream());
            let from = address + (size_of::<f32>() * start) as u64;
            // SAFETY: both runs lie within their memory, as just checked, in one context. Ours is used in this stream
            // alone. Candle's holds the tensor's numbers, since this stream waits for what came before in candle's; its
            // storage is borrowed, and whatever writes or frees it in candle's stream later waits for this copy.
            unsafe { result::memcpy_dtod_async(memory.address(), from, bytes, self.handle()) }
        })
    }

    fn storage(&self, memory: &StreamMemory, len: usize, on: &CandleDevice) -> Result<Storage> {
        let CandleDevice::Cuda(device) = on else { bail!("the device is no CUDA device") };
        let theirs = device.cuda_stream();
        if theirs.context() != self.gpu().context() {
            bail!("the tensor is asked for on another device than {}", self.gpu().describe());
        }
        let bytes = size_of::<f32>() * len;
        assert!(bytes <= memory.bytes(), "the memory holds what is copied from there");
        self.gpu().bind().map_err(Error::wrap)?;
        // SAFETY: all its numbers are written below, or it is dropped.
        let mut numbers = unsafe { device.alloc::<f32>(len) }?;
        self.in_order_of(&theirs, || {
            let (to, _event) = numbers.device_ptr_mut(self.stream());
            // SAFETY: both runs lie within their memory, in one context. Ours is used in this stream alone. Candle's was
            // just made, which this stream waits for, and what candle's stream does with it later waits for this copy.
            unsafe { result::memcpy_dtod_async(to, memory.address(), bytes, self.handle()) }
        })?;
        Ok(Storage::Cuda(CudaStorage::wrap_cuda_slice(numbers, device.clone())))
    }
}
