//! [`ScratchBuffer`]: working memory that a thread keeps between samples.

use std::{
    cell::RefCell,
    mem,
    ops::{Deref, DerefMut},
};

/// Buffers that a thread keeps between samples.
const KEPT: usize = 8;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Working memory that its thread uses again for the next sample.
///
/// A new page of memory costs more than the arithmetic on it. No value survives: a buffer starts at 0.
#[derive(Debug, Default)]
pub(crate) struct ScratchBuffer(Vec<f32>);

impl ScratchBuffer {
    pub(crate) fn zeros(length: usize) -> Self {
        let mut values = FREE.with(|free| free.borrow_mut().pop()).unwrap_or_default();
        values.clear();
        values.resize(length, 0.0);
        Self(values)
    }
}

impl Deref for ScratchBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for ScratchBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for ScratchBuffer {
    fn drop(&mut self) {
        // At the end of a thread there is nothing left to keep it in.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(mem::take(&mut self.0));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_starts_at_zero_whatever_its_memory_held_before() {
        ScratchBuffer::zeros(10).fill(7.0);
        assert!(ScratchBuffer::zeros(20).iter().all(|&value| value == 0.0));
    }
}
