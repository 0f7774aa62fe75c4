//! The kernels on the CPU: slow, for tests.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) mod recorder;

use disyre_kernels::Precision;
use disyre_kernels::backend::BackendError;

use crate::cuda::Cuda;
use crate::device::{Device, Kernel};

unsafe extern "C" {
    fn disyre_emulator_launch(
        name: *const c_char,
        grid: *const u32,
        threads: u32,
        parameters: *const c_void,
        bytes: usize,
        mode: u32,
    ) -> *const c_char;

    fn disyre_emulator_memory(start: *const u8, bytes: usize);
}

/// An emulator of a CUDA device: the same kernels, compiled by the host's compiler; every launch is done when it returns.
///
/// It finds what a device may hide: memory is NaN until it is written, numbers around every run of memory are looked after,
/// and a kernel's result must be the same in all modes.
#[derive(Debug, Default)]
pub struct Emulator {
    mode: Mode,
    /// Held by whatever touches the memory: copies and launches follow one another, as in a stream.
    busy: Mutex<()>,
}

impl Cuda<Emulator> {
    /// Operations in an emulator, with products of convolutions in `precision`, as [`Cuda::on`] a GPU.
    pub fn emulated(mode: Mode, precision: Precision) -> Self {
        Self::new(Emulator::new(mode), precision)
    }
}

impl Emulator {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode, busy: Mutex::default() }
    }

    fn busy(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Order and checks of an emulated launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Blocks and lanes first to last, asynchronous copies as late as they are waited for.
    #[default]
    Forward,
    /// Blocks and lanes last to first, asynchronous copies at once.
    Reversed,
    /// As `Forward`, many times slower: every access to memory is looked at. A launch fails where two lanes use one place,
    /// one of them to write, with no barrier between them, whichever comes first here; where shared memory is read before
    /// it is written, or before an asynchronous copy to there was waited for; and where an address is outside all memory.
    Watched,
}

/// A run of the host's memory between two guards.
#[derive(Debug)]
pub struct EmulatedMemory {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its memory, which only the calls of one `Emulator` touch, one at a time.
unsafe impl Send for EmulatedMemory {}
// SAFETY: as above.
unsafe impl Sync for EmulatedMemory {}

/// Bytes before and behind every run: all ones are NaN as f32, bf16 and f64.
const GUARD: usize = 256;
const UNWRITTEN: u8 = 0xff;

impl EmulatedMemory {
    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes + 2 * GUARD, GUARD).expect("a size that was allocated before")
    }

    fn new(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes.checked_add(2 * GUARD)?, GUARD).ok()?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        // SAFETY: all of it was just allocated.
        unsafe { start.write_bytes(UNWRITTEN, layout.size()) };
        let memory = Self { start, bytes };
        // SAFETY: it only takes note of the address.
        unsafe { disyre_emulator_memory(memory.values(), bytes) };
        Some(memory)
    }

    fn values(&self) -> *mut u8 {
        // SAFETY: the values begin behind the first guard.
        unsafe { self.start.as_ptr().add(GUARD) }
    }

    fn guards_are_whole(&self) -> bool {
        (0..GUARD).all(|i| {
            // SAFETY: within the first guard and the last.
            let guards = unsafe {
                [self.start.add(i).read(), self.start.add(GUARD + self.bytes + i).read()]
            };
            guards == [UNWRITTEN; 2]
        })
    }
}

impl Drop for EmulatedMemory {
    fn drop(&mut self) {
        let whole = self.guards_are_whole();
        // SAFETY: allocated with this layout.
        unsafe {
            disyre_emulator_memory(self.values(), 0);
            dealloc(self.start.as_ptr(), Self::layout(self.bytes));
        }
        assert!(whole || std::thread::panicking(), "a kernel wrote beside its memory");
    }
}

impl Device for Emulator {
    type Memory = EmulatedMemory;
    type Recording = ();

    /// Memory that is used again would hide what was never written.
    const KEEPS_MEMORY: bool = false;

    fn describe(&self) -> String {
        "an emulator of CUDA".to_owned()
    }

    fn free_memory(&self) -> Option<usize> {
        None
    }

    fn allocate(&self, bytes: usize) -> Result<EmulatedMemory, BackendError> {
        EmulatedMemory::new(bytes).ok_or_else(|| BackendError::Memory {
            device: self.describe(),
            needed: bytes,
            free: 0,
        })
    }

    fn address(&self, memory: &EmulatedMemory) -> u64 {
        memory.values() as u64
    }

    fn upload(&self, bytes: &[u8], memory: &EmulatedMemory) -> Result<(), BackendError> {
        assert!(bytes.len() <= memory.bytes, "the memory holds what is copied there");
        let _busy = self.busy();
        // SAFETY: within the memory, as just checked; nothing else uses it while the emulator is busy.
        unsafe { memory.values().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn download(&self, memory: &EmulatedMemory, bytes: &mut [u8]) -> Result<(), BackendError> {
        assert!(bytes.len() <= memory.bytes, "the memory holds what is copied from there");
        let _busy = self.busy();
        // SAFETY: as above.
        unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping(memory.values(), bytes.len()) };
        Ok(())
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        grid: [u32; 3],
        threads: u32,
        parameters: *const c_void,
        bytes: usize,
    ) -> Result<(), BackendError> {
        let name = CString::new(kernel.name).expect("names of kernels have no zero bytes");
        let _busy = self.busy();
        // SAFETY: the caller vouches for the parameters, and no other launch or copy touches the memory while the emulator
        // is busy: operations use memory of their own backend alone. The emulator compares their size
        // with the kernel's.
        let answer = unsafe {
            let (name, grid) = (name.as_ptr(), grid.as_ptr());
            disyre_emulator_launch(name, grid, threads, parameters, bytes, self.mode as u32)
        };
        if answer.is_null() {
            return Ok(());
        }
        // SAFETY: the emulator's message lives until this thread's next launch.
        let answer = unsafe { CStr::from_ptr(answer) }.to_string_lossy().into_owned();
        let doing = format!("run {}", kernel.name);
        Err(BackendError::Failed { device: self.describe(), doing, answer })
    }

    fn start_recording(&self) -> Result<bool, BackendError> {
        Ok(false)
    }

    fn end_recording(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn replay(&self, (): &mut ()) -> Result<(), BackendError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
