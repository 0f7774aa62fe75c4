//! Recordings without a driver.

use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

use disyre_kernels::Precision;
use disyre_kernels::backend::BackendError;

use super::{EmulatedMemory, Emulator, Mode};
use crate::cuda::Cuda;
use crate::device::{Device, Kernel};

/// An [`Emulator`] device that records and keeps memory for use again as a driver's does: while it records, launches are
/// noted and not done.
#[derive(Debug)]
pub struct RecordingEmulator {
    emulator: Emulator,
    /// Launches since a recording was started.
    open: Mutex<Option<Vec<Launch>>>,
}

/// A launch that can be repeated.
#[derive(Debug)]
pub struct Launch {
    kernel: Kernel,
    grid: [u32; 3],
    threads: u32,
    /// The bytes of the parameters, aligned as the strictest of them.
    parameters: Vec<u64>,
    bytes: usize,
}

impl Cuda<RecordingEmulator> {
    /// Operations in an emulator that records, as [`Cuda::on`] a GPU.
    pub fn emulated_graphs(mode: Mode, precision: Precision) -> Self {
        Self::new(
            RecordingEmulator { emulator: Emulator::new(mode), open: Mutex::default() },
            precision,
        )
    }
}

impl RecordingEmulator {
    fn open(&self) -> MutexGuard<'_, Option<Vec<Launch>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device for RecordingEmulator {
    type Memory = EmulatedMemory;
    type Recording = Vec<Launch>;

    const KEEPS_MEMORY: bool = true;

    fn describe(&self) -> String {
        self.emulator.describe()
    }

    fn free_memory(&self) -> Option<usize> {
        self.emulator.free_memory()
    }

    fn allocate(&self, bytes: usize) -> Result<EmulatedMemory, BackendError> {
        self.emulator.allocate(bytes)
    }

    fn address(&self, memory: &EmulatedMemory) -> u64 {
        self.emulator.address(memory)
    }

    fn upload(&self, bytes: &[u8], memory: &EmulatedMemory) -> Result<(), BackendError> {
        self.emulator.upload(bytes, memory)
    }

    fn download(&self, memory: &EmulatedMemory, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.emulator.download(memory, bytes)
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        grid: [u32; 3],
        threads: u32,
        parameters: *const c_void,
        bytes: usize,
    ) -> Result<(), BackendError> {
        let mut open = self.open();
        let Some(launches) = &mut *open else {
            drop(open);
            // SAFETY: as the caller vouches.
            return unsafe { self.emulator.launch(kernel, grid, threads, parameters, bytes) };
        };
        let mut copy = vec![0u64; bytes.div_ceil(size_of::<u64>())];
        // SAFETY: the caller vouches for so many bytes, and the copy has room for them.
        unsafe { copy.as_mut_ptr().cast::<u8>().copy_from(parameters.cast(), bytes) };
        launches.push(Launch { kernel, grid, threads, parameters: copy, bytes });
        Ok(())
    }

    fn start_recording(&self) -> Result<bool, BackendError> {
        *self.open() = Some(Vec::new());
        Ok(true)
    }

    fn end_recording(&self) -> Result<Vec<Launch>, BackendError> {
        Ok(self.open().take().unwrap_or_default())
    }

    fn replay(&self, recording: &mut Vec<Launch>) -> Result<(), BackendError> {
        recording.iter().try_for_each(|launch| {
            let Launch { kernel, grid, threads, ref parameters, bytes } = *launch;
            // SAFETY: as for the driver's graphs: the parameters are those of the launch, and the memory that they point
            // to is there: `CudaGraph` pins it.
            unsafe {
                self.emulator.launch(kernel, grid, threads, parameters.as_ptr().cast(), bytes)
            }
        })
    }
}
