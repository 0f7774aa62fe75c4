//! A stream of work on a GPU: memory, copies and launches, in the order of the calls.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaStream, DriverError, result, sys};
use disyre_kernels::backend::BackendError;

use super::Gpu;
use super::graph::Graph;
use crate::device::{Device, Kernel};

/// A stream of one GPU.
#[derive(Debug)]
pub struct Stream {
    gpu: Gpu,
    stream: Arc<CudaStream>,
}

/// A run of a GPU's memory.
#[derive(Debug)]
pub struct StreamMemory {
    address: sys::CUdeviceptr,
    bytes: usize,
    gpu: Gpu,
}

#[cfg(feature = "candle-cuda")]
impl StreamMemory {
    pub(super) fn address(&self) -> sys::CUdeviceptr {
        self.address
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for StreamMemory {
    fn drop(&mut self) {
        // A failure is the context's end, which the next call reports.
        if self.gpu.bind().is_ok() {
            // SAFETY: allocated by this context, freed once; the driver waits for kernels that use it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

impl Stream {
    pub(super) fn new(gpu: &Gpu) -> Result<Self, BackendError> {
        let stream = gpu.context().new_stream().map_err(|error| gpu.failed("start", error))?;
        Ok(Self { gpu: gpu.clone(), stream })
    }

    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    #[cfg(feature = "candle-cuda")]
    pub(super) fn stream(&self) -> &CudaStream {
        &self.stream
    }

    pub(super) fn handle(&self) -> sys::CUstream {
        self.stream.cu_stream()
    }
}

impl Device for Stream {
    type Memory = StreamMemory;
    type Recording = Graph;

    /// Getting memory waits for the device.
    const KEEPS_MEMORY: bool = true;

    fn describe(&self) -> String {
        self.gpu.describe().to_owned()
    }

    fn free_memory(&self) -> Option<usize> {
        self.gpu.bind().ok()?;
        result::mem_get_info().ok().map(|(free, _)| free)
    }

    fn allocate(&self, bytes: usize) -> Result<StreamMemory, BackendError> {
        self.gpu.bind()?;
        // SAFETY: the contents are written before they are read.
        let allocated = unsafe { result::malloc_sync(bytes) };
        match allocated {
            Ok(address) => Ok(StreamMemory { address, bytes, gpu: self.gpu.clone() }),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                Err(BackendError::Memory {
                    device: self.gpu.describe().to_owned(),
                    needed: bytes,
                    free: self.free_memory().unwrap_or_default(),
                })
            }
            Err(error) => Err(self.gpu.failed(format!("give {bytes} bytes of memory"), error)),
        }
    }

    fn address(&self, memory: &StreamMemory) -> u64 {
        memory.address
    }

    fn upload(&self, bytes: &[u8], memory: &StreamMemory) -> Result<(), BackendError> {
        assert!(bytes.len() <= memory.bytes, "the memory holds what is copied there");
        self.gpu.bind()?;
        // SAFETY: within the memory, as just checked; the driver has copied from the host's when it returns, since that
        // is not pinned and the stream does not record: see `Cuda::not_recording`.
        unsafe { result::memcpy_htod_async(memory.address, bytes, self.handle()) }
            .map_err(|error| self.gpu.failed("take numbers", error))
    }

    fn download(&self, memory: &StreamMemory, bytes: &mut [u8]) -> Result<(), BackendError> {
        assert!(bytes.len() <= memory.bytes, "the memory holds what is copied from there");
        self.gpu.bind()?;
        // SAFETY: within the memory, as just checked; the host's lives until the stream is done below. The stream does not
        // record (see `Cuda::not_recording`), so the copy is done now.
        unsafe { result::memcpy_dtoh_async(bytes, memory.address, self.handle()) }
            .and_then(|()| self.stream.synchronize())
            .map_err(|error| self.gpu.failed("run its kernels and give numbers", error))
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        [x, y, z]: [u32; 3],
        threads: u32,
        parameters: *const c_void,
        _: usize,
    ) -> Result<(), BackendError> {
        self.gpu.bind()?;
        let function = self.gpu.function(kernel)?.0;
        let mut parameters = [parameters.cast_mut()];
        // SAFETY: the caller vouches for the parameters, which the driver copies; none needs shared memory on top.
        unsafe {
            let (block, stream) = ((threads, 1, 1), self.handle());
            result::launch_kernel(function, (x, y, z), block, 0, stream, &mut parameters)
        }
        .map_err(|error| self.gpu.failed(format!("run {}", kernel.name), error))
    }

    fn start_recording(&self) -> Result<bool, BackendError> {
        self.gpu.bind()?;
        // Relaxed, since memory may be asked for on the way.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is not recording: only `Capture` starts, one at a time by `Cuda::not_recording`, and ends it
        // when it is dropped.
        unsafe { result::stream::begin_capture(self.handle(), mode) }
            .map_err(|error| self.gpu.failed("record", error))?;
        Ok(true)
    }

    fn end_recording(&self) -> Result<Graph, BackendError> {
        Graph::of_capture(self)
    }

    fn replay(&self, recording: &mut Graph) -> Result<(), BackendError> {
        recording.launch(self)
    }
}
