//! Memory of a device, kept for use again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::device::Device;
use disyre_kernels::backend::{BackendError, Elements};

/// How numbers are kept.
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

/// Memory of a device that returns to its pool; none where it could not be had, and all launches after that are void.
#[derive(Debug)]
struct Memory<D: Device> {
    block: Option<D::Memory>,
    bytes: usize,
    address: u64,
    pool: Arc<Pool<D>>,
}

/// Numbers in a device's memory.
#[derive(Debug)]
pub struct Numbers<D: Device> {
    memory: Memory<D>,
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

impl<D: Device> Numbers<D> {
    /// Memory for numbers, with the values of some earlier use.
    pub(crate) fn take(
        pool: &Arc<Pool<D>>,
        element: Element,
        len: usize,
    ) -> Result<Self, BackendError> {
        Ok(Self { memory: pool.take(len * element.bytes())?, element, len })
    }

    /// In the place of memory that could not be had.
    pub(crate) fn nothing(pool: &Arc<Pool<D>>, element: Element, len: usize) -> Self {
        Self { memory: pool.nothing(), element, len }
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

    pub(crate) fn block(&self) -> Option<&D::Memory> {
        self.memory.block.as_ref()
    }

    /// Where the number at `index` lies; 0 where there is no memory.
    pub(crate) fn address(&self, index: usize) -> u64 {
        assert!(index <= self.len, "the place lies within the numbers");
        match self.memory.block {
            Some(_) => self.memory.address + (index * self.element.bytes()) as u64,
            None => 0,
        }
    }

    /// # Panics
    /// If they are 64-bit numbers, which no array holds.
    pub(crate) fn array(&self) -> Array {
        assert!(self.element != Element::F64, "an array holds f32 or bf16");
        let narrow = i32::from(self.element == Element::Bf16);
        Array { values: self.address(0), narrow, unused: 0 }
    }
}

impl<D: Device> Elements for Numbers<D> {
    fn elem_count(&self) -> usize {
        self.len
    }
}

/// Memory that nobody uses, by its size. The device works in the order of the calls, so what was dropped may serve
/// again at once.
#[derive(Debug)]
pub(crate) struct Pool<D: Device> {
    pub(crate) device: D,
    free: Mutex<HashMap<usize, Vec<D::Memory>>>,
    /// Whether recordings use memory that lies here.
    pub(crate) recorded: AtomicBool,
}

impl<D: Device> Pool<D> {
    pub(crate) fn new(device: D) -> Self {
        Self { device, free: Mutex::default(), recorded: AtomicBool::new(false) }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Vec<D::Memory>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are kept for use again.
    pub(crate) fn kept(&self) -> usize {
        self.free().iter().map(|(bytes, blocks)| bytes * blocks.len()).sum()
    }

    /// Memory of at least so many bytes. If there is none left, what lies unused is given back first, unless recordings
    /// may use it.
    fn take(self: &Arc<Self>, bytes: usize) -> Result<Memory<D>, BackendError> {
        let bytes = if D::KEEPS_MEMORY { size_class(bytes) } else { bytes };
        let kept = self.free().get_mut(&bytes).and_then(Vec::pop);
        let block = match kept {
            Some(block) => block,
            None => self.device.allocate(bytes).or_else(|failure| {
                if self.recorded.load(Ordering::Relaxed) {
                    return Err(failure);
                }
                self.free().clear();
                self.device.allocate(bytes)
            })?,
        };
        let address = self.device.address(&block);
        Ok(Memory { block: Some(block), bytes, address, pool: Arc::clone(self) })
    }

    /// No memory, in the place of some that could not be had.
    fn nothing(self: &Arc<Self>) -> Memory<D> {
        Memory { block: None, bytes: 0, address: 0, pool: Arc::clone(self) }
    }
}

/// Sizes in steps of an eighth, so that few of them occur.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 8).max(256);
    bytes.max(1).div_ceil(step) * step
}

impl<D: Device> Drop for Memory<D> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take().filter(|_| D::KEEPS_MEMORY) {
            self.pool.free().entry(self.bytes).or_default().push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_class_holds_what_was_asked_for_and_wastes_at_most_a_quarter() {
        for bytes in [1, 255, 256, 257, 5000, 65_536, 65_537, 1_000_000] {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(256), "{bytes} gets {class}");
            assert!(bytes < 2048 || class <= bytes + bytes / 4, "{bytes} gets {class}");
        }
    }
}
