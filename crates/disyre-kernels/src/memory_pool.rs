//! [`Pool`]: memory that operations use again and again.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

/// Sixteen numbers on one cache line, so that vectors and tiles never straddle two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; Line::LEN]);

impl Line {
    const LEN: usize = 16;
}

/// Blocks of memory that come back when they are dropped and serve the next that asks for as much.
///
/// A step of training takes and drops the same blocks as the step before; fresh ones would cost a page fault for every
/// 4 KiB. The memory belongs to the pool and its clones: it is freed with the last of them and of the buffers.
///
/// ```
/// use disyre_kernels::Pool;
///
/// let pool = Pool::new();
/// let address = pool.zeros(1000).as_ptr();
/// // The first buffer is dropped: the next of that size has its memory.
/// assert_eq!(pool.take(1000).as_ptr(), address);
/// ```
#[derive(Clone, Default)]
pub struct Pool {
    free: Arc<Mutex<Vec<Vec<Line>>>>,
}

impl Pool {
    /// A pool without memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer of `len` numbers. Their values are those of some earlier use, or 0.
    pub fn take(&self, len: usize) -> Buffer {
        let lines = len.div_ceil(Line::LEN);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = free
            .iter()
            .enumerate()
            .filter(|(_, block)| (lines..=lines + lines / 4).contains(&block.len()));
        let best = fitting.min_by_key(|(_, block)| block.len()).map(|(index, _)| index);
        let block = best.map(|index| free.swap_remove(index));
        drop(free);
        let block = block.unwrap_or_else(|| vec![Line([0.0; Line::LEN]); lines]);
        Buffer { block, len, pool: self.clone() }
    }

    /// A buffer of `len` zeros.
    pub fn zeros(&self, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// Frees what no buffer holds.
    pub fn clear(&self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// Numbers in memory of a [`Pool`], aligned to 64 bytes.
pub struct Buffer {
    block: Vec<Line>,
    len: usize,
    pool: Pool,
}

impl Buffer {
    /// Makes it `len` long; its values are then those of some earlier use.
    pub(crate) fn set_len(&mut self, len: usize) {
        if self.len != len {
            let pool = self.pool.clone();
            // The old block first: it may serve.
            *self = pool.take(0);
            *self = pool.take(len);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        debug_assert!(self.len <= self.block.len() * Line::LEN);
        // SAFETY: the block holds at least `len` numbers: `take` chose it so, and nothing changes its length. A line
        // is sixteen numbers without padding. The borrow of self lasts as long as that of the numbers.
        unsafe { slice::from_raw_parts(self.block.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        debug_assert!(self.len <= self.block.len() * Line::LEN);
        // SAFETY: as in `deref`, and the borrow of self is exclusive.
        unsafe { slice::from_raw_parts_mut(self.block.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        if block.is_empty() {
            return;
        }
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_serves_the_next() {
        let pool = Pool::new();
        let mut first = pool.take(100);
        first.fill(7.0);
        let place = first.as_ptr();
        drop(first);
        assert!(!std::ptr::eq(pool.take(10).as_ptr(), place), "far too large a block");
        let second = pool.take(97);
        assert!(std::ptr::eq(second.as_ptr(), place));
        assert_eq!(second[..], [7.0; 97]);
        drop(second);
        assert_eq!(pool.zeros(100)[..], [0.0; 100]);
        pool.clear();
        assert!(pool.take(100).iter().all(|&value| value == 0.0));
    }

    #[test]
    fn buffers_are_aligned_and_may_be_empty() {
        let pool = Pool::new();
        assert!(pool.take(0).is_empty());
        assert!((1..40).all(|len| pool.take(len).as_ptr().addr().is_multiple_of(64)));
    }
}
