//! Operations on a device: memory, failures, and how kernels are run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disyre_kernels::Precision;
use disyre_kernels::backend::BackendError;

use crate::device::{Device, Kernel};
use crate::memory::{Element, Numbers, Pool};

/// A CUDA device and the operations of a network on it.
#[derive(Debug)]
pub struct Cuda<D: Device> {
    pub(crate) pool: Arc<Pool<D>>,
    precision: Precision,
    /// The first failure that nobody has been told of.
    failure: Mutex<Option<BackendError>>,
    pub(crate) turns: Mutex<()>,
}

/// The parameters of a kernel.
///
/// # Safety
/// The type has the layout of the structure that the kernels of its operation take.
pub(crate) unsafe trait Parameters: Copy {}

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

    pub(crate) fn device(&self) -> &D {
        &self.pool.device
    }

    pub(crate) fn failure(&self) -> MutexGuard<'_, Option<BackendError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first failure until it is told.
    pub(crate) fn keep<T>(&self, result: Result<T, BackendError>) -> Option<T> {
        result.map_err(|failure| self.failure().get_or_insert(failure).clone()).ok()
    }

    /// Tells a failure, and forgets it.
    pub(crate) fn told(&self) -> Result<(), BackendError> {
        self.failure().take().map_or(Ok(()), Err)
    }

    pub(crate) fn is_bf16(&self) -> bool {
        self.precision == Precision::Bf16
    }

    /// How maps are kept that normalisations read, and gradients.
    pub(crate) fn element(&self) -> Element {
        if self.is_bf16() { Element::Bf16 } else { Element::F32 }
    }

    /// Memory for numbers; without any, the failure is kept.
    pub(crate) fn take(&self, element: Element, len: usize) -> Numbers<D> {
        let taken = self.keep(Numbers::take(&self.pool, element, len));
        taken.unwrap_or_else(|| Numbers::nothing(&self.pool, element, len))
    }

    /// Numbers from `f32` or `f64` ones.
    pub(crate) fn put(&self, element: Element, len: usize, bytes: &[u8]) -> Numbers<D> {
        let numbers = self.take(element, len);
        self.write(bytes, &numbers);
        numbers
    }

    /// # Panics
    /// If the numbers have not as many bytes.
    pub(crate) fn write(&self, bytes: &[u8], numbers: &Numbers<D>) {
        assert_eq!(bytes.len(), numbers.bytes(), "lengths belong together");
        if let Some(block) = numbers.block() {
            self.keep(self.device().upload(bytes, block));
        }
    }

    /// The bytes of numbers, after all operations before.
    pub(crate) fn bytes(&self, numbers: &Numbers<D>) -> Result<Vec<u8>, BackendError> {
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
    pub(crate) fn run<P: Parameters>(
        &self,
        kernel: Kernel,
        grid: [usize; 3],
        threads: u32,
        parameters: &P,
    ) {
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
pub(crate) fn int(number: usize) -> i32 {
    i32::try_from(number).expect("sizes are below 2^31")
}

/// Bytes of numbers, as a device of the same byte order takes them.
pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}
