//! NVIDIA's graphics processors as a [`Backend`](crate::backend::Backend), with kernels of our own.
//!
//! [`Cuda`] holds the operations: which kernels run on how many blocks with what parameters. The kernels lie beside that
//! code as `.cu` files. [`Device`] is what runs them: `Driver`, through NVIDIA's driver (feature `cuda`), or `Emulated`,
//! the same kernels compiled by the host's compiler (feature `cuda-emulation`), so that the tests need no such processor.
//!
//! Feature maps are bf16 where convolutions multiply in bf16; results that no normalisation reads (the network's own, the
//! embedding's, queries, keys and values) stay `f32`. Sums are in `f32` within a block of threads and in `f64` beyond, over
//! fixed pieces in fixed order: results have the same bits on every run.

mod attention;
mod backend;
mod by_weight;
mod convolution;
mod device;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "cuda-emulation")]
mod emulated;
mod ensemble;
mod group_norm;
mod lattice;
mod loss;
mod memory;
mod optimiser;
#[cfg(feature = "cuda-emulation")]
mod recorder;
mod sums;

pub use device::{Device, Kernel};
#[cfg(feature = "cuda")]
pub use driver::{Driver, DriverMemory, Graph};
#[cfg(feature = "cuda-emulation")]
pub use emulated::{Emulated, EmulatedMemory, Mode};
pub use group_norm::DeviceNormalised;
pub use memory::Numbers;
#[cfg(feature = "cuda-emulation")]
pub use recorder::{Launch, Recorder};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Precision;
use crate::backend::BackendError;
use memory::{Element, Pool};

/// A CUDA device and the operations of a network on it.
#[derive(Debug)]
pub struct Cuda<D: Device> {
    pool: Arc<Pool<D>>,
    precision: Precision,
    /// The first failure that nobody has been told of.
    failure: Mutex<Option<BackendError>>,
    turns: Mutex<()>,
}

/// The parameters of a kernel.
///
/// # Safety
/// The type has the layout of the structure that the kernels of its operation take.
unsafe trait Parameters: Copy {}

impl<D: Device> Cuda<D> {
    /// Operations on a device, with products of convolutions in `precision`; in place of `Bf16x3`, which would not be
    /// faster, they are in `f32`.
    pub fn new(device: D, precision: Precision) -> Self {
        let precision = match precision {
            Precision::Bf16 => Precision::Bf16,
            Precision::F32 | Precision::Bf16x3 => Precision::F32,
        };
        Self {
            pool: Arc::new(Pool::new(device)),
            precision,
            failure: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// The precision in effect.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    fn device(&self) -> &D {
        &self.pool.device
    }

    fn failure(&self) -> MutexGuard<'_, Option<BackendError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first failure until it is told.
    fn keep<T>(&self, result: Result<T, BackendError>) -> Option<T> {
        result.map_err(|failure| self.failure().get_or_insert(failure).clone()).ok()
    }

    /// Tells a failure, and forgets it.
    fn told(&self) -> Result<(), BackendError> {
        self.failure().take().map_or(Ok(()), Err)
    }

    fn is_bf16(&self) -> bool {
        self.precision == Precision::Bf16
    }

    /// How maps are kept that normalisations read, and gradients.
    fn element(&self) -> Element {
        if self.is_bf16() { Element::Bf16 } else { Element::F32 }
    }

    /// Memory for numbers; without any, the failure is kept.
    fn take(&self, element: Element, len: usize) -> Numbers<D> {
        let taken = self.keep(Numbers::take(&self.pool, element, len));
        taken.unwrap_or_else(|| Numbers::nothing(&self.pool, element, len))
    }

    /// Numbers from `f32` or `f64` ones.
    fn put(&self, element: Element, len: usize, bytes: &[u8]) -> Numbers<D> {
        let numbers = self.take(element, len);
        self.write(bytes, &numbers);
        numbers
    }

    /// # Panics
    /// If the numbers have not as many bytes.
    fn write(&self, bytes: &[u8], numbers: &Numbers<D>) {
        assert_eq!(bytes.len(), numbers.bytes(), "lengths belong together");
        if let Some(block) = numbers.block() {
            self.keep(self.device().upload(bytes, block));
        }
    }

    /// The bytes of numbers, after all operations before.
    fn bytes(&self, numbers: &Numbers<D>) -> Result<Vec<u8>, BackendError> {
        let mut bytes = vec![0; numbers.bytes()];
        if let Some(block) = numbers.block() {
            self.keep(self.device().download(block, &mut bytes));
        }
        self.told().map(|()| bytes)
    }

    /// Runs a kernel, unless something failed before.
    ///
    /// # Panics
    /// If there are more blocks than a device can count.
    fn run<P: Parameters>(&self, kernel: Kernel, grid: [usize; 3], threads: u32, parameters: &P) {
        if self.failure().is_some() {
            return;
        }
        let grid = grid.map(|blocks| u32::try_from(blocks).expect("blocks can be counted"));
        let (pointer, bytes) = (std::ptr::from_ref(parameters).cast(), size_of::<P>());
        // SAFETY: the type has the kernel's layout; the operation that fills it in took the addresses from numbers that
        // it holds, of the sizes that its own checks demand, and memory that is dropped later is not used again before
        // the kernel is done.
        let result = unsafe { self.device().launch(kernel, grid, threads, pointer, bytes) };
        self.keep(result);
    }
}

/// Whole numbers as kernels take them.
///
/// # Panics
/// If it is too large for them.
fn int(number: usize) -> i32 {
    i32::try_from(number).expect("sizes are below 2^31")
}

/// Bytes of numbers, as a device of the same byte order takes them.
fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}
