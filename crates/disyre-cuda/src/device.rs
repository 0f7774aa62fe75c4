//! Devices that run kernels: the driver's, or the emulator.

use std::ffi::c_void;
use std::fmt::Debug;

use disyre_kernels::backend::BackendError;

/// A device that runs CUDA kernels, one after another in the order of the calls.
///
/// The trait is out of reach for other crates: operations trust the addresses that it gives.
///
/// # Errors
/// Every call may return an earlier call's failure.
pub trait Device: Debug + Send + Sync + 'static {
    /// A run of the device's memory; dropping it gives it back.
    type Memory: Debug + Send + Sync;
    /// Kernels that can be repeated.
    type Recording: Debug + Send + Sync;

    /// Whether memory should be kept for use again: where its system is slow to give it.
    const KEEPS_MEMORY: bool;

    /// The device in words.
    fn describe(&self) -> String;

    /// Bytes that are left.
    fn free_memory(&self) -> Option<usize>;

    /// Memory whose contents are those of some earlier use.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory, BackendError>;

    /// Address of memory, as kernels take it: a multiple of 256.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// Copies to the start of memory, in the order of the kernels. Not called while the device records.
    ///
    /// # Panics
    /// If it is shorter.
    fn upload(&self, bytes: &[u8], memory: &Self::Memory) -> Result<(), BackendError>;

    /// Copies from the start of memory, after all kernels before are done. Not called while the device records.
    ///
    /// # Panics
    /// If it is shorter.
    fn download(&self, memory: &Self::Memory, bytes: &mut [u8]) -> Result<(), BackendError>;

    /// Runs a kernel on `grid` blocks of `threads`.
    ///
    /// # Safety
    /// `parameters` points to the structure that the kernel takes, and the addresses in it to memory as long as the
    /// kernel reads and writes.
    unsafe fn launch(
        &self,
        kernel: Kernel,
        grid: [u32; 3],
        threads: u32,
        parameters: *const c_void,
        bytes: usize,
    ) -> Result<(), BackendError>;

    /// Starts to record what is launched; false where the device cannot. Not called while the device records.
    fn start_recording(&self) -> Result<bool, BackendError>;

    /// Ends the recording that was started.
    fn end_recording(&self) -> Result<Self::Recording, BackendError>;

    /// Launches everything that was recorded. The memory of all launches is there: see `CudaGraph`. Not called while the
    /// device records.
    fn replay(&self, recording: &mut Self::Recording) -> Result<(), BackendError>;
}

/// A kernel, and the source file that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// The file without its ending.
    pub(crate) module: &'static str,
    /// The function.
    pub(crate) name: &'static str,
}
