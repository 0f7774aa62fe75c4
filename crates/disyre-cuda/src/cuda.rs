//! Operations on a device: memory, failures, and how kernels are run.

use std::sync::{Arc, Mutex};

use disyre_kernels::backend::{BackendError, FeatureMaps};
use disyre_kernels::{Extent, Precision};

use crate::buffer::{Array, Element, RawBuffer};
use crate::device::{Device, Kernel};
use crate::memory::Pool;

/// A GPU, or its emulator, as the [`Backend`](disyre_kernels::backend::Backend) of a network.
///
/// Clones share its memory and the order of its work.
///
/// ```
/// # #[cfg(feature = "emulation")] {
/// use disyre_cuda::{Cuda, Mode};
/// use disyre_kernels::backend::Backend;
/// use disyre_kernels::{Extent, Precision};
///
/// let gpu = Cuda::emulated(Mode::default(), Precision::F32);
/// let extent = Extent { count: 1, height: 1, width: 2 };
/// let [y, target] = [[1.0, 4.0], [0.0, 2.0]].map(|values| gpu.maps(&values, extent, 1));
/// let (loss, _) = gpu.squared_error(&y, &target);
/// assert_eq!(gpu.read(&[&loss])?, [2.5]);
/// # }
/// # Ok::<(), disyre_kernels::backend::BackendError>(())
/// ```
#[derive(Debug)]
pub struct Cuda<D: Device> {
    pub(crate) pool: Arc<Pool<D>>,
    precision: Precision,
    /// Held from an upload until what came of it was downloaded.
    pub(crate) lock: Arc<Mutex<()>>,
    /// Whether the device records. Held while it copies or repeats, and while a recording starts or ends.
    pub(crate) recording: Arc<Mutex<bool>>,
}

impl<D: Device> Clone for Cuda<D> {
    fn clone(&self) -> Self {
        let (pool, lock) = (Arc::clone(&self.pool), Arc::clone(&self.lock));
        Self { pool, precision: self.precision, lock, recording: Arc::clone(&self.recording) }
    }
}

/// The parameters of a kernel.
///
/// # Safety
/// The type has the layout of the structure that the kernels of its operation take.
pub(crate) unsafe trait Parameters: Copy {}

impl<D: Device> Cuda<D> {
    /// Operations on a device, with products of convolutions in `precision`; in place of `Bf16x3`, which would not be
    /// faster, they are in `f32`.
    pub(crate) fn new(device: D, precision: Precision) -> Self {
        let precision = match precision {
            Precision::Bf16 => Precision::Bf16,
            Precision::F32 | Precision::Bf16x3 => Precision::F32,
        };
        let (pool, lock, recording) = (Arc::new(Pool::new(device)), Arc::default(), Arc::default());
        Self { pool, precision, lock, recording }
    }

    /// The precision in effect.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) fn device(&self) -> &D {
        &self.pool.device
    }

    /// Keeps the first failure until it is taken.
    pub(crate) fn keep<T>(&self, result: Result<T, BackendError>) -> Option<T> {
        result.map_err(|failure| self.pool.fail(failure)).ok()
    }

    /// The first failure, which is then forgotten.
    pub(crate) fn first_error(&self) -> Result<(), BackendError> {
        self.pool.failure().take().map_or(Ok(()), Err)
    }

    /// # Panics
    /// If the numbers lie in the memory of another backend.
    pub(crate) fn assert_owns(&self, numbers: &RawBuffer<D>) {
        assert!(numbers.is_in(&self.pool), "the numbers lie in the memory of another backend");
    }

    pub(crate) fn is_bf16(&self) -> bool {
        self.precision == Precision::Bf16
    }

    /// Type of maps that normalisations read, and of gradients.
    pub(crate) fn element(&self) -> Element {
        if self.is_bf16() { Element::Bf16 } else { Element::F32 }
    }

    /// Memory for numbers; without any, the failure is kept.
    pub(crate) fn take(&self, element: Element, len: usize) -> RawBuffer<D> {
        RawBuffer::take(&self.pool, element, len)
    }

    /// Numbers from their bytes, which are made only where there is memory for them.
    pub(crate) fn put(
        &self,
        element: Element,
        len: usize,
        bytes: impl FnOnce() -> Vec<u8>,
    ) -> RawBuffer<D> {
        let numbers = self.take(element, len);
        if numbers.memory().is_ok() {
            self.write(&bytes(), &numbers);
        }
        numbers
    }

    /// Copies bytes to numbers. The first failure is kept, also that of numbers without memory.
    ///
    /// # Panics
    /// If the numbers have not as many bytes.
    pub(crate) fn write(&self, bytes: &[u8], numbers: &RawBuffer<D>) {
        assert_eq!(bytes.len(), numbers.bytes(), "lengths belong together");
        let copy = || {
            let memory = numbers.memory()?;
            let _guard = self.not_recording("copy")?;
            self.device().upload(bytes, memory.block())
        };
        self.keep(copy());
    }

    /// The bytes of numbers, after all operations before.
    ///
    /// # Errors
    /// The first failure, which is then forgotten, or the one of this copy.
    pub(crate) fn bytes(&self, numbers: &RawBuffer<D>) -> Result<Vec<u8>, BackendError> {
        let copy = || {
            let memory = numbers.memory()?;
            let mut bytes = vec![0; numbers.bytes()];
            let _guard = self.not_recording("copy")?;
            self.device().download(memory.block(), &mut bytes)?;
            Ok(bytes)
        };
        let bytes = copy();
        self.first_error()?;
        bytes
    }

    /// Maps as kernels take them.
    ///
    /// # Errors
    /// If they have no memory.
    ///
    /// # Panics
    /// If they lie in the memory of another backend.
    pub(crate) fn array(&self, maps: &FeatureMaps<Self>) -> Result<Array, BackendError> {
        maps.values().on(self).array()
    }

    /// Runs a kernel, unless something failed before or an operand has no memory: then there are no parameters, and that
    /// failure is kept.
    ///
    /// # Panics
    /// If there is no block, or if there are more than a device can count.
    pub(crate) fn run<P: Parameters>(
        &self,
        kernel: Kernel,
        grid: [usize; 3],
        threads: u32,
        parameters: impl FnOnce() -> Result<P, BackendError>,
    ) {
        assert!(!grid.contains(&0), "{} has something to compute", kernel.name);
        let grid = grid.map(|blocks| u32::try_from(blocks).expect("blocks can be counted"));
        let Some(parameters) = self.keep(parameters()) else { return };
        if self.pool.failure().is_some() {
            return;
        }
        let (pointer, bytes) = (std::ptr::from_ref(&parameters).cast(), size_of::<P>());
        // SAFETY: the type has the kernel's layout; the operation that fills it in took the addresses from numbers that
        // it holds, which have memory (others give no address), of the sizes that its own checks demand, and memory that
        // is dropped later is not used again before the kernel is done.
        let result = unsafe { self.device().launch(kernel, grid, threads, pointer, bytes) };
        self.keep(result);
    }
}

/// Places beyond the last that a kernel may count before it compares: a tile or a piece is no longer.
const MARGIN: usize = 1 << 12;

/// # Panics
/// If kernels, which count in `i32`, cannot count the pixels of images, or two numbers for each channel of each.
pub(crate) fn assert_countable(extent: Extent, channels: usize) {
    let numbers = channels.checked_mul(2).and_then(|pair| pair.checked_mul(extent.count));
    let most = i32::MAX as usize - MARGIN;
    let fits = extent.pixels() <= most && numbers.is_some_and(|numbers| numbers <= most);
    assert!(
        fits,
        "kernels count at most {most} pixels, or pairs of numbers for each image and channel"
    );
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
