//! Memory of a device, kept for use again, and the first failure of what works on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disyre_kernels::backend::BackendError;

use crate::device::Device;

/// A block of a device's memory that returns to its pool.
#[derive(Debug)]
pub(crate) struct Memory<D: Device> {
    /// None while it is dropped.
    block: Option<D::Memory>,
    bytes: usize,
    address: u64,
    pool: Arc<Pool<D>>,
}

impl<D: Device> Memory<D> {
    /// Address of its start, as kernels take it.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    pub(crate) fn block(&self) -> &D::Memory {
        self.block.as_ref().expect("memory has its block until it is dropped")
    }
}

impl<D: Device> Drop for Memory<D> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take().filter(|_| D::KEEPS_MEMORY) {
            self.pool.free().blocks.entry(self.bytes).or_default().push(block);
        }
    }
}

/// A device, and those blocks of its memory that nobody uses. The device works in the order of the calls,
/// so what was dropped may serve again at once.
#[derive(Debug)]
pub(crate) struct Pool<D: Device> {
    pub(crate) device: D,
    free: Mutex<Free<D>>,
    /// The first failure that nobody has taken.
    failure: Mutex<Option<BackendError>>,
}

/// Blocks that nobody uses, by their size. They may be given back only as long as no recording uses memory of the pool.
#[derive(Debug)]
struct Free<D: Device> {
    blocks: HashMap<usize, Vec<D::Memory>>,
    recordings: usize,
}

impl<D: Device> Pool<D> {
    pub(crate) fn new(device: D) -> Self {
        let free = Mutex::new(Free { blocks: HashMap::new(), recordings: 0 });
        Self { device, free, failure: Mutex::default() }
    }

    fn free(&self) -> MutexGuard<'_, Free<D>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first failure that nobody has taken.
    pub(crate) fn failure(&self) -> MutexGuard<'_, Option<BackendError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a failure, unless there is one already.
    pub(crate) fn fail(&self, failure: BackendError) {
        self.failure().get_or_insert(failure);
    }

    /// Bytes that are kept for use again.
    pub(crate) fn kept(&self) -> usize {
        self.free().blocks.iter().map(|(bytes, blocks)| bytes * blocks.len()).sum()
    }

    /// Memory of at least so many bytes. If there is none left, what lies unused is given back first, unless recordings
    /// use it.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Result<Memory<D>, BackendError> {
        let bytes = if D::KEEPS_MEMORY { size_class(bytes) } else { bytes };
        let kept = self.free().blocks.get_mut(&bytes).and_then(Vec::pop);
        let block = match kept {
            Some(block) => block,
            None => self.device.allocate(bytes).or_else(|failure| {
                if !self.give_back() {
                    return Err(failure);
                }
                self.device.allocate(bytes)
            })?,
        };
        let address = self.device.address(&block);
        Ok(Memory { block: Some(block), bytes, address, pool: Arc::clone(self) })
    }

    /// Gives back what lies unused, unless recordings use it; under one lock, so that none begins in between.
    fn give_back(&self) -> bool {
        let mut free = self.free();
        let unpinned = free.recordings == 0;
        if unpinned {
            free.blocks.clear();
        }
        unpinned
    }
}

/// A share in a pool that keeps its memory from being given back, as long as a recording uses it.
#[derive(Debug)]
pub(crate) struct Pinned<D: Device>(Arc<Pool<D>>);

impl<D: Device> Pinned<D> {
    pub(crate) fn new(pool: &Arc<Pool<D>>) -> Self {
        pool.free().recordings += 1;
        Self(Arc::clone(pool))
    }

    pub(crate) fn pool(&self) -> &Arc<Pool<D>> {
        &self.0
    }
}

impl<D: Device> Drop for Pinned<D> {
    fn drop(&mut self) {
        self.0.free().recordings -= 1;
    }
}

/// Sizes in steps of an eighth, so that few of them occur.
fn size_class(bytes: usize) -> usize {
    let step = bytes.checked_next_power_of_two().map_or(1 << 60, |power| (power / 8).max(256));
    bytes.max(1).div_ceil(step).saturating_mul(step)
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
        assert_eq!(size_class(usize::MAX), usize::MAX);
    }
}
