//! Numbers in a device's memory: as the launch code uses them, and as networks hold them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use disyre_kernels::backend::{BackendError, Elements};

use crate::cuda::Cuda;
use crate::device::Device;
use crate::memory::{Memory, Pool};

/// Type of numbers in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Bf16,
    F32,
    F64,
}

impl Element {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Numbers in a device's memory, whatever they mean; without memory where it could not be had.
#[derive(Debug)]
pub(crate) struct RawBuffer<D: Device> {
    memory: Result<Memory<D>, BackendError>,
    pool: Arc<Pool<D>>,
    element: Element,
    len: usize,
}

/// Numbers as kernels take them: `Array` of array.cuh. Of address 0 where there are none.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Array {
    values: u64,
    narrow: i32,
    unused: i32,
}

impl<D: Device> RawBuffer<D> {
    /// Memory for numbers, with the values of some earlier use. Without any, the failure is the pool's.
    ///
    /// # Panics
    /// If their bytes cannot be counted.
    pub(crate) fn take(pool: &Arc<Pool<D>>, element: Element, len: usize) -> Self {
        let bytes = len.checked_mul(element.bytes()).expect("bytes of numbers can be counted");
        let memory = pool.take(bytes).inspect_err(|failure| pool.fail(failure.clone()));
        Self { memory, pool: Arc::clone(pool), element, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn element(&self) -> Element {
        self.element
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len * self.element.bytes()
    }

    /// The memory.
    ///
    /// # Errors
    /// The failure to get it.
    pub(crate) fn memory(&self) -> Result<&Memory<D>, BackendError> {
        self.memory.as_ref().map_err(Clone::clone)
    }

    /// Address of the number at `index`.
    ///
    /// # Errors
    /// As [`memory`](Self::memory): numbers without memory have no address that a kernel could take.
    ///
    /// # Panics
    /// If there are fewer numbers.
    pub(crate) fn address(&self, index: usize) -> Result<u64, BackendError> {
        assert!(index <= self.len, "the place lies within the numbers");
        let offset = (index * self.element.bytes()) as u64;
        Ok(self.memory()?.address() + offset)
    }

    /// # Errors
    /// As [`memory`](Self::memory).
    ///
    /// # Panics
    /// If they are 64-bit numbers, which no array holds.
    pub(crate) fn array(&self) -> Result<Array, BackendError> {
        assert!(self.element != Element::F64, "an array holds f32 or bf16");
        let narrow = i32::from(self.element == Element::Bf16);
        Ok(Array { values: self.address(0)?, narrow, unused: 0 })
    }

    pub(crate) fn is_in(&self, pool: &Arc<Pool<D>>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }
}

/// Numbers in a GPU's memory. `R` says what they are, so that a map in bf16 cannot pass for weights in `f32`:
///
/// ```compile_fail,E0308
/// # use disyre_cuda::Cuda;
/// # use disyre_kernels::{Extent, Precision, backend::Backend};
/// let gpu = Cuda::emulated(Default::default(), Precision::Bf16);
/// let maps = gpu.maps(&[1.0], Extent { count: 1, height: 1, width: 1 }, 1);
/// gpu.download(maps.values()); // takes weights
/// ```
///
/// Each has its own operations:
///
/// ```
/// # #[cfg(feature = "emulation")] {
/// # use disyre_cuda::Cuda;
/// # use disyre_kernels::{Extent, Precision, backend::Backend};
/// let gpu = Cuda::emulated(Default::default(), Precision::Bf16);
/// let maps = gpu.maps(&[1.0], Extent { count: 1, height: 1, width: 1 }, 1);
/// assert_eq!(gpu.download_maps(&maps)?, [1.0]);
/// # }
/// # Ok::<(), disyre_kernels::backend::BackendError>(())
/// ```
pub struct DeviceBuffer<D: Device, R> {
    raw: RawBuffer<D>,
    role: PhantomData<fn() -> R>,
}

/// Meanings of the numbers of a [`DeviceBuffer`].
pub mod role {
    /// Weights, their gradients, the optimiser's state: `f32`.
    #[derive(Debug)]
    pub enum Values {}
    /// Feature maps or their gradients: `f32` or bf16.
    #[derive(Debug)]
    pub enum Map {}
    /// Mean and sum of squared deviations of each channel of each image: `f64`.
    #[derive(Debug)]
    pub enum Moments {}
    /// Sums over the pixels of each channel of each image: `f64`.
    #[derive(Debug)]
    pub enum Sums {}
    /// One `f64`.
    #[derive(Debug)]
    pub enum Scalar {}
    /// The coefficients of an update: bytes of a structure of kernels.
    #[derive(Debug)]
    pub enum Update {}
}

impl<D: Device, R> DeviceBuffer<D, R> {
    pub(crate) fn new(raw: RawBuffer<D>) -> Self {
        Self { raw, role: PhantomData }
    }

    /// The numbers, for operations of the backend in whose memory they lie.
    ///
    /// # Panics
    /// If that is another one: its kernels run in no order with these.
    pub(crate) fn on(&self, cuda: &Cuda<D>) -> &RawBuffer<D> {
        cuda.assert_owns(&self.raw);
        &self.raw
    }

    /// As [`on`](Self::on).
    pub(crate) fn into_raw(self, cuda: &Cuda<D>) -> RawBuffer<D> {
        cuda.assert_owns(&self.raw);
        self.raw
    }
}

impl<D: Device, R> fmt::Debug for DeviceBuffer<D, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

impl<D: Device> Elements for DeviceBuffer<D, role::Map> {
    fn elem_count(&self) -> usize {
        self.raw.len()
    }
}
