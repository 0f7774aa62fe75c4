//! Recorded operations, which a device repeats at once: CUDA graphs.

use std::sync::{Arc, MutexGuard, PoisonError};

use disyre_kernels::backend::BackendError;

use crate::cuda::Cuda;
use crate::device::Device;
use crate::memory::Pinned;

/// Operations of one backend that can be repeated. It owns the memory that they use, together with the backend.
#[derive(Debug)]
pub struct CudaGraph<D: Device> {
    recording: D::Recording,
    /// Dropped after the recording, which may give back the memory.
    pinned: Pinned<D>,
}

/// A recording that goes on; it ends when this is dropped, also by a panic.
struct Capture<'a, D: Device> {
    cuda: &'a Cuda<D>,
    pinned: Option<Pinned<D>>,
}

impl<'a, D: Device> Capture<'a, D> {
    /// None where the device cannot record, or failed.
    fn start(cuda: &'a Cuda<D>) -> Option<Self> {
        let mut recording = cuda.keep(cuda.not_recording("record"))?;
        let pinned = Pinned::new(&cuda.pool);
        *recording = cuda.keep(cuda.device().start_recording())?;
        recording.then_some(Self { cuda, pinned: Some(pinned) })
    }

    /// The recording, unless an operation failed, which is then not in it.
    fn end(mut self) -> Option<CudaGraph<D>> {
        let pinned = self.pinned.take()?;
        let recording = self.stop()?;
        let whole = self.cuda.pool.failure().is_none();
        whole.then_some(CudaGraph { recording, pinned })
    }

    fn stop(&self) -> Option<D::Recording> {
        let mut recording = self.cuda.recording();
        *recording = false;
        self.cuda.keep(self.cuda.device().end_recording())
    }
}

impl<D: Device> Drop for Capture<'_, D> {
    fn drop(&mut self) {
        if self.pinned.is_some() {
            self.stop();
        }
    }
}

impl<D: Device> Cuda<D> {
    fn recording(&self) -> MutexGuard<'_, bool> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the device from recording as long as the guard is held: a copy that is recorded would be repeated when the
    /// host's memory is gone, a recording when its own is.
    ///
    /// # Errors
    /// If it records.
    pub(crate) fn not_recording(&self, doing: &str) -> Result<MutexGuard<'_, bool>, BackendError> {
        let recording = self.recording();
        if !*recording {
            return Ok(recording);
        }
        Err(BackendError::Failed {
            device: self.device().describe(),
            doing: doing.to_owned(),
            answer: "it is recording".to_owned(),
        })
    }

    /// Does `work`, and records its operations where the device can; they run once.
    pub(crate) fn capture<T>(&self, work: impl FnOnce() -> T) -> (T, Option<CudaGraph<D>>) {
        let capture = Capture::start(self);
        let result = work();
        let mut graph = capture.and_then(Capture::end);
        // While it was recorded nothing ran.
        if let Some(graph) = &mut graph {
            self.launch_graph(graph);
        }
        (result, graph)
    }

    /// # Panics
    /// If another backend made the recording.
    pub(crate) fn launch_graph(&self, graph: &mut CudaGraph<D>) {
        let own = Arc::ptr_eq(graph.pinned.pool(), &self.pool);
        assert!(own, "the recording was made by another backend");
        if self.pool.failure().is_none() {
            let mut replay = || {
                let _guard = self.not_recording("repeat a recording")?;
                self.device().replay(&mut graph.recording)
            };
            self.keep(replay());
        }
    }
}
