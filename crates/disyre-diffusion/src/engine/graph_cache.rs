//! Graphs of operations that are repeated on the same memory: recorded once, replayed afterwards.

use disyre_kernels::backend::Backend;

/// Work that is done again and again on the same memory. The first time it runs as it is, so that all memory that it
/// takes is there when the device records the second; from then on the recording is repeated.
#[derive(Debug)]
pub(super) struct GraphCache<B: Backend, T> {
    warm: bool,
    /// With what the work found, which every repetition overwrites.
    recorded: Option<(B::Recording, T)>,
}

impl<B: Backend, T> Default for GraphCache<B, T> {
    fn default() -> Self {
        Self { warm: false, recorded: None }
    }
}

impl<B: Backend, T> GraphCache<B, T> {
    /// Does the work once more and reads what it found.
    pub(super) fn run<R>(
        &mut self,
        backend: &B,
        work: impl FnOnce() -> T,
        read: impl FnOnce(&T) -> R,
    ) -> R {
        if let Some((recording, found)) = &mut self.recorded {
            backend.replay(recording);
            return read(found);
        }
        if !self.warm {
            self.warm = true;
            return read(&work());
        }
        let (found, recording) = backend.record(work);
        let read = read(&found);
        self.recorded = recording.map(|recording| (recording, found));
        read
    }
}
