//! [`SharedSlice`]: one slice, written by many threads at once; the data pass of convolutions writes through it.

use std::marker::PhantomData;
use std::slice;

/// A slice whose parts are handed out to pieces of work that run side by side.
pub(crate) struct SharedSlice<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a slice of numbers that its owner lent exclusively; `part` demands that no two threads use the same.
unsafe impl Sync for SharedSlice<'_> {}

impl<'a> SharedSlice<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// `len` numbers from `start` on.
    ///
    /// # Panics
    /// If they reach beyond the slice.
    ///
    /// # Safety
    /// While the part is in use, no other that overlaps it is.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the caller vouches that parts in use do not overlap")]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start <= self.len && len <= self.len - start, "a part lies within its slice");
        // SAFETY: within the slice, as just checked; exclusive, as the caller vouches.
        unsafe { slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
